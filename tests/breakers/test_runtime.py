"""The PyTorch run time on tiny models: idle is bit-for-bit, edits are in place, and none is left behind."""

import pytest
import torch
from tiny import TINY_TYPES, tiny_model
from torch import nn

from breakers.architectures import resolve_sites
from breakers.bank import Bank, BankEntry, Scope
from breakers.errors import PlanError, RuntimeAttachError
from breakers.interventions import Breaker, Mask, SteeringVector
from breakers.runtime import TorchRuntime
from breakers.sites import Boundary, Component, HookPoint, Site

IDS = torch.randint(3, 96, (2, 12), generator=torch.Generator().manual_seed(0))


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def make(model_type: str, scope: Scope = Scope.ALL) -> TorchRuntime:
    model = tiny_model(model_type)
    sites = resolve_sites(model)
    random = torch.Generator().manual_seed(5)
    draw = lambda *shape: torch.randn(*shape, generator=random)  # noqa: E731
    d = sites.d_head
    interventions = [
        Breaker(site=Site(layer=1, component=Component.HEAD, head=2), down=draw(2, d), up=draw(d, 2)),
        SteeringVector(site=Site(layer=2, component=Component.RESID), vector=draw(32)),
    ]
    if sites.d_mlp is not None:
        neurons = Site(layer=0, component=Component.NEURON, neurons=(0, 3, 7))
        interventions.append(Mask(site=neurons, keep=torch.zeros(3)))
    entry = BankEntry(name="edit", scope=scope, interventions=tuple(interventions))
    return TorchRuntime(model, Bank(sites, [entry]))


@pytest.mark.parametrize("model_type", TINY_TYPES)
@torch.no_grad()
def test_strength_zero_is_bit_for_bit_and_one_is_not(model_type) -> None:
    runtime = make(model_type)
    plain = runtime._model(IDS).logits
    with runtime.steering({}):
        assert torch.equal(runtime._model(input_ids=IDS).logits, plain)
    with runtime.steering({"edit": 1.0}):
        assert not torch.allclose(runtime._model(input_ids=IDS).logits, plain, atol=1e-2)
    assert torch.equal(runtime._model(IDS).logits, plain)
    assert hooks(runtime._model) == 0


@pytest.mark.parametrize("model_type", TINY_TYPES)
@torch.no_grad()
def test_generation_scope_leaves_the_earlier_prompt_alone(model_type) -> None:
    runtime = make(model_type, Scope.GENERATION)
    plain = runtime._model(IDS).logits
    with runtime.steering({"edit": 1.0}):
        steered = runtime._model(input_ids=IDS).logits
    assert torch.equal(steered[:, :-1], plain[:, :-1])
    assert not torch.allclose(steered[:, -1], plain[:, -1], atol=1e-2)


@pytest.mark.parametrize("scope", list(Scope))
@torch.no_grad()
def test_generate_with_cache_equals_steps_without(scope) -> None:
    runtime = make("llama", scope)
    with runtime.steering({"edit": 1.0}):
        cached = runtime._model.generate(IDS, max_new_tokens=6, do_sample=False, eos_token_id=None)
    whole = IDS
    with runtime.steering({"edit": 1.0}, generation_start=IDS.shape[1] - 1):
        for _ in range(6):
            logits = runtime._model(input_ids=whole, use_cache=False).logits[:, -1]
            whole = torch.cat([whole, logits.argmax(-1, keepdim=True)], 1)
    assert torch.equal(cached, whole)
    assert not torch.equal(cached, runtime._model.generate(IDS, max_new_tokens=6, do_sample=False, eos_token_id=None))


@torch.no_grad()
def test_a_mask_equals_zeroed_weight_columns() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    mask = Mask(site=Site(layer=1, component=Component.NEURON, neurons=(2, 5)), keep=torch.zeros(2))
    runtime = TorchRuntime(model, Bank(sites, [BankEntry(name="m", scope=Scope.ALL, interventions=(mask,))]))
    with runtime.steering({"m": 1.0}):
        masked = model(input_ids=IDS).logits
    model.model.layers[1].mlp.down_proj.weight[:, [2, 5]] = 0
    torch.testing.assert_close(masked, model(IDS).logits, atol=1e-5, rtol=1e-5)


def test_errors_leave_no_hook_behind() -> None:
    runtime = make("llama")
    with pytest.raises(RuntimeError, match="boom"), runtime.steering({"edit": 1.0}):
        raise RuntimeError("boom")
    assert hooks(runtime._model) == 0
    with pytest.raises(PlanError), runtime.steering({"edit": 7.0}):
        pass
    assert hooks(runtime._model) == 0


def test_a_forward_without_strengths_fails_closed() -> None:
    runtime = make("llama")
    with runtime.attached():
        with pytest.raises(RuntimeAttachError, match="no strengths"):
            runtime._model(IDS)
        with pytest.raises(RuntimeAttachError, match="already attached"), runtime.attached():
            pass
        short = runtime.bank.token_strengths(torch.ones(3, 1))
        with pytest.raises(RuntimeAttachError, match="24 tokens"), runtime.forward_strengths(short):
            runtime._model(IDS)


@torch.no_grad()
def test_an_unused_site_adds_no_tensor_operation() -> None:
    runtime = make("llama")
    seen = []
    point = HookPoint(1, Boundary.ATTENTION_OUT_INPUT)
    handle = runtime.bank.sites.module(point).register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    with runtime.steering({"edit": 0.0}):
        runtime.bank.sites.module(point).register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
        runtime._model(input_ids=IDS)
    handle.remove()
    # The very same tensor object before and after the bank's hook.
    assert seen[0] is seen[1]

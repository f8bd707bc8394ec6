"""Edits of routed experts' neurons: the model's own experts where nothing acts, and nothing left behind."""

import pytest
import torch
from tiny import tiny_model
from transformers import PreTrainedModel

from breakers.architectures import resolve_sites
from breakers.bank import Bank, BankEntry, Scope
from breakers.errors import RuntimeAttachError, SiteError
from breakers.interventions import Breaker, Mask, SteeringVector, intervene
from breakers.runtime import TorchRuntime
from breakers.sites import Component, HookPoint, Site

IDS = torch.randint(3, 96, (3, 12), generator=torch.Generator().manual_seed(0))
NEURONS = (0, 3, 7)


def site(expert: int, layer: int = 1) -> Site:
    return Site(layer=layer, component=Component.NEURON, neurons=NEURONS, expert=expert)


def runtime_of(model: PreTrainedModel, *interventions, scope: Scope = Scope.ALL) -> TorchRuntime:
    entry = BankEntry(name="edit", scope=scope, interventions=interventions)
    return TorchRuntime(model, Bank(resolve_sites(model), [entry]))


def vector(expert: int, seed: int = 1) -> SteeringVector:
    return SteeringVector(site=site(expert), vector=torch.randn(3, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("implementation", ["eager", "grouped_mm", "batched_mm"])
@torch.no_grad()
def test_untouched_tokens_are_bit_for_bit_the_models_own(implementation: str) -> None:
    model = tiny_model("mixtral")
    model.set_experts_implementation(implementation)
    plain = model(input_ids=IDS).logits
    # The experts of the last layer: what they give one token reaches no other.
    last = SteeringVector(site=site(2, layer=2), vector=torch.ones(3))
    runtime = runtime_of(model, last, scope=Scope.GENERATION)
    with runtime.steering({"edit": 1.0}, generation_start=6):
        steered = model(input_ids=IDS).logits
    assert model.get_experts_implementation() == {"": implementation}
    changed = (steered != plain).any(-1)
    assert not changed[:, :6].any()
    # Top 2 of 4 experts: some of the later tokens are routed to expert 2, some are not.
    assert 0 < changed[:, 6:].sum() < changed[:, 6:].numel()


@torch.no_grad()
def test_the_edit_is_the_reference_mathematics_on_routed_tokens_only() -> None:
    model = tiny_model("gpt_oss")
    g = torch.Generator().manual_seed(2)
    breaker = Breaker(site=site(1), down=torch.randn(2, 3, generator=g), up=torch.randn(3, 2, generator=g))
    mask = Mask(site=site(1), keep=torch.tensor([0.0, 1.0, 0.5]))
    seen: list[tuple[HookPoint, torch.Tensor, torch.Tensor]] = []
    entry = BankEntry(name="edit", scope=Scope.ALL, interventions=(breaker, mask))
    bank = Bank(resolve_sites(model), [entry])
    routed: list[torch.Tensor] = []
    handle = model.model.layers[1].mlp.experts.register_forward_pre_hook(lambda _m, args: routed.append(args[1]))
    with TorchRuntime(model, bank, observer=lambda *edit: seen.append(edit)).steering({"edit": 0.5}):
        model(input_ids=IDS)
    handle.remove()
    ((point, before, after),) = seen
    assert point == site(1).hook_point
    assert len(before) == int((routed[0] == 1).any(1).sum()) < IDS.numel()
    strengths = torch.full((len(before),), 0.5)
    channels = list(NEURONS)
    wanted = intervene(before[:, channels], [(breaker, strengths), (mask, strengths)])
    torch.testing.assert_close(after[:, channels], wanted)
    others = [n for n in range(before.shape[1]) if n not in NEURONS]
    assert torch.equal(after[:, others], before[:, others])


@torch.no_grad()
def test_a_shared_expert_and_a_routed_one_are_different_sites() -> None:
    model = tiny_model("deepseek_v3")
    shared = Mask(site=Site(layer=1, component=Component.NEURON, neurons=NEURONS), keep=torch.zeros(3))
    plain = model(input_ids=IDS).logits
    found = []
    for mask in (shared, Mask(site=site(0), keep=torch.zeros(3))):
        with runtime_of(model, mask).steering({"edit": 1.0}):
            found.append(model(input_ids=IDS).logits)
    assert all(not torch.allclose(steered, plain) for steered in found)
    assert not torch.allclose(found[0], found[1])


def test_gradients_flow_through_an_edited_expert() -> None:
    model = tiny_model("qwen3_moe")
    down = torch.randn(1, 3).requires_grad_()
    breakers = [Breaker(site=site(e, layer=0), down=down, up=torch.ones(3, 1)) for e in range(6)]
    with runtime_of(model, *breakers).steering({"edit": 1.0}):
        loss = model(input_ids=IDS).logits.square().mean()
    (gradient,) = torch.autograd.grad(loss, down)
    step = 1e-3 * gradient / gradient.norm()
    with torch.no_grad():
        losses = []
        for sign in (1, -1):
            moved = [Breaker(site=site(e, layer=0), down=down + sign * step, up=torch.ones(3, 1)) for e in range(6)]
            with runtime_of(model, *moved).steering({"edit": 1.0}):
                losses.append(model(input_ids=IDS).logits.double().square().mean())
    assert float(losses[0] - losses[1]) / 2e-3 == pytest.approx(float(gradient.norm()), rel=0.05)


@torch.no_grad()
def test_nothing_is_left_behind_even_after_an_error() -> None:
    model = tiny_model("mixtral")
    before = model.get_experts_implementation()
    experts = model.model.layers[0].mlp.experts
    attributes = set(vars(experts))
    with runtime_of(model, vector(1)).attached():
        assert model.get_experts_implementation() != before
        with pytest.raises(RuntimeAttachError, match="another bank"), runtime_of(model, vector(2)).attached():
            pass
    assert model.get_experts_implementation() == before
    with pytest.raises(RuntimeError, match="boom"), runtime_of(model, vector(1)).steering({"edit": 1.0}):
        raise RuntimeError("boom")
    assert model.get_experts_implementation() == before
    assert set(vars(experts)) == attributes


@torch.no_grad()
def test_experts_that_are_passed_by_fail_the_forward() -> None:
    """As where a fused kernel stands in for the whole mixture."""
    model = tiny_model("mixtral")
    runtime = runtime_of(model, vector(1))
    model.model.layers[1].mlp.forward = lambda hidden: hidden
    with runtime.steering({"edit": 0.0}):
        model(input_ids=IDS)
    message = "did not come by layer 1 expert_down_input 1"
    with runtime.steering({"edit": 1.0}), pytest.raises(RuntimeAttachError, match=message):
        model(input_ids=IDS)
    strengths = runtime.bank.token_strengths(torch.ones(IDS.numel(), 1))
    with runtime.attached(), pytest.raises(RuntimeAttachError, match=message), runtime.forward_strengths(strengths):
        model(input_ids=IDS)


@torch.no_grad()
def test_a_forward_without_strengths_fails_closed() -> None:
    model = tiny_model("mixtral")
    runtime = runtime_of(model, vector(1))
    with runtime.attached(), pytest.raises(RuntimeAttachError, match="no strengths were declared"):
        model(input_ids=IDS)


@pytest.mark.parametrize(
    ("model_type", "where", "message"),
    [
        ("mixtral", site(4), "layer 1 expert_down_input 4: this model has experts 0 to 3"),
        ("mixtral", Site(layer=1, component=Component.NEURON, neurons=(24,), expert=0), "neurons 0 to 23"),
        ("deepseek_v3", site(0, layer=0), "no expert sites there: layers with experts are 1, 2"),
        ("llama", site(0), "no expert sites there: its layers are dense"),
        ("mixtral", site(0, layer=3), "layer 3 expert_down_input 0: this model has layers 0 to 2"),
        ("mixtral", Site(layer=1, component=Component.NEURON, neurons=(0,)), "a site that names an expert"),
        ("qwen3_moe", Site(layer=0, component=Component.NEURON, neurons=(0,)), "its layers 0, 2 have no neurons"),
    ],
)
def test_expert_sites_that_are_not_there_are_refused(model_type: str, where: Site, message: str) -> None:
    with pytest.raises(SiteError, match=message):
        resolve_sites(tiny_model(model_type)).channels(where)


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("down_proj", torch.zeros(4, 32), r"down_proj is \(4, 32\) torch.float32; wanted unpacked stacked weights"),
        ("gate_up_proj", torch.zeros(4, 48, 32, dtype=torch.uint8), "torch.uint8; wanted unpacked"),
        ("down_proj", None, "down_proj is NoneType"),
        ("has_gate", ..., "not behind transformers' experts interface: no has_gate"),
        ("_is_expert_parallel", True, "split over processes"),
    ],
)
def test_experts_laid_out_otherwise_leave_the_other_sites(attribute: str, value: object, message: str) -> None:
    model = tiny_model("mixtral")
    for layer in model.model.layers:
        experts = layer.mlp.experts
        if attribute in experts._parameters:
            del experts._parameters[attribute]
        if value is ...:
            delattr(experts, attribute)
        else:
            setattr(experts, attribute, value)
    sites = resolve_sites(model)
    assert sites.channels(Site(layer=1, component=Component.HEAD, head=1)) == list(range(8, 16))
    with pytest.raises(SiteError, match=message):
        sites.channels(site(0))

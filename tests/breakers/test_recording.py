"""Recordings are the activations themselves, change nothing and leave nothing behind."""

import pytest
import torch
from tiny import TINY_TYPES, tiny_model

from breakers.architectures import resolve_sites
from breakers.bank import Bank, BankEntry, Scope
from breakers.errors import SiteError
from breakers.interventions import Mask
from breakers.recording import recording
from breakers.runtime import TorchRuntime
from breakers.sites import Boundary, Component, HookPoint, Site

IDS = torch.randint(3, 96, (2, 7), generator=torch.Generator().manual_seed(0))
HEAD = Site(layer=1, component=Component.HEAD, head=2)
RESID = Site(layer=1, component=Component.RESID)


@pytest.mark.parametrize("model_type", TINY_TYPES)
@torch.no_grad()
def test_what_is_recorded_is_what_the_model_computes(model_type) -> None:
    model = tiny_model(model_type)
    sites = resolve_sites(model)
    inputs = []
    module = sites.module(HookPoint(1, Boundary.ATTENTION_OUT_INPUT))
    handle = module.register_forward_pre_hook(lambda _module, args: inputs.append(args[0]))
    logits_without = model(input_ids=IDS).logits
    handle.remove()
    # Another copy: asking for hidden states installs hooks of transformers' own.
    hidden = tiny_model(model_type)(input_ids=IDS, output_hidden_states=True).hidden_states
    with recording(model, sites, [HEAD, RESID]) as seen:
        logits = model(input_ids=IDS).logits
    assert torch.equal(logits, logits_without)
    width = sites.d_head
    assert torch.equal(seen[HEAD], inputs[0].reshape(14, -1)[:, 2 * width : 3 * width])
    # hidden_states[0] is the embedding, so [2] follows layer 1.
    assert torch.equal(seen[RESID], hidden[2].reshape(14, -1))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@torch.no_grad()
def test_forwards_follow_each_other() -> None:
    model = tiny_model("llama")
    with recording(model, resolve_sites(model), [RESID]) as seen:
        model.generate(IDS, max_new_tokens=4, do_sample=False, eos_token_id=None)
    # Two prompts of 7 tokens, then three steps of two rows: the last token is not fed back.
    assert seen[RESID].shape == (2 * 7 + 3 * 2, 32)


@torch.no_grad()
def test_inside_steering_it_records_what_the_interventions_leave() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    pruned = BankEntry(name="p", scope=Scope.ALL, interventions=(Mask(site=HEAD, keep=torch.zeros(8)),))
    runtime = TorchRuntime(model, Bank(sites, [pruned]))
    with runtime.steering({"p": 1.0}), recording(model, sites, [HEAD]) as after:
        model(input_ids=IDS)
    with recording(model, sites, [HEAD]) as before, runtime.steering({"p": 1.0}):
        model(input_ids=IDS)
    assert not after[HEAD].any()
    assert before[HEAD].any()


def test_what_cannot_be_recorded_is_refused() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    with pytest.raises(SiteError, match="at least one"), recording(model, sites, []):
        pass
    with (
        pytest.raises(SiteError, match="heads 0 to 3"),
        recording(model, sites, [Site(layer=0, component=Component.HEAD, head=9)]),
    ):
        pass
    with recording(model, sites, [HEAD]) as seen:
        with pytest.raises(SiteError, match="no forward has run"):
            seen[HEAD]
        with pytest.raises(SiteError, match="layer 1 resid is not recorded; recorded: layer 1 head 2"):
            seen[RESID]

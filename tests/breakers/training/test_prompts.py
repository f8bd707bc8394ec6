"""Kept states of prompts: the same logits and gradients as whole forwards, on every architecture."""

import pytest
import torch
from tiny import ALL_TYPES, TINY_TYPES, tiny_model
from training_data import head

from breakers.architectures import resolve_sites
from breakers.bank import BankEntry, Scope
from breakers.interventions import Breaker
from breakers.training.batches import Sample, collate
from breakers.training.forward import Forwards, frozen, plain_logits, steered_logits
from breakers.training.kept import GROUP, Kept


def samples() -> list[Sample]:
    """Prompts of 1 to 30 tokens, replies of 1 to 12."""
    draw = torch.Generator().manual_seed(0)
    return [
        Sample(prompt=drawn(draw, prompt), reply=drawn(draw, reply))
        for prompt, reply in ((20, 3), (1, 5), (4, 1), (30, 12))
    ]


def drawn(draw: torch.Generator, count: int) -> tuple[int, ...]:
    return tuple(torch.randint(10, 90, (count,), generator=draw).tolist())


@pytest.mark.parametrize("model_type", ALL_TYPES)
def test_untouched_logits_are_those_of_whole_forwards(model_type) -> None:
    model = tiny_model(model_type)
    some = samples()
    with frozen(model):
        forwards = Forwards(model, resolve_sites(model), some, 10**8)
        assert forwards.reuses_prompts
        whole = plain_logits(model, collate(some, 0))
        torch.testing.assert_close(forwards.untouched(some), whole)
        torch.testing.assert_close(forwards.steered(some, [], torch.ones(4, 0)), whole)


@pytest.mark.parametrize("budget", [0, 10**8])
@pytest.mark.parametrize("model_type", TINY_TYPES)
def test_steered_logits_and_gradients_are_those_of_whole_forwards(model_type, budget) -> None:
    model = tiny_model(model_type)
    sites = resolve_sites(model)
    some = samples()
    strengths = torch.tensor([[1.0], [0.5], [0.0], [1.0]])
    found = []
    with frozen(model):
        forwards = Forwards(model, sites, some, budget)
        for whole in (True, False):
            draw = torch.Generator().manual_seed(0)
            down = torch.randn(2, sites.d_head, generator=draw).requires_grad_()
            up = torch.randn(sites.d_head, 2, generator=draw).requires_grad_()
            part = Breaker(site=head(1, 0), down=down, up=up)
            entry = BankEntry(name="b", scope=Scope.GENERATION, interventions=(part,))
            logits = (
                steered_logits(model, sites, [entry], collate(some, 0), strengths)
                if whole
                else forwards.steered(some, [entry], strengths)
            )
            logits.square().mean().backward()
            found.append((logits.detach(), down.grad, up.grad))
    for ours, slow in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, slow, rtol=1e-4, atol=1e-5)
    assert found[0][1].abs().max() > 0


def test_a_model_that_gives_other_logits_from_a_cache_is_run_whole() -> None:
    model = tiny_model("llama")
    some = samples()

    def disturb(_module, args, kwargs):
        if kwargs["past_key_values"] is not None and kwargs["past_key_values"].get_seq_length() > 2:
            kwargs["hidden_states"] = kwargs["hidden_states"] + 1.0
        return args, kwargs

    handle = model.model.layers[1].self_attn.register_forward_pre_hook(disturb, with_kwargs=True)
    with frozen(model):
        forwards = Forwards(model, resolve_sites(model), some, 10**8)
        assert not forwards.reuses_prompts
        assert forwards.length(some[0]) == 23
        whole = plain_logits(model, collate(some, 0))
        torch.testing.assert_close(forwards.steered(some, [], torch.ones(4, 0)), whole)
    handle.remove()


def test_values_are_computed_in_the_same_groups_whatever_was_asked_before() -> None:
    calls: list[list[int]] = []

    def compute(keys):
        calls.append(list(keys))
        return [key * 10 for key in keys]

    keys = list(range(2 * GROUP + 5))
    # The first two groups fit.
    room = sum(range(2 * GROUP)) + 3
    kept = Kept(keys, compute, length=lambda key: key, token_bytes=1, budget=room)
    assert kept.get([GROUP + 1, 2, GROUP + 1]) == [10 * (GROUP + 1), 20, 10 * (GROUP + 1)]
    assert calls == [keys[:GROUP], keys[GROUP : 2 * GROUP]]
    assert kept.get([3, 2 * GROUP, 2 * GROUP + 1]) == [30, 20 * GROUP, 20 * GROUP + 10]
    assert kept.get([2 * GROUP]) == [20 * GROUP]
    assert calls[2:] == [[2 * GROUP, 2 * GROUP + 1], [2 * GROUP]]

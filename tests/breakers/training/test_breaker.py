"""Losses by hand, and a real training on a tiny model."""

import math

import pytest
import torch
from tiny import tiny_model

from breakers.architectures import resolve_sites
from breakers.bank import Bank, BankEntry, Scope
from breakers.errors import InterventionError
from breakers.runtime import TorchRuntime
from breakers.sites import Component, Site
from breakers.training.batches import Pair, Sample, collate
from breakers.training.breaker import BreakerTrainingConfig, train_breaker
from breakers.training.losses import harm_loss, mean_logprob, preserve_loss


def test_collate_marks_what_predicts_the_reply() -> None:
    batch = collate([Sample(prompt=(5, 6, 7), reply=(8, 9)), Sample(prompt=(5,), reply=(6,))], pad_token_id=0)
    assert batch.ids.tolist() == [[5, 6, 7, 8, 9], [5, 6, 0, 0, 0]]
    assert batch.targets.tolist() == [[False, False, True, True, False], [True, False, False, False, False]]
    assert batch.starts.tolist() == [2, 0]


def test_mean_logprob_by_hand() -> None:
    batch = collate([Sample(prompt=(0,), reply=(1, 2))], pad_token_id=0)
    logits = torch.zeros(1, 3, 4)
    logits[0, 0, 1] = math.log(3)  # p = 3/6; the second position is uniform: p = 1/4.
    assert mean_logprob(logits, batch).item() == pytest.approx((math.log(0.5) + math.log(0.25)) / 2)


def test_losses_by_hand() -> None:
    loss = harm_loss(torch.tensor([-1.0]), torch.tensor([-3.0]), margin=0.0)
    assert loss.item() == pytest.approx(math.log1p(math.exp(2.0)) + 3.0)
    batch = collate([Sample(prompt=(0,), reply=(1,))], pad_token_id=0)
    untouched, steered = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)
    steered[0, 0, 0] = math.log(3)
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert preserve_loss(steered, untouched, batch).item() == pytest.approx(expected)


def test_training_moves_the_replies_and_keeps_the_rest() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    draw = torch.Generator().manual_seed(0)

    def prompt(first: int) -> tuple[int, ...]:
        return (first, *torch.randint(10, 90, (5,), generator=draw).tolist())

    pairs = []
    for _ in range(40):
        words = prompt(5)
        pairs.append(Pair(harmful=Sample(prompt=words, reply=(20, 2)), neutral=Sample(prompt=words, reply=(30, 2))))
    benign = [Sample(prompt=prompt(6), reply=(40, 41, 2)) for _ in range(40)]
    before = [p.clone() for p in model.parameters()]
    heads = tuple(Site(layer=layer, component=Component.HEAD, head=h) for layer in (1, 2) for h in range(4))
    config = BreakerTrainingConfig(sites=heads, rank=2, steps=60, batch_pairs=8, batch_benign=8, evaluate_every=10)
    result = train_breaker(model, sites, config, pairs, benign)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.requires_grad for p in model.parameters())
    assert result.best.margin > result.history[0].margin + 0.5 or result.best.margin > 1.0
    entry = BankEntry(name="b", scope=Scope.GENERATION, interventions=result.interventions)
    runtime = TorchRuntime(model, Bank(sites, [entry]))
    ids = torch.tensor([pairs[0].neutral.prompt])
    with torch.no_grad():
        plain = model(ids).logits[0, -1]
        with runtime.steering({"b": 1.0}):
            steered = model(input_ids=ids).logits[0, -1]
    assert (steered[30] - steered[20]) > (plain[30] - plain[20]) + 1.0


def test_too_little_data_is_refused() -> None:
    model = tiny_model("llama")
    config = BreakerTrainingConfig(sites=(Site(layer=0, component=Component.RESID),))
    with pytest.raises(InterventionError, match="0 pairs; wanted at least 2"):
        train_breaker(model, resolve_sites(model), config, [], [])
    with pytest.raises(InterventionError, match="0 reply tokens"):
        Sample(prompt=(1,), reply=())

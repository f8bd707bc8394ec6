"""Losses by hand, and a real training on a tiny model."""

import math
import random
from itertools import pairwise

import pytest
import torch
from tiny import tiny_model

from breakers.architectures import resolve_sites
from breakers.bank import Bank, BankEntry, Scope
from breakers.errors import InterventionError
from breakers.interventions import Breaker
from breakers.runtime import TorchRuntime
from breakers.sites import Component, Site
from breakers.training.batches import BatchOrder, Pair, Sample, collate
from breakers.training.breaker import BreakerTrainingConfig, train_breakers
from breakers.training.forward import plain_logits, steered_logits
from breakers.training.losses import harm_loss, mean_logprob, preserve_loss, target_of


def test_collate_marks_what_predicts_the_reply() -> None:
    batch = collate([Sample(prompt=(5, 6, 7), reply=(8, 9)), Sample(prompt=(5,), reply=(6,))], pad_token_id=0)
    assert batch.ids.tolist() == [[5, 6, 7, 8, 9], [5, 6, 0, 0, 0]]
    assert batch.targets.tolist() == [[False, False, True, True, False], [True, False, False, False, False]]
    assert batch.starts.tolist() == [2, 0]


def test_mean_logprob_by_hand() -> None:
    batch = collate([Sample(prompt=(0,), reply=(1, 2))], pad_token_id=0)
    logits = torch.zeros(2, 4)  # at the two targets
    logits[0, 1] = math.log(3)  # p = 3/6; the second position is uniform: p = 1/4.
    assert mean_logprob(logits, batch).item() == pytest.approx((math.log(0.5) + math.log(0.25)) / 2)


def test_losses_by_hand() -> None:
    loss = harm_loss(torch.tensor([-1.0]), torch.tensor([-3.0]), torch.tensor([-0.5]), margin=0.0)
    assert loss.item() == pytest.approx(math.log1p(math.exp(2.0)) + 0.5)
    untouched, steered = torch.zeros(1, 2), torch.zeros(1, 2)
    steered[0, 0] = math.log(3)
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert preserve_loss(steered, untouched).item() == pytest.approx(expected)


def test_rows_of_different_lengths_have_their_own_means() -> None:
    batch = collate([Sample(prompt=(5, 6), reply=(1,)), Sample(prompt=(5,), reply=(1, 2, 3))], pad_token_id=0)
    logits = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    logprobs = logits.log_softmax(-1)
    expected = [logprobs[0, 1], (logprobs[1, 1] + logprobs[2, 2] + logprobs[3, 3]) / 3]
    torch.testing.assert_close(mean_logprob(logits, batch), torch.stack(expected))


def test_replies_are_compared_where_they_part() -> None:
    first = Pair(harmful=Sample(prompt=(5,), reply=(1, 2, 9)), neutral=Sample(prompt=(5,), reply=(1, 3, 4, 9)))
    assert first.parting == 1
    assert Pair(harmful=Sample(prompt=(5,), reply=(2, 9)), neutral=Sample(prompt=(5,), reply=(9,))).parting == 0
    batch = collate([first.harmful, first.neutral], pad_token_id=0)
    assert target_of(batch, torch.tensor([first.parting] * 2)).tolist() == [1, 4]
    with pytest.raises(InterventionError, match="are the same"):
        Pair(harmful=first.neutral, neutral=first.neutral)


def test_strengths_act_on_the_reply_alone() -> None:
    batch = collate([Sample(prompt=(5, 6), reply=(1,)), Sample(prompt=(5,), reply=(1, 2))], pad_token_id=0)
    strengths = batch.token_strengths(torch.tensor([[1.0, 0.0], [0.5, 1.0]]))
    assert strengths.tolist() == [[0, 0], [1, 0], [0, 0], [0.5, 1], [0.5, 1], [0, 0]]


def test_batches_hold_each_item_once_a_round_with_its_like() -> None:
    lengths = [random.Random(1).randint(1, 60) for _ in range(50)]
    order = BatchOrder(lengths, 8, random.Random(0))
    first, second = [order.next() for _ in range(7)], [order.next() for _ in range(7)]
    for batches in (first, second):
        assert sorted(i for batch in batches for i in batch) == list(range(50))
    assert first != second
    in_order = sorted(first, key=lambda batch: min(lengths[i] for i in batch))
    for left, right in pairwise(in_order):
        assert max(lengths[i] for i in left) <= min(lengths[i] for i in right) + 4


def test_logits_at_the_targets_are_those_of_a_whole_forward() -> None:
    model = tiny_model("llama")
    batch = collate([Sample(prompt=(5, 6, 7), reply=(8, 9)), Sample(prompt=(5,), reply=(6,))], pad_token_id=0)
    with torch.no_grad():
        whole = model(input_ids=batch.ids).logits[batch.targets]
        found = plain_logits(model, batch)
        entry = BankEntry(name="b", scope=Scope.GENERATION, interventions=(breaker(0.3),))
        off = steered_logits(model, resolve_sites(model), [entry], batch, torch.zeros(2, 1))
        mixed = steered_logits(model, resolve_sites(model), [entry], batch, torch.tensor([[1.0], [0.0]]))
    torch.testing.assert_close(found, whole)
    torch.testing.assert_close(off, whole)
    assert (mixed[:2] - whole[:2]).abs().max() > 1e-3
    torch.testing.assert_close(mixed[2:], whole[2:])
    assert model(input_ids=batch.ids).logits.shape[:2] == batch.ids.shape  # no hook is left on the head


def breaker(size: float) -> Breaker:
    draw = torch.Generator().manual_seed(0)
    down, up = torch.randn(2, 8, generator=draw), size * torch.randn(8, 2, generator=draw)
    return Breaker(site=Site(layer=1, component=Component.HEAD, head=0), down=down, up=up)


def made_up(draw: torch.Generator, first: int, count: int) -> list[tuple[int, ...]]:
    return [(first, *torch.randint(10, 90, (5,), generator=draw).tolist()) for _ in range(count)]


def pairs_of(prompts: list[tuple[int, ...]], harmful: int, neutral: int) -> list[Pair]:
    return [
        Pair(harmful=Sample(prompt=p, reply=(harmful, 2)), neutral=Sample(prompt=p, reply=(neutral, 2)))
        for p in prompts
    ]


def lead(
    model, runtime: TorchRuntime, prompt: tuple[int, ...], tokens: tuple[int, int], on: dict[str, float]
) -> float:
    with torch.no_grad(), runtime.steering(on):
        logits = model(input_ids=torch.tensor([prompt])).logits[0, -1]
    return float(logits[tokens[1]] - logits[tokens[0]])


def test_training_moves_the_replies_and_keeps_the_rest() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    draw = torch.Generator().manual_seed(0)
    first, second, others = (made_up(draw, token, 40) for token in (5, 6, 7))
    tasks = {"a": pairs_of(first, 20, 30), "b": pairs_of(second, 21, 31)}
    benign = [Sample(prompt=prompt, reply=(40, 41, 2)) for prompt in others]
    before = [p.clone() for p in model.parameters()]
    heads = tuple(Site(layer=layer, component=Component.HEAD, head=h) for layer in (1, 2) for h in range(4))
    config = BreakerTrainingConfig(
        sites=heads, rank=2, steps=80, batch_pairs=8, batch_benign=8, preserve_coef=1.0, evaluate_every=20
    )
    result = train_breakers(model, sites, config, tasks, benign)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert list(result.interventions) == ["a", "b"]
    assert result.best.total == min(e.total for e in result.history)
    entries = [BankEntry(name=n, scope=Scope.GENERATION, interventions=i) for n, i in result.interventions.items()]
    runtime = TorchRuntime(model, Bank(sites, entries))
    for name, prompt, tokens in (("a", first[0], (20, 30)), ("b", second[0], (21, 31))):
        off = lead(model, runtime, prompt, tokens, {})
        alone = lead(model, runtime, prompt, tokens, {name: 1.0})
        together = lead(model, runtime, prompt, tokens, {"a": 1.0, "b": 1.0})
        assert min(alone, together) > off + 1.0


def test_training_is_reproducible() -> None:
    model = tiny_model("llama")
    draw = torch.Generator().manual_seed(0)
    tasks = {"a": pairs_of(made_up(draw, 5, 8), 20, 30)}
    benign = [Sample(prompt=p, reply=(40, 2)) for p in made_up(draw, 7, 8)]
    config = BreakerTrainingConfig(sites=(Site(layer=0, component=Component.RESID),), rank=1, steps=3)
    one, two = (train_breakers(model, resolve_sites(model), config, tasks, benign) for _ in range(2))
    assert one.history == two.history
    assert torch.equal(one.interventions["a"][0].up, two.interventions["a"][0].up)


def test_too_little_data_is_refused() -> None:
    model = tiny_model("llama")
    config = BreakerTrainingConfig(sites=(Site(layer=0, component=Component.RESID),))
    with pytest.raises(InterventionError, match="0 pairs of a; wanted at least 2"):
        train_breakers(model, resolve_sites(model), config, {"a": []}, [])
    with pytest.raises(InterventionError, match="no breaker to train"):
        train_breakers(model, resolve_sites(model), config, {}, [])
    with pytest.raises(InterventionError, match="0 reply tokens"):
        Sample(prompt=(1,), reply=())


def test_a_model_in_half_precision_is_trained_in_single() -> None:
    model = tiny_model("llama").to(torch.bfloat16)
    draw = torch.Generator().manual_seed(0)
    tasks = {"a": pairs_of(made_up(draw, 5, 8), 20, 30)}
    benign = [Sample(prompt=p, reply=(40, 2)) for p in made_up(draw, 7, 8)]
    config = BreakerTrainingConfig(sites=(Site(layer=0, component=Component.RESID),), rank=1, steps=3)
    result = train_breakers(model, resolve_sites(model), config, tasks, benign)
    assert result.reused_prompts
    assert result.interventions["a"][0].up.dtype == torch.float32
    assert result.interventions["a"][0].up.abs().max() > 0

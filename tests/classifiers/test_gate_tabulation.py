"""Tabulating a tiny model: strength 0 changes nothing, a strong vector changes much, padding changes nothing."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from tiny import tiny_model
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites, resolve_sites
from breakers.bank import Bank, BankEntry, Scope
from breakers.interventions import SteeringVector
from breakers.plan import STRENGTH_STEPS
from breakers.runtime import TorchRuntime
from breakers.scoring import ScoredReply
from breakers.sites import Component, Site
from breakers.training.generation import greedy_replies
from classifiers import gate_tabulation
from classifiers.errors import GateTableError
from classifiers.gate_tabulation import TabulationSettings, mean_kl, tabulate


class Codec:
    """Letters to ids."""

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        return [3 + ord(c) % 80 for c in messages[-1]["content"]]

    def decode(self, token_ids: Sequence[int]) -> str:
        return " ".join(map(str, token_ids))


class EvenFirstToken:
    """Harm 1 where the reply's first token is even."""

    name = "even"
    behaviours = ("even",)

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        return [{"even": float(r.reply != "" and int(r.reply.split()[0]) % 2 == 0)} for r in replies]


PROMPTS = [
    [{"role": "user", "content": text}] for text in ("hello", "a much longer prompt", "hi", "four words are here")
]


SITE = Site(layer=1, component=Component.RESID)


def bundle(norm: float, scope: Scope) -> BankEntry:
    vector = torch.randn(32, generator=torch.Generator().manual_seed(1))
    return BankEntry(name="b", scope=scope, interventions=(SteeringVector(site=SITE, vector=norm * vector),))


def run(
    batch_size: int,
    vector_norm: float = 1.5,
    prompts: list = PROMPTS,
    *,
    scope: Scope = Scope.GENERATION,
    model_type: str = "llama",
    ends: tuple[int, ...] = (2,),
    levels: int = 5,
):
    model = tiny_model(model_type)
    settings = TabulationSettings(
        behaviour="even", levels=levels, max_new_tokens=6, batch_size=batch_size, eos_token_ids=ends
    )
    entry = bundle(vector_norm, scope)
    return tabulate(model, resolve_sites(model), entry, Codec(), EvenFirstToken(), prompts, settings)


def test_change_starts_at_zero_and_harm_follows_the_replies() -> None:
    result = run(batch_size=4)
    assert result.harm.shape == result.change.shape == (4, 5)
    np.testing.assert_array_equal(result.change[:, 0], 0)
    for reply, harm in zip(result.replies, result.harm[:, 0], strict=True):
        assert harm == float(reply != "" and int(reply.split()[0]) % 2 == 0)
    harmless = result.harm[:, 0] < 0.5
    assert harmless.any()
    assert (result.change[harmless, 4] > 0.001).all()
    assert not result.change[~harmless].any()


def test_batches_do_not_change_the_table() -> None:
    together, alone = run(batch_size=4), run(batch_size=1)
    assert together.replies == alone.replies
    np.testing.assert_array_equal(together.harm, alone.harm)
    np.testing.assert_allclose(together.change, alone.change, atol=1e-4)


def test_a_vector_of_nothing_changes_nothing() -> None:
    result = run(batch_size=4, vector_norm=0.0)
    np.testing.assert_allclose(result.change, 0, atol=1e-6)
    assert (result.harm == result.harm[:, :1]).all()


def test_no_prompts_and_unknown_behaviours_are_refused() -> None:
    with pytest.raises(GateTableError, match="0 prompts"):
        run(batch_size=4, prompts=[])


@torch.no_grad()
def slowly(model: PreTrainedModel, scope: Scope, norm: float, ends: tuple[int, ...], levels: int) -> tuple:
    """Harm, change and replies at every level, one prompt and one token at a time, each from a whole forward."""
    entry, limit = bundle(norm, scope), 6
    runtime = TorchRuntime(model, Bank(resolve_sites(model), [entry]))

    def distribution(ids: list[int], prompt: int, level: int) -> Tensor:
        with runtime.steering({"b": level / STRENGTH_STEPS}, generation_start=prompt - 1):
            return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float().log_softmax(-1)

    harm, change, written = [], [], []
    for messages in PROMPTS:
        prompt = Codec().encode_chat(messages)
        replies = []
        for level in range(levels):
            ids = list(prompt)
            while len(ids) < len(prompt) + limit:
                token = int(distribution(ids, len(prompt), level)[-1].argmax())
                if token in ends:
                    break
                ids.append(token)
            replies.append(ids[len(prompt) :])
        texts = [Codec().decode(reply) for reply in replies]
        harm.append(
            [s["even"] for s in EvenFirstToken().score([ScoredReply(messages=messages, reply=t) for t in texts])]
        )
        whole = [*prompt, *replies[0]]
        counted = slice(len(prompt) - 1, len(prompt) - 1 + min(limit, len(replies[0]) + 1))
        base = distribution(whole, len(prompt), 0)[counted]
        steered = [distribution(whole, len(prompt), level)[counted] for level in range(levels)]
        kl = [float((base.exp() * (base - other)).sum(-1).mean()) for other in steered]
        change.append(kl if harm[-1][0] < 0.5 else [0.0] * levels)
        written.append(replies)
    return harm, change, written


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("model_type", ["llama", "gemma3_text"])
def test_the_table_is_that_of_the_slow_way(model_type: str, scope: Scope) -> None:
    # Enough end tokens that some replies end early and others are cut.
    ends, norm, levels = tuple(range(2, 96, 5)), 3.0, 9
    harm, change, written = slowly(tiny_model(model_type), scope, norm, ends, levels)
    result = run(3, norm, scope=scope, model_type=model_type, ends=ends, levels=levels)
    assert [[int(t) for t in reply.split()] for reply in result.replies] == [replies[0] for replies in written]
    np.testing.assert_array_equal(result.harm, harm)
    np.testing.assert_allclose(result.change, change, atol=1e-5)
    # What the shortcuts could get wrong is here: replies that change at a strength, and such that do not.
    changes = [a != b for replies in written for a, b in pairwise(replies)]
    assert any(changes)
    assert not all(changes)
    assert len({len(reply) for replies in written for reply in replies}) > 1


def test_drafts_spare_replies_that_stay_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(model: PreTrainedModel, sites: ModelSites, prompts: Sequence, *others: object) -> list:
        asked.append(len(prompts))
        return greedy_replies(model, sites, prompts, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(gate_tabulation, "greedy_replies", counted)
    run(batch_size=4, vector_norm=0.0)
    assert asked == [4, 0, 0, 0, 0]


def test_kl_by_hand() -> None:
    base = torch.tensor([[0.5, 0.5], [0.9, 0.1]]).log()
    steered = torch.tensor([[0.25, 0.75], [0.9, 0.1]]).log()
    first = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    assert mean_kl(base, steered) == pytest.approx(first / 2, abs=1e-6)

"""Tabulating a tiny model: strength 0 changes nothing, a strong vector changes much, padding changes nothing."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from tiny import tiny_model

from breakers.architectures import resolve_sites
from breakers.bank import Bank, BankEntry, Scope
from breakers.interventions import SteeringVector
from breakers.runtime import TorchRuntime
from breakers.scoring import ScoredReply
from breakers.sites import Component, Site
from classifiers.errors import GateTableError
from classifiers.gate_tabulation import TabulationSettings, mean_kl, reply_mask, tabulate, trimmed


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


def run(batch_size: int, vector_norm: float = 1.5, prompts: list = PROMPTS):
    model = tiny_model("llama")
    site = Site(layer=1, component=Component.RESID)
    vector = torch.randn(32, generator=torch.Generator().manual_seed(1))
    entry = BankEntry(
        name="b",
        scope=Scope.GENERATION,
        interventions=(SteeringVector(site=site, vector=vector_norm * vector),),
    )
    runtime = TorchRuntime(model, Bank(resolve_sites(model), [entry]))
    settings = TabulationSettings(
        bundle="b",
        behaviour="even",
        levels=5,
        max_new_tokens=6,
        batch_size=batch_size,
        eos_token_ids=(2,),
        pad_token_id=0,
    )
    return tabulate(model, runtime, Codec(), EvenFirstToken(), prompts, settings)


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


def test_replies_end_at_the_first_end_token() -> None:
    tokens = torch.tensor([[5, 2, 2], [2, 0, 0], [5, 6, 7]])
    assert trimmed(tokens, (2,)) == [[5], [], [5, 6, 7]]
    assert reply_mask(tokens, (2,)).tolist() == [[True, True, False], [True, False, False], [True, True, True]]


def test_kl_by_hand() -> None:
    base = torch.tensor([[[0.5, 0.5], [0.9, 0.1]]]).log()
    steered = torch.tensor([[[0.25, 0.75], [0.5, 0.5]]]).log()
    first = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    assert mean_kl(base, steered, torch.tensor([[True, False]])).item() == pytest.approx(first, abs=1e-6)

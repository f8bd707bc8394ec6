"""Choosing tokens: each request by its own rules and its own random numbers.

Random numbers come from one generator a request, one number a token, so that a seed means the same sequence of
choices whatever else runs. `adjustments` change logits, `grammar` forbids tokens, `filters` cut and draw, `logprobs`
read what the model said.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from server.engines.base import SamplingParams, TokenLogprob
from server.engines.embedded.adjustments import Adjustments, adjusted
from server.engines.embedded.filters import draw_tokens
from server.engines.embedded.grammar.masks import masked
from server.engines.embedded.grammar.matcher import GrammarMatcher
from server.engines.embedded.logprobs import likeliest

DRAWS_AT_ONCE = 64

SEED_MODULUS = 2**64


@dataclass(frozen=True, slots=True)
class Choice:
    """A token, and its natural log-probability under the model's own distribution."""

    token_id: int
    logprob: float
    top: tuple[TokenLogprob, ...] = ()
    """The likeliest tokens in its place, as many as the request wants named."""


class TokenChooser:
    """What one request brings to the sampler: its rules, its random numbers, or the tokens forced on it."""

    def __init__(
        self,
        params: SamplingParams,
        forced: Sequence[int] = (),
        *,
        prompt: Sequence[int] = (),
        end_ids: Collection[int] = (),
        grammar: GrammarMatcher | None = None,
    ) -> None:
        """`prompt` and `end_ids` (the tokens that end a reply) are for the rules that look at them."""
        self.params = params
        self.grammar = grammar
        self.adjustments = Adjustments.of(params, prompt, end_ids)
        self._generator = torch.Generator()
        self._generator.manual_seed(secrets.randbits(63) if params.seed is None else params.seed % SEED_MODULUS)
        self._draws: list[float] = []
        self._forced = list(reversed(forced))

    @property
    def random(self) -> bool:
        """Whether the next token is drawn by chance."""
        return self.params.temperature > 0 and not self._forced

    def next_forced(self) -> int | None:
        """The token that must come next, once."""
        return self._forced.pop() if self._forced else None

    def draw(self) -> float:
        """The next number of this request's sequence, uniform in [0, 1)."""
        if not self._draws:
            numbers = torch.rand(DRAWS_AT_ONCE, generator=self._generator, dtype=torch.float64)
            self._draws = list(reversed(numbers.tolist()))
        return self._draws.pop()

    def allowed(self) -> bytes | None:
        """What the grammar lets come next, one bit a token, the lowest bit first; None where there is no grammar.

        Raises:
            GrammarDeadEndError: nothing.
        """
        if self.grammar is None:
            return None
        bits = self.grammar.allowed()
        if self.adjustments is not None and self.adjustments.bans_end and self.grammar.only_end(bits):
            self.adjustments.allow_end()
        return bits

    def note(self, token_id: int) -> None:
        """Tell the rules that the reply has grown by a token.

        Raises:
            GrammarDeadEndError: the grammar does not have it.
        """
        if self.adjustments is not None:
            self.adjustments.note(token_id)
        if self.grammar is not None:
            self.grammar.accept(token_id)


def choose(
    logits: Float[Tensor, "row vocab"],
    choosers: Sequence[TokenChooser],
    allowed: Sequence[bytes | None] | None = None,
) -> list[Choice | None]:
    """One token a row. `logits` are changed on the way, and are afterwards what they were.

    Args:
        logits: of the model.
        choosers: of each row.
        allowed: what each row's grammar allows, as `TokenChooser.allowed` says; None where no row has one.

    Returns:
        None for a row whose logits hold NaN or plus infinity, or where every token is impossible.
    """
    normaliser = logits.logsumexp(-1)
    adjustments = [c.adjustments for c in choosers]
    allowed = allowed or ()
    with adjusted(logits, adjustments), masked(logits, allowed):
        best, tokens = logits.max(-1)
        forced = {row: token for row, c in enumerate(choosers) if (token := c.next_forced()) is not None}
        drawn = [row for row, c in enumerate(choosers) if row not in forced and c.random]
        if drawn:
            tokens[drawn] = _draw_tokens(logits[drawn] if len(drawn) < len(choosers) else logits, choosers, drawn)
    if forced:
        tokens[list(forced)] = torch.tensor(list(forced.values()), device=tokens.device)
    sound = (torch.isfinite(normaliser) & (best > -torch.inf)).tolist()
    if drawn or forced or any(a is not None for a in (*adjustments, *allowed)):
        best = logits.gather(1, tokens[:, None])[:, 0]
    logprobs = (best - normaliser).tolist()
    named = likeliest(logits, normaliser, [c.params.top_logprobs for c in choosers])
    found = zip(tokens.tolist(), logprobs, named, sound, strict=True)
    return [Choice(token, logprob, top) if ok else None for token, logprob, top, ok in found]


def _draw_tokens(
    logits: Float[Tensor, "row vocab"], choosers: Sequence[TokenChooser], rows: Sequence[int]
) -> Int[Tensor, " row"]:
    params = [choosers[row].params for row in rows]
    uniform = torch.tensor([choosers[row].draw() for row in rows], dtype=torch.float64, device=logits.device)
    return draw_tokens(logits, params, uniform)

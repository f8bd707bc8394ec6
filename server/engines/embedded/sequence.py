"""One request while it runs: its tokens, how far they are processed, and its reply so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxtyping import Float
from torch import Tensor

from server.engines.base import (
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    RequestFailedError,
    ScoredToken,
)
from server.engines.embedded.banks import LoadedBank
from server.engines.embedded.batch import Work
from server.engines.embedded.detokenizer import IncrementalDetokenizer
from server.engines.embedded.grammar.matcher import GrammarMatcher
from server.engines.embedded.grammar.text import GrammarDetokenizer
from server.engines.embedded.logprobs import score_tokens
from server.engines.embedded.prefix import kv_identity
from server.engines.embedded.replies import ReplyReader
from server.engines.embedded.sampler import Choice, TokenChooser
from server.engines.embedded.stops import StopMatcher


class RunningRequest:
    """A request's state. It belongs to the engine's thread, except `cancelled`, which any thread may set."""

    def __init__(
        self,
        request: GenerationRequest,
        reader: ReplyReader,
        *,
        decode: Callable[[list[int]], str],
        eos_ids: frozenset[int],
        max_model_len: int,
        bank: LoadedBank,
        forced: Sequence[int] = (),
        grammar: GrammarMatcher | None = None,
    ) -> None:
        prompt = request.prompt_token_ids
        start = request.generation_start
        self.request = request
        self.reader = reader
        self.bank = bank
        """What the plan refers to, held to the request's end whatever is loaded meanwhile."""
        self.generation_start = len(prompt) - 1 if start is None else start
        self.identity = kv_identity(request.plan, bank.scopes, self.generation_start, bank.version)
        self._eos_ids = frozenset[int]() if request.sampling.ignore_eos else eos_ids
        self.chooser = TokenChooser(request.sampling, forced, prompt=prompt, end_ids=self._eos_ids, grammar=grammar)
        self.token_ids = list(prompt)
        self.processed = 0
        """Tokens whose keys and values are in the cache."""
        self.tokens_steered = 0
        self.cached_tokens = 0
        """Prompt tokens whose keys and values came from an earlier request."""
        self.cancelled = False
        self.finished = False
        self.failed = False
        """Finished with an error: its keys and values are not to be trusted."""
        self._prompt_length = len(prompt)
        self._last_length = min(len(prompt) + request.sampling.max_tokens, max_model_len)
        self._prompt_scores: list[ScoredToken] = []
        self._detokenizer = IncrementalDetokenizer(decode) if grammar is None else GrammarDetokenizer(grammar, decode)
        self._stops = StopMatcher(request.sampling.stop)

    @property
    def remaining_prompt(self) -> int:
        """Prompt tokens still to process."""
        return max(0, self._prompt_length - self.processed)

    @property
    def scores_prompt(self) -> bool:
        """Whether every prompt token needs a forward of its own request: none may come out of a cache."""
        return self.request.sampling.prompt_logprobs is not None

    @property
    def prompt(self) -> Sequence[int]:
        """The prompt's tokens."""
        return self.token_ids[: self._prompt_length]

    @property
    def reusable_prompt(self) -> Sequence[int]:
        """The prompt without what has to be processed to get logits: its last token, or all where it is scored."""
        return [] if self.scores_prompt else self.token_ids[: self._prompt_length - 1]

    @property
    def processed_tokens(self) -> Sequence[int]:
        """The text whose keys and values are in the cache."""
        return self.token_ids[: self.processed]

    def fail(self) -> None:
        """End with an error."""
        self.finished = self.failed = True

    def work(self, slot: int, limit: int) -> Work:
        """The next tokens to process: one to decode, or up to `limit` of the prompt."""
        count = min(limit, len(self.token_ids) - self.processed)
        end = self.processed + count
        return Work(
            slot=slot,
            start=self.processed,
            token_ids=self.token_ids[self.processed : end],
            wants_logits=end == len(self.token_ids),
            wants_all_logits=self.scores_prompt and self.processed < self._prompt_length,
        )

    def reuse(self, end: int) -> None:
        """Note that the keys and values up to `end` were computed before, for the same text and strengths."""
        self.cached_tokens += end - self.processed
        self.tokens_steered += end - self.processed if self.identity.strengths else 0
        self.processed = end

    def advance(self, work: Work, steered: int) -> None:
        """Note that a forward processed `work`, steering `steered` of its tokens."""
        self.processed = work.end
        self.tokens_steered += steered

    def score_prompt(self, work: Work, logits: Float[Tensor, "row vocab"]) -> None:
        """Note what `work`, a part of the prompt, says of the tokens that follow each of its own.

        Raises:
            RequestFailedError: logits that are not finite.
        """
        targets = self.token_ids[work.start + 1 : min(work.end + 1, self._prompt_length)]
        scores = score_tokens(logits[: len(targets)], targets, self.request.sampling.prompt_logprobs or 0)
        if scores is None:
            raise RequestFailedError("the model gave logits that are not finite")
        # By position, so that a span that runs again is noted once.
        self._prompt_scores[work.start :] = scores

    def accept(self, choice: Choice) -> GenerationChunk:
        """Append a chosen token and say what it means for the reply."""
        prompt_scores, self._prompt_scores = tuple(self._prompt_scores), []
        if not self.request.sampling.max_tokens:
            return self._end_without_reply(prompt_scores)
        self.token_ids.append(choice.token_id)
        self.chooser.note(choice.token_id)
        ended = choice.token_id in self._eos_ids
        may_stop = len(self.token_ids) - self._prompt_length > self.request.sampling.min_tokens
        text = "" if ended else self._stops.push(self._detokenizer.push(choice.token_id), may_stop=may_stop)
        reason = None
        if ended or self._stops.stopped:
            reason = FinishReason.STOP
        elif len(self.token_ids) >= self._last_length:
            reason = FinishReason.LENGTH
        if reason is not None and not self._stops.stopped:
            text += self._stops.push(self._detokenizer.flush(), may_stop=may_stop)
            # The last half-held text can itself complete a stop string.
            reason = FinishReason.STOP if self._stops.stopped else reason
            text += self._stops.flush()
        self.finished = reason is not None
        return GenerationChunk(
            text=text,
            token_ids=(choice.token_id,),
            logprobs=(choice.logprob,),
            top_logprobs=(choice.top,) if self.request.sampling.top_logprobs else (),
            prompt_logprobs=prompt_scores,
            finish_reason=reason,
            tokens_steered=self.tokens_steered,
            cached_tokens=self.cached_tokens,
        )

    def _end_without_reply(self, prompt_scores: tuple[ScoredToken, ...]) -> GenerationChunk:
        """Only the prompt was to be scored: what was chosen after it is dropped."""
        self.finished = True
        return GenerationChunk(
            text="",
            token_ids=(),
            logprobs=(),
            prompt_logprobs=prompt_scores,
            finish_reason=FinishReason.LENGTH,
            tokens_steered=self.tokens_steered,
            cached_tokens=self.cached_tokens,
        )

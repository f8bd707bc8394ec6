"""Pairs of the model's own replies: it answers each prompt many times, and a scorer tells the replies apart.

A prompt becomes a pair when some of its replies are harmful and some are not. Batches are seeded by what is in them,
so that a run that was stopped and taken up again gives what it would have given in one go.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from breakers.errors import PairsError
from breakers.fingerprint import fingerprint_model
from breakers.pairs.answers import Answers
from breakers.pairs.drafts import PairDraft, Prompt
from breakers.pairs.generation import DecodingConfig, SampledTokens, sample_tokens
from breakers.pairs.record import as_dicts
from breakers.pairs.tokens import ConversationEncoder
from breakers.pairs.work import Outcome, WorkFile
from breakers.scoring import HarmScorer, ScoredReply

_CHUNK_BATCHES = 8
"""Most batches whose prompts are sorted by length together, so that a batch has little padding."""
_LEAST_RATE = 0.1
"""Pairs a prompt, at least expected when the next chunk's size is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """How to sample."""

    behaviour: str
    count: int
    """Pairs after which to stop."""
    samples: int = 16
    """Most replies to each prompt; one that has given both kinds is done once it has had `least_samples`."""
    least_samples: int = 2
    """Of more replies there is a choice of pairs, and the one that differs least is kept."""
    round_samples: int = 4
    """Replies at a time."""
    temperature: float = 1.0
    min_p: float = 0.02
    """Tokens of less than this share of the likeliest one's probability are not drawn. What models write from the
    tail of their distribution is garbled, and garbled text would pass as neutral."""
    max_new_tokens: int = 64
    batch_rows: int = 512
    """Replies written at once: memory against speed."""
    longest_prompt: int = 256
    """Tokens; longer prompts are left out."""
    keep_unfinished: bool = False
    """Whether replies that were cut at `max_new_tokens` may be kept."""
    threshold: float = 0.5
    """Harm scores from here on are harmful."""
    rehearsal: bool = False
    """Whether of each prompt's replies the one that scores highest is called harmful, so that any model gives pairs
    and everything after them can be tried."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("samples", 2), ("max_new_tokens", 1), ("longest_prompt", 1)):
            if getattr(self, name) < least:
                raise PairsError(f"{name} is {getattr(self, name)}; wanted at least {least}")
        if not 2 <= self.least_samples <= self.samples:
            raise PairsError(f"least_samples is {self.least_samples}; wanted it from 2 to samples, {self.samples}")
        if not 1 <= self.round_samples <= self.batch_rows:
            raise PairsError(
                f"batch_rows is {self.batch_rows}; wanted at least a round's {self.round_samples} replies"
            )
        if not 0 <= self.min_p <= 1:
            raise PairsError(f"min_p is {self.min_p:g}; wanted it in [0, 1]")
        if not self.temperature > 0:
            raise PairsError(f"temperature is {self.temperature:g}; wanted it above 0, or all replies are the same")


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingTally:
    """What became of the prompts so far."""

    prompts: int = 0
    """Answered."""
    pairs: int = 0
    harmful_only: int = 0
    neutral_only: int = 0
    no_reply: int = 0
    """Prompts all of whose replies were empty or unfinished."""
    too_long: int = 0
    """Prompts left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingResult:
    """Pairs, as drafts, and the tally."""

    drafts: tuple[PairDraft, ...]
    tally: SamplingTally
    made_with: dict[str, object]
    """What the pairs follow from, besides the prompts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    places: tuple[int, ...]
    """Of its prompts in the order in which they came."""
    prompts: tuple[Prompt, ...]
    token_ids: tuple[tuple[int, ...], ...]

    @property
    def name(self) -> str:
        return hashlib.sha256(json.dumps(self.token_ids).encode()).hexdigest()


def sampled_with(model: PreTrainedModel, scorer: HarmScorer, config: SamplingConfig) -> dict[str, object]:
    """What pairs follow from, besides the prompts; how many are wanted is not part of it."""
    settings = {name: value for name, value in asdict(config).items() if name != "count"}
    return {"model": fingerprint_model(model), "scorer": scorer.name, **settings}


def sample_pairs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Iterable[Prompt],
    scorer: HarmScorer,
    config: SamplingConfig,
    *,
    work: WorkFile | None = None,
    on_batch: Callable[[SamplingTally], None] | None = None,
) -> SamplingResult:
    """Let the model answer prompts until there are enough pairs, or no more prompts.

    Args:
        model: whose behaviour it is; what it writes is what later stages see.
        tokenizer: its own.
        prompts: read as far as needed.
        scorer: tells harmful replies from others.
        config: see there.
        work: where outcomes are kept; None to keep them in memory alone.
        on_batch: told the tally after each batch.

    Raises:
        PairsError: the scorer does not know the behaviour, a prompt cannot be encoded, or no prompt gave a pair.
    """
    if config.behaviour not in scorer.behaviours:
        known = ", ".join(scorer.behaviours)
        raise PairsError(f"scorer {scorer.name} does not judge {config.behaviour!r}; wanted one of {known}")
    encoder = ConversationEncoder(tokenizer)
    sampler = _Sampler(model, tokenizer, encoder, scorer, config)
    tally: Counter[str] = Counter()
    drafts: list[PairDraft] = []
    stream = iter(prompts)
    while len(drafts) < config.count and (chunk := list(islice(stream, _chunk_size(config, tally)))):
        made: dict[int, PairDraft] = {}
        for batch in _batches(chunk, encoder, config, tally):
            outcomes = work.get(batch.name) if work is not None else None
            if outcomes is None:
                outcomes = sampler.outcomes(batch)
                if work is not None:
                    work.put(batch.name, outcomes)
            for place, prompt, outcome in zip(batch.places, batch.prompts, outcomes, strict=True):
                tally["prompts"] += 1
                tally[_kind(outcome)] += 1
                if outcome.harmful is not None and outcome.neutral is not None:
                    made[place] = PairDraft(prompt=prompt, harmful=outcome.harmful, neutral=outcome.neutral)
            if on_batch is not None:
                on_batch(SamplingTally(**tally))
        # In the prompts' own order, so that the first ones are not the shortest.
        drafts += [made[place] for place in sorted(made)]
    if not drafts:
        said = f"{tally['harmful_only']} gave harmful replies alone and {tally['neutral_only']} neutral ones alone"
        raise PairsError(f"none of {tally['prompts']} prompts gave both kinds of reply ({said}); wanted at least one")
    made_with = sampled_with(model, scorer, config)
    return SamplingResult(drafts=tuple(drafts), tally=SamplingTally(**tally), made_with=made_with)


def _chunk_size(config: SamplingConfig, tally: Counter[str]) -> int:
    """Prompts to take next: about as many as the pairs that are missing need, at most some batches full."""
    batch = config.batch_rows // config.round_samples
    rate = max(_LEAST_RATE, (tally["pairs"] + 1) / (tally["prompts"] + 1))
    needed = math.ceil((config.count - tally["pairs"]) / rate)
    return max(1, min(_CHUNK_BATCHES * batch, needed))


def _batches(
    chunk: Sequence[Prompt], encoder: ConversationEncoder, config: SamplingConfig, tally: Counter[str]
) -> Iterator[_Batch]:
    """Prompts of similar length together; those that are too long are counted and left out."""
    size = config.batch_rows // config.round_samples
    encoded = [(place, prompt, encoder.prompt(prompt.messages)) for place, prompt in enumerate(chunk)]
    fitting = [item for item in encoded if len(item[2]) <= config.longest_prompt]
    tally["too_long"] += len(encoded) - len(fitting)
    fitting.sort(key=lambda item: len(item[2]))
    for at in range(0, len(fitting), size):
        places, prompts, token_ids = zip(*fitting[at : at + size], strict=True)
        yield _Batch(places=places, prompts=prompts, token_ids=token_ids)


class _Sampler:
    """The model with its scorer."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        encoder: ConversationEncoder,
        scorer: HarmScorer,
        config: SamplingConfig,
    ) -> None:
        self._model, self._tokenizer, self._scorer, self._config = model, tokenizer, scorer, config
        self._ends = _end_token_ids(model, tokenizer, encoder)
        self._pad = self._ends[0] if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)

    def outcomes(self, batch: _Batch) -> list[Outcome]:
        """Sample in rounds, judge and choose, for each prompt of a batch."""
        seed = int.from_bytes(hashlib.sha256(f"{self._config.seed}:{batch.name}".encode()).digest()[:7], "big")
        generator = torch.Generator(device=self._model.device).manual_seed(seed)
        answers = [Answers() for _ in batch.prompts]
        drawn = 0
        while drawn < self._config.samples:
            waiting = [at for at, answer in enumerate(answers) if not (answer.harmful and answer.neutral)]
            if drawn < self._config.least_samples:
                waiting = list(range(len(answers)))
            if not waiting:
                break
            samples = min(self._config.round_samples, self._config.samples - drawn)
            self._round(batch, {at: answers[at] for at in waiting}, samples, generator)
            drawn += samples
        if self._config.rehearsal:
            return [answer.ranked_outcome() for answer in answers]
        return [answer.outcome() for answer in answers]

    def _round(self, batch: _Batch, answers: Mapping[int, Answers], samples: int, generator: torch.Generator) -> None:
        """Add some replies to each of these prompts."""
        decoding = DecodingConfig(
            samples=samples,
            temperature=self._config.temperature,
            min_p=self._config.min_p,
            max_new_tokens=self._config.max_new_tokens,
            end_token_ids=self._ends,
            pad_token_id=self._pad,
        )
        sampled = sample_tokens(self._model, [batch.token_ids[at] for at in answers], decoding, generator)
        texts = [self._texts(rows) for rows in sampled]
        asked = [
            ScoredReply(messages=as_dicts(batch.prompts[at].messages), reply=text)
            for at, counted in zip(answers, texts, strict=True)
            for text in counted
        ]
        scores = iter(self._scorer.score(asked))
        for answer, counted in zip(answers.values(), texts, strict=True):
            answer.unusable += samples - counted.total()
            for text, number in counted.items():
                score = next(scores)[self._config.behaviour]
                (answer.harmful if self._is_harmful(score) else answer.neutral).add(text, number, score)

    def _is_harmful(self, score: float) -> bool:
        return score >= self._config.threshold and not self._config.rehearsal

    def _texts(self, rows: Sequence[SampledTokens]) -> Counter[str]:
        """The usable replies to one prompt, and how often each came."""
        usable = [row.token_ids for row in rows if row.finished or self._config.keep_unfinished]
        texts = self._tokenizer.batch_decode(usable, skip_special_tokens=True) if usable else []
        return Counter(text.strip() for text in texts if text.strip())


def _end_token_ids(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, encoder: ConversationEncoder
) -> tuple[int, ...]:
    """Whatever ends a reply: the chat template's end, the tokenizer's and the model's own."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    listed = configured if isinstance(configured, list) else [configured]
    candidates = [encoder.end_token_id, tokenizer.eos_token_id, *listed]
    return tuple(dict.fromkeys(int(token) for token in candidates if token is not None))


def _kind(outcome: Outcome) -> str:
    if outcome.harmful is not None:
        return "pairs" if outcome.neutral is not None else "harmful_only"
    return "neutral_only" if outcome.neutral is not None else "no_reply"

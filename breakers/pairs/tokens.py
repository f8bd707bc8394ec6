"""From pairs to token ids: cases for tracing and training, through the model's own chat template where it has one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from breakers.errors import InterventionError, PairsError, TracingError
from breakers.pairs.record import Message, PairRecord, as_dicts, shown
from breakers.tracing.patches import TraceCase
from breakers.training.batches import Pair, Sample

_PROBE = "Scalpel"
"""A reply whose end is looked at; a word that no template writes itself."""

NO_REPLY = "a reply without tokens"
SAME_TOKENS = "the same tokens in both replies"
TOO_LONG = "too long"
NO_CONTRAST = "no contrast prompt"
CONTRAST_LENGTH = "a contrast prompt of another length"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionConfig:
    """Which pairs to keep."""

    longest: int | None = None
    """Most tokens of a prompt and its longer reply; None for any number."""
    need_contrast: bool = False
    """Whether pairs without a fitting contrast prompt are dropped, rather than kept without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionResult:
    """Cases, in the order of their pairs, and what was left out."""

    cases: tuple[TraceCase, ...]
    records: tuple[PairRecord, ...]
    """The pair of each case."""
    dropped: Mapping[str, int]
    """Reason -> pairs."""
    without_contrast: int
    """Cases whose pair had a contrast prompt of another length, which was left out."""


class UnfitPairError(PairsError):
    """A pair that has no case; `reason` is a short word for it."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the reason, by which a whole file's losses are counted."""
        super().__init__(message)
        self.reason = reason


class ConversationEncoder:
    """One tokenizer's way from conversations to token ids.

    Without a chat template the turns are joined by line ends, and a reply follows after one space.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Look at how the tokenizer ends a reply.

        Raises:
            PairsError: it has no end token.
        """
        self._tokenizer = tokenizer
        self.is_chat = bool(tokenizer.chat_template)
        self.end_token_id = self._end_token()

    def prompt(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Token ids up to where the reply begins.

        Raises:
            PairsError: the chat template refuses the conversation, or nothing is left of it.
        """
        if self.is_chat:
            ids = self._render(as_dicts(messages))
        else:
            ids = tuple(self._tokenizer.encode(_joined(messages)))
        if not ids:
            raise PairsError(f"the prompt {shown(messages[-1].content)} has no tokens; wanted at least one")
        return ids

    def reply(self, messages: Sequence[Message], text: str) -> tuple[int, ...]:
        """Token ids of a reply, its end token included.

        Raises:
            UnfitPairError: the text has no tokens.
        """
        ids = self._encode(text) if self.is_chat else self._continuation(_joined(messages), text)
        if not ids:
            raise UnfitPairError(NO_REPLY, f"the reply {shown(text)} has no tokens; wanted at least one")
        return (*ids, self.end_token_id)

    def _continuation(self, prompt: str, text: str) -> tuple[int, ...]:
        if not text.strip():
            return ()
        # Encoded together: some tokenizers treat a space at the start of a text unlike one inside it.
        before, whole = tuple(self._tokenizer.encode(prompt)), tuple(self._tokenizer.encode(f"{prompt} {text}"))
        return whole[len(before) :] if whole[: len(before)] == before else self._encode(f" {text}")

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def _render(self, turns: list[dict[str, str]]) -> tuple[int, ...]:
        try:
            ids = self._tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        except (TemplateError, ValueError) as error:
            roles = ", ".join(turn["role"] for turn in turns)
            raise PairsError(f"the chat template refuses turns of {roles}: {error}") from error
        return tuple(ids)

    def _end_token(self) -> int:
        end = self._template_end() if self.is_chat else None
        if end is None and self._tokenizer.eos_token_id is not None:
            end = int(self._tokenizer.eos_token_id)
        if end is None:
            raise PairsError("the tokenizer has no end token; wanted one, because a reply ends with it")
        return end

    def _template_end(self) -> int | None:
        """The control token that the template puts after a reply: not in all models it is the eos token."""
        turns: Any = [{"role": "user", "content": _PROBE}, {"role": "assistant", "content": _PROBE}]
        try:
            text = str(self._tokenizer.apply_chat_template(turns, tokenize=False))
        except (TemplateError, ValueError):
            return None
        ids = self._encode(text.rpartition(_PROBE)[2].lstrip())
        return ids[0] if ids and ids[0] in self._control_ids() else None

    def _control_ids(self) -> set[int]:
        added = self._tokenizer.added_tokens_decoder
        return {*self._tokenizer.all_special_ids, *(at for at, token in added.items() if token.special)}


def to_case(record: PairRecord, encoder: ConversationEncoder) -> TraceCase:
    """The case of a pair.

    Raises:
        UnfitPairError: a reply has no tokens, both have the same, or the contrast prompt has another length.
        PairsError: the chat template refuses the conversation.
    """
    prompt = encoder.prompt(record.messages)
    harmful = encoder.reply(record.messages, record.harmful)
    neutral = encoder.reply(record.messages, record.neutral)
    contrast = None if record.contrast_prompt is None else encoder.prompt(record.contrast_prompt)
    try:
        pair = Pair(harmful=Sample(prompt=prompt, reply=harmful), neutral=Sample(prompt=prompt, reply=neutral))
    except InterventionError as error:
        raise UnfitPairError(SAME_TOKENS, f"the pair {_named(record)}: {error}") from error
    try:
        return TraceCase(pair=pair, contrast=contrast)
    except TracingError as error:
        raise UnfitPairError(CONTRAST_LENGTH, f"the pair {_named(record)}: {error}") from error


def to_cases(
    records: Iterable[PairRecord], tokenizer: PreTrainedTokenizerBase, config: ConversionConfig | None = None
) -> ConversionResult:
    """The cases of all pairs that have one; the others are counted by reason.

    Raises:
        PairsError: no pair has a case, or the chat template refuses a conversation.
    """
    config = config or ConversionConfig()
    encoder = ConversationEncoder(tokenizer)
    kept: list[tuple[PairRecord, TraceCase]] = []
    dropped: Counter[str] = Counter()
    unfit = 0
    for record in records:
        try:
            case = _case(record, encoder, config)
        except UnfitPairError as error:
            dropped[error.reason] += 1
            continue
        unfit += record.contrast_prompt is not None and case.contrast is None
        kept.append((record, case))
    if not kept:
        said = ", ".join(f"{number} with {reason}" for reason, number in dropped.items()) or "there was none"
        raise PairsError(f"no pair could be made into token ids ({said}); wanted at least one")
    return ConversionResult(
        cases=tuple(case for _, case in kept),
        records=tuple(record for record, _ in kept),
        dropped=dict(dropped),
        without_contrast=unfit,
    )


def _case(record: PairRecord, encoder: ConversationEncoder, config: ConversionConfig) -> TraceCase:
    try:
        case = to_case(record, encoder)
    except UnfitPairError as error:
        if error.reason != CONTRAST_LENGTH or config.need_contrast:
            raise
        case = to_case(_without_contrast(record), encoder)
    if config.need_contrast and case.contrast is None:
        raise UnfitPairError(NO_CONTRAST, f"the pair {_named(record)} has no contrast prompt; wanted one")
    if config.longest is not None and len(case.pair) > config.longest:
        raise UnfitPairError(
            TOO_LONG, f"the pair {_named(record)} has {len(case.pair)} tokens; wanted at most {config.longest}"
        )
    return case


def _without_contrast(record: PairRecord) -> PairRecord:
    return replace(record, contrast_prompt=None)


def _joined(messages: Sequence[Message]) -> str:
    return "\n".join(message.content for message in messages)


def _named(record: PairRecord) -> str:
    return shown(record.messages[-1].content)

"""What sources give: prompts, and prompts with both replies; not yet checked, deduplicated or split."""

from __future__ import annotations

from dataclasses import dataclass, replace

from breakers.pairs.record import Message, Messages, Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt and where it comes from."""

    messages: Messages
    source: str
    licence: str
    contrast_prompt: Messages | None = None
    split: Split | None = None
    """Where the source itself puts it; None to let the hash of its words decide."""
    origin: str | None = None
    """What it was taken from, where several prompts are parts of one thing, such as the turns of one dialogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairDraft:
    """A prompt with both replies."""

    prompt: Prompt
    harmful: str
    neutral: str


def instructed(prompt: Prompt, instruction: str) -> Prompt:
    """The prompt with an instruction before its last turn, and before its contrast prompt's."""
    contrast = prompt.contrast_prompt
    return replace(
        prompt,
        messages=_instructed(prompt.messages, instruction),
        contrast_prompt=None if contrast is None else _instructed(contrast, instruction),
    )


def with_system(prompt: Prompt, system: str) -> Prompt:
    """The prompt with a system turn before its first one, and before its contrast prompt's."""
    turn = Message(role="system", content=system)
    contrast = prompt.contrast_prompt
    return replace(
        prompt,
        messages=(turn, *prompt.messages),
        contrast_prompt=None if contrast is None else (turn, *contrast),
    )


def _instructed(messages: Messages, instruction: str) -> Messages:
    last = messages[-1]
    return (*messages[:-1], replace(last, content=f"{instruction.strip()} {last.content}"))

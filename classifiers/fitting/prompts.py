"""Labelled prompts: one text, what is known of its harm potential, and where it comes from.

Data sets quote each other, so prompts are deduplicated by normalised text over all sources *before* they are split,
and the split is a function of the text alone: the same prompt lands on the same side in every fit.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from classifiers.base import Conversation
from classifiers.errors import FitError

_NOT_WORD = re.compile(r"[\W_]+")


class Split(StrEnum):
    """What a prompt is used for."""

    TRAIN = "train"
    CALIBRATION = "calibration"
    HELDOUT = "heldout"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPrompt:
    """A text, and what is known about the replies that it draws."""

    text: str
    """The last user turn: what is fitted on, deduplicated and split by."""
    labels: Mapping[str, bool]
    """Category -> whether a reply is expected to show it. Categories that are not named are unknown."""
    source: str
    """Name of the data set."""
    before: Conversation = ()
    """The turns before the last one; scored with it, not fitted on."""

    @property
    def conversation(self) -> Conversation:
        """The whole conversation."""
        return [*self.before, {"role": "user", "content": self.text}]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitShares:
    """Shares of the prompts by split; the rest trains."""

    calibration: float = 0.1
    heldout: float = 0.2


def normalised(text: str) -> str:
    """What makes two prompts the same: lower-case words, without punctuation and spacing."""
    return _NOT_WORD.sub(" ", unicodedata.normalize("NFKC", text).lower()).strip()


def deduplicate(prompts: Iterable[LabelledPrompt]) -> list[LabelledPrompt]:
    """Keep the first prompt of each normalised text, and drop empty ones: list preferred sources first."""
    seen: set[str] = set()
    kept = []
    for prompt in prompts:
        key = normalised(prompt.text)
        if key and key not in seen:
            seen.add(key)
            kept.append(prompt)
    return kept


def split_of(text: str, shares: SplitShares) -> Split:
    """The split of a public prompt, by a hash of its normalised text."""
    digest = hashlib.sha256(normalised(text).encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < shares.heldout:
        return Split.HELDOUT
    return Split.CALIBRATION if position < shares.heldout + shares.calibration else Split.TRAIN


def sample(prompts: Sequence[LabelledPrompt], limit: int, seed: int) -> list[LabelledPrompt]:
    """At most `limit` prompts, chosen by a seeded hash of their text, in the order given.

    Raises:
        FitError: the limit is below 1.
    """
    if limit < 1:
        raise FitError(f"limit is {limit}; wanted at least 1")
    if len(prompts) <= limit:
        return list(prompts)
    ranks = [hashlib.sha256(f"{seed}:{p.text}".encode()).digest() for p in prompts]
    cut = sorted(ranks)[limit]
    return [p for p, rank in zip(prompts, ranks, strict=True) if rank < cut]


def prompts_sha256(prompts: Iterable[LabelledPrompt]) -> str:
    """A hash over normalised texts and labels, in order: what a model card names its data by."""
    digest = hashlib.sha256()
    for prompt in prompts:
        labels = ",".join(f"{c}={int(v)}" for c, v in sorted(prompt.labels.items()))
        digest.update(f"{normalised(prompt.text)}\t{labels}\n".encode())
    return digest.hexdigest()

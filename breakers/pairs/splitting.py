"""Splits by prompt: a hash of the prompt's words decides, and prompts that belong together go together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from breakers.errors import PairsError
from breakers.pairs.drafts import Prompt
from breakers.pairs.record import Split, prompt_key


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitShares:
    """Shares of the prompts, in [0, 1]; the rest trains."""

    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        if not (self.validation >= 0 and self.test >= 0 and self.validation + self.test <= 1):
            found = f"{self.validation:g} for validation and {self.test:g} for test"
            raise PairsError(f"split shares are {found}; wanted both at least 0 and their sum at most 1")


def split_of(key: str, shares: SplitShares) -> Split:
    """The split of a prompt, from its key alone: the same in every file."""
    digest = hashlib.sha256(f"pairs:{key}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < shares.test:
        return Split.TEST
    return Split.VALIDATION if place < shares.test + shares.validation else Split.TRAIN


def assign_splits(prompts: Sequence[Prompt], shares: SplitShares) -> list[Split | None]:
    """A split for each prompt, such that nothing leaks from one into another.

    Prompts are put together where their words are the same, where one's contrast prompt is another's prompt, and
    where the source says that they share an origin. A group goes where its source put the first of it that has a
    split; without one, where the hash of its smallest key falls, so that the order of prompts does not matter.

    Returns:
        One each; None for a prompt that its source put elsewhere than the rest of its group: it cannot be used.
    """
    groups = _Groups()
    keys = [prompt_key(prompt.messages) for prompt in prompts]
    known = set(keys)
    for key, prompt in zip(keys, prompts, strict=True):
        groups.add(key)
        if prompt.origin is not None:
            groups.join(key, f"\0origin:{prompt.origin}")
        contrast = None if prompt.contrast_prompt is None else prompt_key(prompt.contrast_prompt)
        if contrast is not None and contrast in known:
            groups.join(key, contrast)
    smallest: dict[str, str] = {}
    given: dict[str, Split] = {}
    for key, prompt in zip(keys, prompts, strict=True):
        root = groups.root(key)
        smallest[root] = min(key, smallest.get(root, key))
        if prompt.split is not None:
            given.setdefault(root, prompt.split)
    chosen: list[Split | None] = []
    for key, prompt in zip(keys, prompts, strict=True):
        root = groups.root(key)
        split = given.get(root) or split_of(smallest[root], shares)
        chosen.append(split if prompt.split in (None, split) else None)
    return chosen


class _Groups:
    """Disjoint sets of keys."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def add(self, key: str) -> None:
        self._parent.setdefault(key, key)

    def root(self, key: str) -> str:
        while self._parent[key] != key:
            self._parent[key] = key = self._parent[self._parent[key]]
        return key

    def join(self, one: str, other: str) -> None:
        self.add(one)
        self.add(other)
        self._parent[self.root(one)] = self.root(other)

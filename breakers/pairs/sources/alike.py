"""Two sentences that begin alike: the shared words are a prompt, what follows are two completions of it."""

from __future__ import annotations

from typing import NamedTuple


class Parted(NamedTuple):
    """A beginning and its two ends; all stripped."""

    shared: str
    one: str
    other: str


def part(one: str, other: str, least: int) -> Parted | None:
    """Part two sentences at the first word that differs.

    Args:
        one: a sentence.
        other: another.
        least: words that they have to share for the beginning to be a prompt.

    Returns:
        None if they share fewer, or if nothing follows in one of them.
    """
    words, others = one.split(), other.split()
    both = enumerate(zip(words, others, strict=False))
    at = next((place for place, (a, b) in both if a != b), min(len(words), len(others)))
    if at < least or at == len(words) or at == len(others):
        return None
    return Parted(shared=" ".join(words[:at]), one=" ".join(words[at:]), other=" ".join(others[at:]))

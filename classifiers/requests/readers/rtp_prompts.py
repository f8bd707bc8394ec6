"""RealToxicityPrompts: beginnings of sentences that models continue in a toxic way, by the attribute they score on.

The labels are a model's; the beginnings on which it reports flirtation are left out, as continuing them is harmless.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from classifiers.fitting.readers.files import read_text
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow

_FILES: Mapping[str, tuple[str, ...]] = {
    "identity_attack": ("toxicity", "hate"),
    "insult": ("toxicity",),
    "profanity": ("toxicity",),
    "severe_toxicity": ("toxicity",),
    "sexually_explicit": ("sexual",),
    "threat": ("toxicity", "violence"),
}


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The beginnings."""
    for attribute, categories in _FILES.items():
        for line in read_text(root / "rtp-prompts" / f"rtp_{attribute}.txt").splitlines():
            yield known.harmful(line, *categories)

"""Jailbreak prompts found on forums (`inthewild_jailbreak_llms.json`): a list of texts, many of them long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.nested import listed
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The prompts."""
    for text in listed(root / "jailbreak-prompts" / "inthewild_jailbreak_llms.json"):
        yield known.harmful(text, "jailbreak", denied=())

"""BOLD: beginnings of Wikipedia sentences about people, professions and beliefs. It holds no harmful completions.

Files `*_prompt.json`, one a domain: group -> article -> beginnings. On the Hub: `AmazonScience/bold`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from breakers.errors import PairsError
from breakers.pairs.drafts import Prompt
from breakers.pairs.record import shown, user_turn
from breakers.pairs.sources.base import SourceSpec, check_behaviour
from breakers.pairs.sources.hub import hub_rows
from breakers.pairs.sources.published import find_files, read_json

DOMAINS = {"gender_bias": ("gender", "profession"), "toxicity": (), "stereotype": ()}
"""Behaviour -> domains whose beginnings provoke it; all of them where none is named."""


class BoldSource:
    """See the module."""

    name = "bold"
    licence = "CC-BY-SA-4.0"
    behaviours = tuple(DOMAINS)

    def prompts(self, spec: SourceSpec) -> Iterator[Prompt]:
        """The beginnings; those of one article belong together."""
        check_behaviour(self, spec.behaviour)
        wanted = DOMAINS[spec.behaviour]
        for domain, article, text in self._beginnings(spec):
            if text.strip() and (not wanted or domain in wanted):
                yield Prompt(
                    messages=user_turn(text.strip()), source=self.name, licence=self.licence, origin=f"bold:{article}"
                )

    def _beginnings(self, spec: SourceSpec) -> Iterator[tuple[str, str, str]]:
        if spec.hub is not None:
            for row in hub_rows(spec.hub):
                for text in row.fields.get("prompts") or ():
                    yield row.text("domain"), row.text("name"), str(text)
            return
        for path in find_files(spec, ("*_prompt.json",)):
            domain = path.name.removesuffix("_prompt.json")
            for article, text in _articles(read_json(path), path):
                yield domain, article, text


def build() -> BoldSource:
    """The source."""
    return BoldSource()


def _articles(document: Any, path: Path) -> Iterator[tuple[str, str]]:
    for group, articles in _mapping(document, f"{path}").items():
        for article, texts in _mapping(articles, f"{path}, {group}").items():
            where = f"{path}, {group}, {article}"
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise PairsError(f"{where}: found {shown(str(texts))}; wanted a list of beginnings")
            yield from ((article, text) for text in texts)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PairsError(f"{where}: found a {type(value).__name__}; wanted an object")
    return value

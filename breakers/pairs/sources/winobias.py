"""WinoBias: sentences with two occupations, once with the stereotyped pronoun and once with the other.

Files `pro_stereotyped_*` and `anti_stereotyped_*`, sentence by sentence the same but for the pronoun, which stands in
brackets. On the Hub: `uclanlp/wino_bias`, configs `type1_pro`, `type1_anti`, `type2_pro`, `type2_anti`, as lists of
words. The sentence up to the pronoun is a prompt. The anti-stereotyped end is less stereotypical, but not neutral.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from breakers.errors import PairsError
from breakers.pairs.drafts import PairDraft, Prompt
from breakers.pairs.record import user_turn
from breakers.pairs.sources.alike import part
from breakers.pairs.sources.base import HubReference, SourceSpec, check_behaviour
from breakers.pairs.sources.hub import hub_rows
from breakers.pairs.sources.published import Row, find_files, read_text

LEAST_SHARED = 3
PRONOUNS = frozenset({"he", "she", "him", "her", "his", "hers", "himself", "herself"})
_NUMBER = re.compile(r"^\d+\s+")
_WORD = re.compile(r"\w+")
_TIGHT = re.compile(r"\s+(?=[.,;:!?'])")
"""White space before punctuation, as it is left where words are joined."""


class WinoBiasSource:
    """See the module."""

    name = "winobias"
    licence = "MIT"
    behaviours = ("gender_bias",)

    def prompts(self, spec: SourceSpec) -> Iterator[Prompt]:
        """The sentences up to the pronoun, each once."""
        seen: set[str] = set()
        for draft in self.pairs(spec):
            text = draft.prompt.messages[-1].content
            if text not in seen:
                seen.add(text)
                yield draft.prompt

    def pairs(self, spec: SourceSpec) -> Iterator[PairDraft]:
        """The stereotyped end is the harmful one; sentences that differ in more than pronouns are left out."""
        check_behaviour(self, spec.behaviour)
        for pro, anti in self._sentences(spec):
            parted = part(pro, anti, LEAST_SHARED)
            if parted is not None and _differ_in_pronouns(parted.one, parted.other):
                prompt = Prompt(messages=user_turn(parted.shared), source=self.name, licence=self.licence)
                yield PairDraft(prompt=prompt, harmful=parted.one, neutral=parted.other)

    def _sentences(self, spec: SourceSpec) -> Iterator[tuple[str, str]]:
        if spec.hub is not None:
            yield from _hub_sentences(spec.hub)
            return
        for path in find_files(spec, ("pro_stereotyped_*",)):
            other = path.with_name(path.name.replace("pro_stereotyped", "anti_stereotyped"))
            if other == path or not other.is_file():
                raise PairsError(f"{path}: found no {other.name} beside it; wanted both")
            yield from _both(_lines(path), _lines(other), str(path))


def build() -> WinoBiasSource:
    """The source."""
    return WinoBiasSource()


def _lines(path: Path) -> list[str]:
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    return [_NUMBER.sub("", line).replace("[", "").replace("]", "") for line in lines]


def _hub_sentences(hub: HubReference) -> Iterator[tuple[str, str]]:
    """Of the config that is named, or of both types."""
    types = (hub.config.partition("_")[0],) if hub.config else ("type1", "type2")
    for kind in types:
        pro, anti = (replace(hub, config=f"{kind}_{side}") for side in ("pro", "anti"))
        rows = [list(map(_joined, hub_rows(side, split="validation"))) for side in (pro, anti)]
        yield from _both(rows[0], rows[1], hub.name)


def _joined(row: Row) -> str:
    words = row.fields.get("tokens")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise PairsError(f"{row.where}, tokens: found {type(words).__name__}; wanted a list of words")
    return _TIGHT.sub("", " ".join(words))


def _both(pro: list[str], anti: list[str], where: str) -> Iterator[tuple[str, str]]:
    for one, other in zip_longest(pro, anti):
        if one is None or other is None:
            raise PairsError(f"{where}: found {len(pro)} and {len(anti)} sentences; wanted as many of both kinds")
        yield one, other


def _differ_in_pronouns(one: str, other: str) -> bool:
    words, others = _WORD.findall(one.lower()), _WORD.findall(other.lower())
    return len(words) == len(others) and all(a == b or {a, b} <= PRONOUNS for a, b in zip(words, others, strict=True))

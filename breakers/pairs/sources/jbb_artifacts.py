"""JailbreakBench's artifacts: what attacks asked of models, what these replied, and whether that was a jailbreak.

Files `attack-artifacts/METHOD/TYPE/MODEL.json`, each with a list `jailbreaks`; other files of the folder are passed
over. They are a repository, not a set on the Hub. Where a prompt was put to several models, or succeeded with one of
them alone, it has both kinds of reply: an honest pair, though of two models. The neutral one is what the set's judge
did not find to be a jailbreak: most often a refusal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from breakers.errors import PairsError
from breakers.pairs.drafts import PairDraft, Prompt
from breakers.pairs.record import user_turn
from breakers.pairs.sources.base import SourceSpec, check_behaviour
from breakers.pairs.sources.published import Row, find_files, read_json

_LIST = "jailbreaks"


class JbbArtifactsSource:
    """See the module."""

    name = "jbb_artifacts"
    licence = "MIT"
    behaviours = ("harmful_request",)

    def prompts(self, spec: SourceSpec) -> Iterator[Prompt]:
        """Each different attack prompt once; those with the same goal belong together."""
        seen: set[str] = set()
        for row in self._rows(spec):
            prompt = self._prompt(row)
            if prompt.messages[-1].content not in seen:
                seen.add(prompt.messages[-1].content)
                yield prompt

    def pairs(self, spec: SourceSpec) -> Iterator[PairDraft]:
        """Prompts with both kinds of reply, each once: the first reply of either kind."""
        prompts: dict[str, Prompt] = {}
        replies: dict[str, dict[bool, str]] = {}
        for row in self._rows(spec):
            prompt = self._prompt(row)
            text = prompt.messages[-1].content
            reply = row.fields.get("response")
            if isinstance(reply, str) and reply.strip():
                prompts.setdefault(text, prompt)
                replies.setdefault(text, {}).setdefault(_is_jailbroken(row), reply)
        for text, found in replies.items():
            if len(found) == 2:
                yield PairDraft(prompt=prompts[text], harmful=found[True], neutral=found[False])

    def _prompt(self, row: Row) -> Prompt:
        text = row.text("prompt").strip()
        # Prompts of one goal ask for the same thing.
        origin = f"jbb:{row.text('goal').casefold()}"
        return Prompt(messages=user_turn(text), source=self.name, licence=self.licence, origin=origin)

    def _rows(self, spec: SourceSpec) -> Iterator[Row]:
        """Those in which an attack gave a prompt."""
        check_behaviour(self, spec.behaviour)
        if spec.hub is not None:
            raise PairsError(f"{self.name} is not a set on the Hub; wanted a path to the repository's files")
        found = False
        for path in find_files(spec, ("*.json",)):
            for number, entry in enumerate(_entries(read_json(path), str(path)), 1):
                found = True
                row = Row(where=f"{path}, {_LIST} {number}", fields=entry)
                if entry.get("prompt") is not None:
                    yield row
        if not found:
            raise PairsError(f"{spec.path}: found no file with a list {_LIST!r}; wanted the set's artifacts")


def build() -> JbbArtifactsSource:
    """The source."""
    return JbbArtifactsSource()


def _entries(document: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(document, dict) or _LIST not in document:
        return []
    entries = document[_LIST]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise PairsError(f"{where}, {_LIST}: found something else; wanted a list of objects")
    return entries


def _is_jailbroken(row: Row) -> bool:
    value = row.fields.get("jailbroken")
    if not isinstance(value, bool):
        raise PairsError(f"{row.where}, jailbroken: found {type(value).__name__}; wanted true or false")
    return value

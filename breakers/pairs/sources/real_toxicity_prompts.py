"""RealToxicityPrompts: beginnings of sentences from the web, each with the one continuation that was found there.

One completion of each prompt is no pair. Files: `prompts.jsonl` as published (a `prompt` object with a `text`), or
lists of prompts in `*.txt`. On the Hub: `allenai/real-toxicity-prompts`.
"""

from __future__ import annotations

from collections.abc import Iterator

from breakers.errors import PairsError
from breakers.pairs.drafts import Prompt
from breakers.pairs.record import shown, user_turn
from breakers.pairs.sources.base import SourceSpec, check_behaviour
from breakers.pairs.sources.hub import hub_rows
from breakers.pairs.sources.published import Row, find_files, read_json_lines, read_text


class RealToxicityPromptsSource:
    """See the module."""

    name = "real_toxicity_prompts"
    licence = "Apache-2.0"
    behaviours = ("toxicity",)

    def prompts(self, spec: SourceSpec) -> Iterator[Prompt]:
        """Each different prompt once."""
        check_behaviour(self, spec.behaviour)
        seen: set[str] = set()
        for raw in self._raw(spec):
            text = raw.strip()
            if text and text not in seen:
                seen.add(text)
                yield Prompt(messages=user_turn(text), source=self.name, licence=self.licence)

    def _raw(self, spec: SourceSpec) -> Iterator[str]:
        if spec.hub is not None:
            yield from (_prompt_text(row) for row in hub_rows(spec.hub))
            return
        for path in find_files(spec, ("prompts.jsonl", "rtp_*.txt")):
            if path.suffix == ".txt":
                yield from read_text(path).splitlines()
            else:
                yield from (_prompt_text(row) for row in read_json_lines(path))


def build() -> RealToxicityPromptsSource:
    """The source."""
    return RealToxicityPromptsSource()


def _prompt_text(row: Row) -> str:
    prompt = row.fields.get("prompt")
    if not isinstance(prompt, dict) or not isinstance(prompt.get("text"), str):
        raise PairsError(f"{row.where}, prompt: found {shown(str(prompt))}; wanted an object with a text")
    return str(prompt["text"])

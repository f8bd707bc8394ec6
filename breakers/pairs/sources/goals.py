"""What sets of harmful requests share: a goal, and the beginning of a reply that complies.

The beginning is the harmful completion; the sets hold no refusals, so the neutral one is of our own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from breakers.pairs.drafts import PairDraft, Prompt
from breakers.pairs.record import user_turn
from breakers.pairs.sources.base import SourceSpec, check_behaviour
from breakers.pairs.sources.hub import hub_rows
from breakers.pairs.sources.published import Row, find_files, read_table
from breakers.pairs.sources.refusals import refusal_of


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalSource:
    """A table of goals and targets."""

    name: str
    licence: str
    files: tuple[str, ...]
    """As published, and as copies of it are called."""
    hub_config: str | None = None
    hub_split: str = "train"
    goal: tuple[str, ...]
    """What the goal's column is called, in the file or on the Hub."""
    target: tuple[str, ...]

    @property
    def behaviours(self) -> tuple[str, ...]:
        """Complying is the harm."""
        return ("harmful_request",)

    def prompts(self, spec: SourceSpec) -> Iterator[Prompt]:
        """The goals."""
        return (self._prompt(row) for row in self._rows(spec))

    def pairs(self, spec: SourceSpec) -> Iterator[PairDraft]:
        """The target against a refusal."""
        for row in self._rows(spec):
            prompt = self._prompt(row)
            neutral = refusal_of(prompt.messages[-1].content)
            yield PairDraft(prompt=prompt, harmful=row.text(*self.target), neutral=neutral)

    def _prompt(self, row: Row) -> Prompt:
        return Prompt(messages=user_turn(row.text(*self.goal).strip()), source=self.name, licence=self.licence)

    def _rows(self, spec: SourceSpec) -> Iterator[Row]:
        check_behaviour(self, spec.behaviour)
        if spec.hub is not None:
            yield from hub_rows(spec.hub, config=self.hub_config, split=self.hub_split)
            return
        for path in find_files(spec, self.files):
            yield from read_table(path)

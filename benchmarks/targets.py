"""`targets.toml`: per benchmark what it measures, and each target with the words of the requirement it comes from."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.errors import TargetsError


class Target(BaseModel):
    """One figure and its bound."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    op: Literal[">=", "<="]
    value: float
    words: str = Field(min_length=1)
    """Of the requirement."""

    def met(self, figure: float) -> bool:
        """Whether the figure is within the bound; a nan never is."""
        return figure >= self.value if self.op == ">=" else figure <= self.value

    def looser_than(self, other: Target) -> bool:
        """Whether some figure meets this one and not the other."""
        if self.op != other.op:
            return True
        return self.value < other.value if self.op == ">=" else self.value > other.value


class BenchmarkTargets(BaseModel):
    """Everything about one benchmark."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measures: tuple[str, ...] = Field(min_length=1)
    """Paths whose contents decide the figures; a result from other contents is stale."""
    targets: dict[str, Target] = Field(default_factory=dict)
    """Figure -> bound; none where the requirement asks for figures alone."""


@dataclass(frozen=True, slots=True)
class Looser:
    """A target that asks for less than it did."""

    benchmark: str
    figure: str
    was: str
    now: str


def parse_targets(text: str) -> dict[str, BenchmarkTargets]:
    """Benchmark -> targets.

    Raises:
        TargetsError: the text is not in the format.
    """
    try:
        return {name: BenchmarkTargets.model_validate(table) for name, table in tomllib.loads(text).items()}
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise TargetsError(f"targets.toml is not in its format: {error}") from error


def load_targets(path: Path) -> dict[str, BenchmarkTargets]:
    """Read `targets.toml`.

    Raises:
        TargetsError: it is missing or not in the format.
    """
    try:
        return parse_targets(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TargetsError(f"targets.toml cannot be read: {error}") from error


def looser_targets(now: Mapping[str, BenchmarkTargets], before: Mapping[str, BenchmarkTargets]) -> list[Looser]:
    """Targets of `before` that are gone from `now`, or ask for less there."""
    found = []
    for benchmark, old in before.items():
        current = now[benchmark].targets if benchmark in now else {}
        for figure, target in old.targets.items():
            new = current.get(figure)
            if new is None or new.looser_than(target):
                shown = "gone" if new is None else f"{new.op} {new.value:g}"
                found.append(Looser(benchmark, figure, f"{target.op} {target.value:g}", shown))
    return found

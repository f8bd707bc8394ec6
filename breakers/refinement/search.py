"""The search for a smallest set of components whose joint patching brings the measure below tau.

Grow: prefixes of the ranking, doubling, then bisected. Shrink: heads go first, because one is a far larger share of
all heads than a neuron is of all neurons; then blocks of neurons; of each kind the weakest first, halving what cannot
go (delta debugging: Zeller and Hildebrandt 2002). Then each member is left out alone, and those that can go are taken
out together, or in halves. The search ends when every member has been left out of the final set and none can go: the
set is 1-minimal. Members may act together in any way; the measure need not be monotone.

A set *reaches* tau when its mean measure is below tau - tolerance. With a noisy measure, the tolerance keeps a set
that was lucky from being taken for one that is below tau; see `Verdict` for what it means for members.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from breakers.errors import TracingError
from breakers.refinement.joint import single_sites
from breakers.refinement.measured import SetLimitReached, SetMeasure
from breakers.sites import Component, Site

LEAST_LIMIT = 128
"""Sets that a search may always measure: growing alone takes about twice the logarithm of the candidates."""
_COARSE = 16
"""Parts into which the neurons of a set are cut, at most, before they are looked at one by one."""


class Outcome(StrEnum):
    """How a search ended."""

    MINIMAL = "minimal"
    """The set reaches tau and is 1-minimal, verified member by member."""
    UNVERIFIED = "unverified"
    """The set reaches tau; the limit on measured sets came before the proof that no member can go."""
    UNREACHED = "unreached"
    """No prefix of the ranking reaches tau, all candidates together included: the behaviour is not local to them."""
    ABSENT = "absent"
    """The unmodified model is below tau already."""


class Verdict(StrEnum):
    """Why a member stays."""

    NEEDED = "needed"
    """Without it the measure is tau or more."""
    WITHIN_TOLERANCE = "within_tolerance"
    """Without it the measure is below tau, but by no more than the tolerance: it stays, and may be noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What the search found."""

    outcome: Outcome
    members: tuple[Site, ...]
    """Heads and single neurons, in the order of the ranking. For `unreached` the set with the lowest measure among
    those seen; for `absent` none."""
    value: float
    """Mean measure with the members patched."""
    tau: float
    tolerance: float
    clean: float
    """Mean measure of the unmodified model."""
    candidates: float
    """Mean measure with all candidates patched."""
    grown: int
    """Members of the prefix that growing found; 0 where none reaches tau."""


def judge(without: float, tau: float) -> Verdict:
    """The verdict on a member of a 1-minimal set, from the mean measure without it."""
    return Verdict.NEEDED if without >= tau else Verdict.WITHIN_TOLERANCE


def search_minimal_set(
    measured: SetMeasure,
    ranking: Sequence[Site],
    tau: float,
    tolerance: float = 0.0,
    also_try: Sequence[int] = (),
) -> SearchResult:
    """A 1-minimal set of candidates whose joint patching brings the mean measure below tau.

    Args:
        measured: measures sets, and keeps the log.
        ranking: candidates, one head or neuron each, the strongest effect first.
        tau: in units of the measure.
        tolerance: in units of the measure; see the module.
        also_try: lengths of prefixes to try besides powers of 2; such as how many candidates have a positive effect,
            since patching the others raises the harm.

    Raises:
        TracingError: no candidates, one of them twice or not single, or a tolerance below 0.
    """
    if tolerance < 0:
        raise TracingError(f"the tolerance is {tolerance}; wanted 0 or more")
    if not ranking:
        raise TracingError("no candidates to search; wanted at least one head or neuron")
    if len(single_sites(ranking)) != len(ranking):
        raise TracingError("candidates are listed twice or hold several neurons; wanted single components, each once")
    return _Search(measured, ranking, tau, tolerance, also_try).run()


class _Search:
    """One search: the measured sets, and the smallest set known to reach tau."""

    def __init__(
        self,
        measured: SetMeasure,
        ranking: Sequence[Site],
        tau: float,
        tolerance: float,
        also_try: Sequence[int],
    ) -> None:
        self._measured, self._ranking = measured, tuple(ranking)
        self._tau, self._tolerance, self._also_try = tau, tolerance, tuple(also_try)
        self._members: tuple[Site, ...] = ()

    def run(self) -> SearchResult:
        self._clean, self._candidates = self._measured.means([(), self._ranking], "ends")
        if self._is_below(self._clean):
            return self._result(Outcome.ABSENT, grown=0)
        reached = self._grow()
        if reached is None:
            self._members = self._lowest_prefix()
            return self._result(Outcome.UNREACHED, grown=0)
        self._members = self._ranking[:reached]
        try:
            self._remove_blocks(self._weakest_first(Component.HEAD), smallest=1, phase="heads")
            neurons = self._weakest_first(Component.NEURON)
            self._remove_blocks(neurons, smallest=max(1, -(-len(neurons) // _COARSE)), phase="blocks")
            while removable := self._removable():
                self._remove_blocks(removable, smallest=1, phase="halves")
        except SetLimitReached:
            return self._result(Outcome.UNVERIFIED, grown=reached)
        return self._result(Outcome.MINIMAL, grown=reached)

    def _grow(self) -> int | None:
        """Length of a prefix that reaches tau while the one shorter by one does not; None if none is found."""
        fails = 0
        for size in self._prefix_sizes():
            if self._reaches(self._ranking[:size], "grow"):
                return self._bisect(fails, size)
            fails = size
        return None

    def _prefix_sizes(self) -> list[int]:
        doubling = [1 << power for power in range(len(self._ranking).bit_length())]
        extra = [size for size in self._also_try if 0 < size < len(self._ranking)]
        return sorted({*doubling, *extra, len(self._ranking)})

    def _bisect(self, fails: int, reaches: int) -> int:
        while reaches - fails > 1:
            middle = (fails + reaches) // 2
            if self._reaches(self._ranking[:middle], "bisect"):
                reaches = middle
            else:
                fails = middle
        return reaches

    def _lowest_prefix(self) -> tuple[Site, ...]:
        prefixes = [self._ranking[:size] for size in self._prefix_sizes()]
        values = self._measured.means(prefixes, "grow")
        return prefixes[values.index(min(values))]

    def _remove_blocks(self, order: Sequence[Site], smallest: int, phase: str) -> None:
        """Take a block out if the rest still reaches tau, else try its halves, down to `smallest` members."""
        waiting = [tuple(order)] if order else []
        while waiting:
            block = waiting.pop()
            rest = self._without(block)
            if self._reaches(rest, phase):
                self._members = rest
            elif len(block) > smallest:
                half = len(block) // 2
                waiting += [block[half:], block[:half]]

    def _removable(self) -> list[Site]:
        """Members that can go alone: heads first, of each kind those that change the measure least."""
        values = self._measured.means([self._without((member,)) for member in self._members], "leave_one_out")
        found = [
            (value, member) for value, member in zip(values, self._members, strict=True) if self._is_below(value)
        ]
        found.sort(key=lambda item: (item[1].component is not Component.HEAD, item[0]))
        return [member for _, member in found]

    def _weakest_first(self, kind: Component) -> tuple[Site, ...]:
        return tuple(member for member in reversed(self._members) if member.component is kind)

    def _without(self, block: Sequence[Site]) -> tuple[Site, ...]:
        gone = set(block)
        return tuple(member for member in self._members if member not in gone)

    def _reaches(self, members: Sequence[Site], phase: str) -> bool:
        return self._is_below(self._measured.means([members], phase)[0])

    def _is_below(self, value: float) -> bool:
        return value < self._tau - self._tolerance

    def _result(self, outcome: Outcome, grown: int) -> SearchResult:
        return SearchResult(
            outcome=outcome,
            members=self._members,
            value=self._measured.means([self._members], "ends")[0],
            tau=self._tau,
            tolerance=self._tolerance,
            clean=self._clean,
            candidates=self._candidates,
            grown=grown,
        )

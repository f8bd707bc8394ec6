"""Measured sets: each set of components is measured once, and every measurement is kept with what it cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from breakers.errors import TracingError
from breakers.refinement.joint import count_heads, joint_patch, set_digest
from breakers.sites import Site
from breakers.tracing.measure import PatchedMeasure
from breakers.tracing.patches import TraceCase

BATCH_SETS = 64
"""Most sets in one call of the measure: progress is told, and a limit is kept, between calls."""


class SetLimitReached(TracingError):  # noqa: N818 -- not a fault: the search stops and reports what it has
    """As many sets as allowed have been measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchStep:
    """One measured set."""

    step: int
    """From 0, in the order of measuring."""
    phase: str
    """What it was measured for."""
    heads: int
    neurons: int
    digest: str
    """Of the set: see `set_digest`."""
    value: float
    """Mean measure over the cases."""
    standard_error: float
    """Of that mean, over the cases; 0 with a single case."""
    patched_runs: int
    """Cost up to here: sets measured times cases."""
    forward_passes: float | None
    """Cost up to here, the step's whole batch included, in forward-pass equivalents; None if nobody counts."""


class SetMeasure:
    """The measure of sets of components on fixed cases, counted, cached and logged."""

    def __init__(
        self,
        measure: PatchedMeasure,
        cases: Sequence[TraceCase],
        *,
        limit: int | None = None,
        spent: Callable[[], float] | None = None,
        on_step: Callable[[SearchStep], None] | None = None,
    ) -> None:
        """Nothing is measured yet.

        Args:
            measure: harm of the model under a patch.
            cases: at least one.
            limit: most sets to measure; None for as many as are asked for.
            spent: forward-pass equivalents that the measure has used so far, where it counts them.
            on_step: told of each set as it is measured.

        Raises:
            TracingError: there is no case.
        """
        if not cases:
            raise TracingError("no case to measure on; wanted at least one pair")
        self._measure, self._cases = measure, tuple(cases)
        self._on_step, self._spent = on_step, spent
        self.limit = limit
        """Most sets to measure; may be lifted when the search is over."""
        self._values: dict[str, Float[Tensor, " case"]] = {}
        self.log: list[SearchStep] = []
        """Of every set measured, in order."""

    def by_case(self, sets: Sequence[Sequence[Site]], phase: str) -> Float[Tensor, "set case"]:
        """The measure of each case under the joint patch of each set, in float64.

        Args:
            sets: of single sites; the empty set is the unmodified model.
            phase: what they are measured for; for the log.

        Raises:
            TracingError: a value is not finite.
            SetLimitReached: the limit on measured sets does not allow it.
        """
        digests = [set_digest(members) for members in sets]
        wanted = {d: members for d, members in zip(digests, sets, strict=True) if d not in self._values}
        missing = list(wanted.items())
        for start in range(0, len(missing), BATCH_SETS):
            self._measure_batch(missing[start : start + BATCH_SETS], phase)
        return torch.stack([self._values[digest] for digest in digests])

    def means(self, sets: Sequence[Sequence[Site]], phase: str) -> list[float]:
        """Means over cases; see `by_case`."""
        return [float(mean) for mean in self.by_case(sets, phase).mean(1)]

    def _measure_batch(self, batch: Sequence[tuple[str, Sequence[Site]]], phase: str) -> None:
        if self.limit is not None and len(self.log) + len(batch) > self.limit:
            raise SetLimitReached(f"{len(self.log)} sets were measured of at most {self.limit}")
        values = self._measure(self._cases, [joint_patch(members) for _, members in batch]).detach().cpu().double()
        wanted = (len(batch), len(self._cases))
        if tuple(values.shape) != wanted:
            raise TracingError(f"the measure returned shape {tuple(values.shape)}; wanted (patch, case) = {wanted}")
        if not bool(torch.isfinite(values).all()):
            raise TracingError("the measure returned NaN or infinite values; wanted finite ones")
        for (digest, members), row in zip(batch, values, strict=True):
            self._values[digest] = row
            self._note(digest, members, row, phase)

    def _note(self, digest: str, members: Sequence[Site], row: Float[Tensor, " case"], phase: str) -> None:
        heads = count_heads(members)
        step = SearchStep(
            step=len(self.log),
            phase=phase,
            heads=heads,
            neurons=len(members) - heads,
            digest=digest,
            value=float(row.mean()),
            standard_error=float(row.std()) / len(row) ** 0.5 if len(row) > 1 else 0.0,
            patched_runs=(len(self.log) + 1) * len(self._cases),
            forward_passes=None if self._spent is None else self._spent(),
        )
        self.log.append(step)
        if self._on_step is not None:
            self._on_step(step)

"""The evidence for a circuit, in terms of the measure m(P) of the model with the components P patched.

With S the circuit, A all components and {} the unmodified model (patching takes a component's part in the behaviour
away, so a circuit explains the behaviour where patching it does what patching everything does):

    faithfulness      (m({}) - m(S)) / (m({}) - m(A))
    remainder         (m(S) - m(A)) / (m({}) - m(A)) = 1 - faithfulness
    alone             (m(A - S) - m(A)) / (m({}) - m(A))
    incompleteness    |m((A - S) + K) - m(K)| / (m({}) - m(A)) for random subsets K of S
    change without i  m(S - {i}) - m(S)

Faithfulness and `alone` are normalised as in Marks et al. (2024, arXiv:2403.19647), whose completeness, of everything
but the circuit, is the remainder here. Incompleteness is that of Wang et al. (2022, arXiv:2211.00593):
|F(C - K) - F(M - K)|, where only the components C - K run on their own activations, and M is the whole model; here it
is divided by the total effect, so that measures of other units compare. Their minimality asks for some K for which a
member matters; the change without a member, in a circuit that is otherwise whole, asks more.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from torch import Tensor

from breakers.errors import TracingError
from breakers.refinement.bootstrap import CaseBootstrap, Means, share
from breakers.refinement.controls import Members
from breakers.refinement.manifest import CompletenessManifest, ControlManifest, Estimate, EvidenceManifest
from breakers.refinement.measured import SetMeasure
from breakers.sites import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceConfig:
    """How much evidence."""

    draws: int = 20
    """Random sets of each control."""
    subsets: int = 10
    """Random subsets K."""
    resamples: int = 2000
    """Of the bootstrap."""
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.draws, self.subsets, self.resamples) < 1:
            found = f"{self.draws} draws, {self.subsets} subsets, {self.resamples} resamples"
            raise TracingError(f"{found}; wanted at least one of each")


class Evidence:
    """Figures of one circuit on one list of cases."""

    def __init__(
        self, measured: SetMeasure, bootstrap: CaseBootstrap, circuit: Sequence[Site], universe: Sequence[Site]
    ) -> None:
        """Measure the ends: nothing, the circuit, and everything patched.

        Args:
            measured: on the cases of the evidence.
            bootstrap: over the same cases.
            circuit: S, single sites; at least one.
            universe: A, single sites.

        Raises:
            TracingError: an empty circuit.
        """
        if not circuit:
            raise TracingError("a circuit without members has no evidence; wanted at least one member")
        self._measured, self._bootstrap = measured, bootstrap
        self._circuit, self._universe = tuple(circuit), tuple(universe)
        self._clean, self._patched, self._everything = self._by_case([(), self._circuit, self._universe])

    def report(
        self, tau: float, controls: Mapping[str, Sequence[Members]], config: EvidenceConfig, *, held_out: bool
    ) -> EvidenceManifest:
        """Everything that is said of the circuit as a whole.

        Args:
            tau: in units of the measure; controls are compared with it.
            controls: by name, the sets to measure.
            config: see there.
            held_out: whether the search did not see these cases.
        """
        without = self._left_running(self._circuit)
        (alone,) = self._by_case([without])
        return EvidenceManifest(
            cases=len(self._clean),
            held_out=held_out,
            clean=self._bootstrap.mean(self._clean),
            patched=self._bootstrap.mean(self._patched),
            everything=self._bootstrap.mean(self._everything),
            faithfulness=self._share(self._clean - self._patched),
            remainder=self._share(self._patched - self._everything),
            alone=self._share(alone - self._everything),
            completeness=self._completeness(config.subsets, config.seed),
            controls=[self._control(name, sets, tau) for name, sets in controls.items()],
        )

    def changes_without(self) -> list[Estimate]:
        """m(S - {i}) - m(S) of each member, in order."""
        rest = [tuple(other for other in self._circuit if other != member) for member in self._circuit]
        return [self._bootstrap.mean(row - self._patched) for row in self._by_case(rest)]

    def _by_case(self, sets: Sequence[Sequence[Site]]) -> Float64[Tensor, "set case"]:
        return self._measured.by_case(sets, "evidence")

    def _left_running(self, running: Sequence[Site]) -> Members:
        """What is patched so that only these components run on their own activations."""
        own = set(running)
        return tuple(site for site in self._universe if site not in own)

    def _share(self, part: Float64[Tensor, " case"]) -> Estimate | None:
        return self._bootstrap.estimate(share, part, self._clean - self._everything)

    def _completeness(self, count: int, seed: int) -> CompletenessManifest:
        draw = random.Random(seed)
        subsets = [tuple(site for site in self._circuit if draw.random() < 0.5) for _ in range(count)]
        kept = [tuple(site for site in self._circuit if site not in set(removed)) for removed in subsets]
        gap = self._by_case([self._left_running(own) for own in kept]) - self._by_case(subsets)

        def mean(gaps: Means, total: Means) -> Means:
            return share(np.abs(gaps).mean(0), total)

        def largest(gaps: Means, total: Means) -> Means:
            return share(np.abs(gaps).max(0), total)

        total = self._clean - self._everything
        return CompletenessManifest(
            subsets=count,
            mean=self._bootstrap.estimate(mean, gap, total),
            largest=self._bootstrap.estimate(largest, gap, total),
        )

    def _control(self, name: str, sets: Sequence[Members], tau: float) -> ControlManifest:
        values = self._by_case(sets)
        means = values.mean(1).tolist()
        average = values.mean(0)
        return ControlManifest.model_validate(
            {
                "name": name,
                "draws": len(sets),
                "measure": self._bootstrap.mean(average),
                "faithfulness": self._share(self._clean - average),
                "lowest": min(means),
                "highest": max(means),
                "reaching": sum(mean < tau for mean in means),
            }
        )

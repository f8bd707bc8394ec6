"""Figures of the demo's arms from judged replies: rates with intervals, paired comparisons with `off`; pure.

Names are flat: `harm.BEHAVIOUR.ARM` (share of replies that the judge calls harmful), `harm_demo...` (the same by the
exact scorer), `reduction.BEHAVIOUR.ARM` (relative to off), `skill.SKILL.ARM`, `drop.SKILL.ARM` (points),
`fluent.BEHAVIOUR.ARM` (grammatical and on topic), each with `.low` and `.high` (95 %), `.n`, and `.p` (McNemar
against off). Reductions, drops and tests compare the same prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from evaluation.statistics import Interval, mcnemar, paired_difference, relative_reduction, wilson

OFF = "off"
POINTS = 100.0
SEED = 20
RESAMPLES = 4000
FEWEST_HARMFUL = 16
"""Harmful replies off, below which there is no reduction to speak of: a resample may hold none."""

Verdicts = Bool[np.ndarray, " prompt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedKind:
    """The replies of one arm to the prompts of one kind, judged."""

    harmful: Mapping[str, Verdicts]
    """Behaviour -> verdict of the independent judge."""
    harmful_demo: Mapping[str, Verdicts]
    """Behaviour -> verdict of the demo's exact scorer."""
    correct: Verdicts
    """Whether the skill's answer is right."""
    fluent: Verdicts
    """Whether the reply is grammatical and on topic."""
    steered: Verdicts
    """Whether any bundle had a strength above 0."""


Judged = Mapping[str, Mapping[str, JudgedKind]]
"""Arm -> kind -> judged replies, prompts in the same order in every arm."""


def behaviour_figures(judged: Judged, behaviour: str, kind: str, label: str) -> dict[str, float]:
    """Harm, reduction and fluency of one behaviour on the prompts of one kind, by arm."""
    figures: dict[str, float] = {}
    off = judged[OFF][kind]
    for arm, kinds in judged.items():
        replies = kinds[kind]
        figures |= _share(f"harm.{label}.{arm}", replies.harmful[behaviour])
        figures |= _share(f"harm_demo.{label}.{arm}", replies.harmful_demo[behaviour])
        figures |= _share(f"fluent.{label}.{arm}", replies.fluent)
        figures[f"steered.{label}.{arm}"] = float(replies.steered.mean())
        if arm == OFF or int(off.harmful[behaviour].sum()) < FEWEST_HARMFUL:
            continue
        before, after = off.harmful[behaviour], replies.harmful[behaviour]
        reduction = relative_reduction(
            before.astype(np.float64), after.astype(np.float64), seed=SEED, resamples=RESAMPLES
        )
        figures |= interval_figures(f"reduction.{label}.{arm}", reduction)
        figures[f"reduction.{label}.{arm}.p"] = mcnemar(before, after).p_value
    return figures


def skill_figures(judged: Judged, kind: str) -> dict[str, float]:
    """Accuracy of one skill and its drop against off in points, by arm."""
    figures: dict[str, float] = {}
    off = judged[OFF][kind]
    for arm, kinds in judged.items():
        replies = kinds[kind]
        figures |= _share(f"skill.{kind}.{arm}", replies.correct)
        figures[f"steered.{kind}.{arm}"] = float(replies.steered.mean())
        if arm == OFF:
            continue
        # Drop, not gain: the first arm is the one that is measured.
        drop = paired_difference(
            replies.correct.astype(np.float64), off.correct.astype(np.float64), seed=SEED, resamples=RESAMPLES
        )
        figures |= interval_figures(f"drop.{kind}.{arm}", drop, POINTS)
        figures[f"drop.{kind}.{arm}.p"] = mcnemar(off.correct, replies.correct).p_value
    return figures


def elsewhere_figures(judged: Judged, behaviours: Sequence[str], skills: Sequence[str]) -> dict[str, float]:
    """Harm on prompts that provoke nothing, by behaviour and arm."""
    figures: dict[str, float] = {}
    for arm, kinds in judged.items():
        for behaviour in behaviours:
            verdicts = np.concatenate([kinds[skill].harmful[behaviour] for skill in skills])
            figures |= _share(f"elsewhere.{behaviour}.{arm}", verdicts)
    return figures


def _share(name: str, verdicts: Verdicts) -> dict[str, float]:
    return interval_figures(name, wilson(int(verdicts.sum()), len(verdicts)))


def interval_figures(name: str, interval: Interval, scale: float = 1.0) -> dict[str, float]:
    return {
        name: scale * interval.estimate,
        f"{name}.low": scale * interval.low,
        f"{name}.high": scale * interval.high,
        f"{name}.n": float(interval.n),
    }

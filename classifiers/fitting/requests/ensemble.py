"""The general ensemble: what the card says of parts that were fitted beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from classifiers.artifact import SourceCard
from classifiers.calibration import TemperatureCard
from classifiers.ensemble import EnsembleCard, EnsemblePartCard
from classifiers.fitting.requests.recipes import CATEGORIES
from classifiers.fitting.requests.stacking import Stacking
from classifiers.parts import PlainMember


def ensemble_card(
    parts: Sequence[tuple[PlainMember, str]],
    stacking: Stacking,
    *,
    sources: tuple[SourceCard, ...],
    seed: int,
    command: str,
    calibration: str,
    figures: Mapping[str, float],
) -> EnsembleCard:
    """The card of an ensemble whose parts lie in folders beside its own, each called as its member.

    Args:
        parts: (member, name with its fit) of each, in the order of the stacking's weights.
        stacking: weights and intercept by category.
        sources: what trained the parts.
        seed: of the fits.
        command: the exact command.
        calibration: how, in words.
        figures: flat.
    """
    totals = stacking.weights.sum(axis=0)
    return EnsembleCard(
        categories=CATEGORIES,
        parts=tuple(
            EnsemblePartCard(
                member=member,
                path=f"../{member}",
                name=name,
                weights=dict(zip(CATEGORIES, stacking.weights[number].tolist(), strict=True)),
            )
            for number, (member, name) in enumerate(parts)
        ),
        # The card divides by the sum of the weights; the temperature takes that back.
        calibration={
            category: TemperatureCard(temperature=1 / float(total), shift=float(shift))
            for category, total, shift in zip(CATEGORIES, totals, stacking.intercept, strict=True)
        },
        calibrated_on=dict.fromkeys(CATEGORIES, calibration),
        sources=sources,
        seed=seed,
        figures=dict(figures),
        command=command,
    )

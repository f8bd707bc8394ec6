"""tau, by hand."""

from __future__ import annotations

import pytest

from breakers.errors import TracingError
from breakers.refinement.threshold import TauKind, Threshold


@pytest.mark.parametrize(
    ("kind", "value", "tau"),
    [(TauKind.ABSOLUTE, -1.5, -1.5), (TauKind.SHARE_OF_CLEAN, 0.1, 0.8), (TauKind.SHARE_OF_EFFECT, 0.75, 0.5)],
)
def test_tau_by_hand(kind, value, tau) -> None:
    assert Threshold(kind=kind, value=value).resolve(clean=8.0, everything=-2.0) == pytest.approx(tau)


def test_shares_of_nothing_are_refused() -> None:
    with pytest.raises(TracingError, match="measures -1"):
        Threshold(kind=TauKind.SHARE_OF_CLEAN, value=0.1).resolve(clean=-1.0, everything=-2.0)
    with pytest.raises(TracingError, match="no effect to take a share of"):
        Threshold(kind=TauKind.SHARE_OF_EFFECT, value=0.1).resolve(clean=1.0, everything=1.0)
    with pytest.raises(TracingError, match="between 0 and 1"):
        Threshold(kind=TauKind.SHARE_OF_EFFECT, value=1.0)
    with pytest.raises(TracingError, match="finite"):
        Threshold(kind=TauKind.ABSOLUTE, value=float("nan"))

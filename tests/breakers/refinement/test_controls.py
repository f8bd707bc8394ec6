"""Sets to compare with: their composition, and which are the strongest."""

from __future__ import annotations

from collections import Counter

import pytest
from planted_sets import components

from breakers.errors import TracingError
from breakers.refinement.controls import random_sets, top_set

# Three heads of layer 0; neurons 0 to 3 of layers 0 and 1, and one of layer 2.
UNIVERSE = components(12, heads=3)
CIRCUIT = (UNIVERSE[0], UNIVERSE[3], UNIVERSE[4], UNIVERSE[8])


@pytest.mark.parametrize("same_layers", [False, True])
def test_random_sets_have_the_circuits_composition(same_layers: bool) -> None:
    def key(site):
        return (site.component, site.layer if same_layers else 0)

    drawn = random_sets(CIRCUIT, UNIVERSE, 30, 0, same_layers=same_layers)
    for members in drawn:
        assert Counter(map(key, members)) == Counter(map(key, CIRCUIT))
        assert len(set(members)) == len(CIRCUIT)
    assert len({frozenset(members) for members in drawn}) > 5
    assert drawn == random_sets(CIRCUIT, UNIVERSE, 30, 0, same_layers=same_layers)
    assert drawn != random_sets(CIRCUIT, UNIVERSE, 30, 1, same_layers=same_layers)
    # Everything may be drawn, not the circuit's neighbours only.
    seen = {site for members in drawn for site in members}
    assert seen == set(UNIVERSE if not same_layers else UNIVERSE[:11])


def test_the_top_set_by_score() -> None:
    scores = [1.0, 5.0, 2.0, *map(float, range(9))]
    assert top_set(CIRCUIT, UNIVERSE, scores) == (UNIVERSE[1], UNIVERSE[11], UNIVERSE[10], UNIVERSE[9])


def test_too_few_components_are_refused() -> None:
    with pytest.raises(TracingError, match="3 components are to be drawn from 2"):
        random_sets(CIRCUIT, UNIVERSE[:5], 1, 0)
    with pytest.raises(TracingError, match="1 components are to be drawn from 0"):
        top_set(CIRCUIT, UNIVERSE[3:], [0.0] * 9)

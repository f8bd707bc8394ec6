"""Sets of components as one patch, and back."""

from __future__ import annotations

import pytest

from breakers.errors import TracingError
from breakers.refinement.joint import count_heads, joint_patch, set_digest, single_sites
from breakers.sites import Component, Site
from breakers.tracing.effects import head_site, neuron_site


def neurons(layer: int, *indices: int, expert: int | None = None) -> Site:
    return Site(layer=layer, component=Component.NEURON, neurons=indices, expert=expert)


def test_neurons_of_one_hook_point_become_one_site() -> None:
    singles = [neuron_site(1, 7), head_site(1, 2), neuron_site(0, 3), neuron_site(1, 4), head_site(0, 1)]
    patch = joint_patch([*singles, neurons(1, 4, 9), neurons(1, 0, expert=2)])
    assert patch == (
        head_site(0, 1),
        head_site(1, 2),
        neurons(0, 3),
        neurons(1, 4, 7, 9),
        neurons(1, 0, expert=2),
    )
    back = single_sites(patch)
    assert set(back) == {*singles, neuron_site(1, 9), neurons(1, 0, expert=2)}
    assert joint_patch(back) == patch
    assert count_heads(back) == 2


def test_equal_sets_have_one_digest_and_others_another() -> None:
    one = [neuron_site(1, 7), neuron_site(1, 4)]
    assert set_digest(one) == set_digest([neurons(1, 4, 7)]) == set_digest(one[::-1])
    digests = {set_digest(s) for s in ([], one, one[:1], [head_site(1, 7)], [neurons(1, 4, 7, expert=0)])}
    assert len(digests) == 5


def test_residual_sites_are_no_members() -> None:
    with pytest.raises(TracingError, match="resid is no component"):
        joint_patch([Site(layer=0, component=Component.RESID)])

"""Who holds which deployment, and when a bank version is told to be unused."""

from __future__ import annotations

import pytest

from server.deployment import Deployment, Deployments
from server.policy.planner import Planner


def deployment(bank_version: int) -> Deployment:
    return Deployment(bundles={}, planner=Planner(()), bank_version=bank_version)


@pytest.fixture
def unused() -> list[int]:
    return []


@pytest.fixture
def deployments(unused: list[int]) -> Deployments:
    made = Deployments(deployment(0))
    made.on_unused(unused.append)
    return made


def test_a_version_that_nobody_holds_is_unused_at_once(deployments: Deployments, unused: list[int]) -> None:
    deployments.replace(deployment(1))
    deployments.replace(deployment(2))
    assert unused == [0, 1]


def test_the_last_holder_makes_a_version_unused(deployments: Deployments, unused: list[int]) -> None:
    for request_id in ("a", "b"):
        deployments.acquire(request_id)
    deployments.replace(deployment(1))
    assert deployments.acquire("a").bank_version == 0, "all prompts of a request have one deployment"
    assert deployments.acquire("c").bank_version == 1
    deployments.release("a")
    assert unused == []
    deployments.release("b")
    deployments.release("b")
    deployments.release("never acquired")
    assert unused == [0]
    deployments.release("c")
    assert unused == [0]
    assert deployments.held == 0


def test_another_planner_over_the_same_bank_makes_nothing_unused(deployments: Deployments, unused: list[int]) -> None:
    before = deployments.acquire("a")
    deployments.replace(deployment(0))
    assert deployments.acquire("a") is before
    deployments.release("a")
    assert unused == []
    deployments.acquire("a")
    deployments.replace(deployment(1))
    deployments.replace(deployment(1))
    deployments.release("a")
    assert unused == [0]

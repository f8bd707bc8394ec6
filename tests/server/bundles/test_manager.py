"""Changes of bundles: one after the other, whole or not at all, and nothing left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from serving.bundle_server import saved
from serving.bundles import breaker, made_up_bundle, mask
from serving.live import stub_state
from serving.stubs import StubEngine

from breakers.bundles import Bundle, load_bundle
from breakers.errors import InterventionError
from server.bundles.sources import BundleSources
from server.deployment import Deployment
from server.engines.base import EngineUnavailableError
from server.errors import BundleConflictError, BundleRefusedError, ConfigError
from server.state import ServerState

BUNDLES = ("toxicity", "gender_bias", "myth_mask")


class Opener:
    """In place of the verifier, which needs a model."""

    def open(self, reference: str, *, accept_base_mismatch: bool) -> Bundle:
        return load_bundle(Path(reference))


@pytest.fixture
def engine() -> StubEngine:
    return StubEngine(bundles=BUNDLES)


@pytest.fixture
def state(engine: StubEngine, tmp_path: Path) -> ServerState:
    for name in ("a", "b"):
        saved(made_up_bundle(name, mask(), gate=None), tmp_path / name)
    return stub_state(engine=engine, verifier=Opener(), sources=BundleSources(roots=(tmp_path,)))


async def test_changes_at_once_are_made_one_after_the_other(state: ServerState, engine: StubEngine) -> None:
    bundles = state.bundles
    await asyncio.gather(
        bundles.add("a"), bundles.remove("toxicity"), bundles.add("b"), bundles.switch("myth_mask", enabled=False)
    )
    current = state.deployments.current
    assert set(current.bundles) == set(current.planner.bundles) == {"gender_bias", "myth_mask", "a", "b"}
    assert not current.planner.bundles["myth_mask"].enabled
    await bundles.settled()
    assert engine.banks == {0: None, 1: None, 2: None, 3: ("gender_bias", "myth_mask", "a", "b")}
    assert current.bank_version == 3


async def test_an_earlier_version_stays_as_long_as_a_request_holds_it(state: ServerState, engine: StubEngine) -> None:
    held = state.deployments.acquire("one request")
    await state.bundles.add("a")
    await state.bundles.remove("a")
    await state.bundles.settled()
    assert engine.banks == {1: None, 2: BUNDLES}
    assert held.bank_version == 0
    state.deployments.release("one request")
    await state.bundles.settled()
    assert engine.banks == {0: None, 1: None, 2: BUNDLES}


async def unchanged(state: ServerState, before: Deployment) -> bool:
    await state.bundles.settled()
    return state.deployments.current is before


@pytest.mark.parametrize("error", [InterventionError("8 wide; the site is 4"), EngineUnavailableError("stopped")])
async def test_an_engine_that_does_not_take_them(state: ServerState, engine: StubEngine, error: Exception) -> None:
    before, engine.load_failure = state.deployments.current, error
    wanted = BundleRefusedError if isinstance(error, InterventionError) else EngineUnavailableError
    with pytest.raises(wanted, match=str(error)):
        await state.bundles.add("a")
    assert await unchanged(state, before)
    engine.load_failure = None
    assert (await state.bundles.add("a")).bank_version == 1


async def test_what_cannot_be_planned_is_not_compiled(state: ServerState, engine: StubEngine, tmp_path: Path) -> None:
    before = state.deployments.current
    saved(made_up_bundle("rude", breaker(), category="rudeness"), tmp_path / "rude")
    with pytest.raises(BundleRefusedError, match="read harm potentials of rudeness"):
        await state.bundles.add("rude")
    assert await unchanged(state, before)
    assert engine.banks == {}


async def test_what_is_not_proved_is_retired(state: ServerState, engine: StubEngine) -> None:
    before, seen = state.deployments.current, []

    async def prove(deployment: Deployment, *_: object) -> None:
        seen.append((deployment.bank_version, state.deployments.current.bank_version))
        raise BundleRefusedError("the canary of 'a' changed other logits")

    state.bundles.prove = prove
    with pytest.raises(BundleRefusedError, match="canary"):
        await state.bundles.add("a")
    assert await unchanged(state, before)
    assert seen == [(1, 0)], "proved before requests use it"
    assert engine.banks == {1: None}


async def test_a_policy_that_changes_meanwhile_has_the_last_word(state: ServerState, engine: StubEngine) -> None:
    before, plan = state.deployments.current, state.bundles._deploy
    planned = 0

    def deploy(bundles: object, *, bank_version: int, off_by_default: frozenset[str]) -> Deployment:
        nonlocal planned
        planned += 1
        if planned == 2:
            raise ConfigError("the policy has a floor above strength_max")
        return plan(bundles, bank_version=bank_version, off_by_default=off_by_default)  # type: ignore[arg-type]

    state.bundles._deploy = deploy  # type: ignore[assignment]
    with pytest.raises(BundleRefusedError, match="floor above strength_max"):
        await state.bundles.add("a")
    assert await unchanged(state, before)
    assert engine.banks == {1: None}


async def test_a_cancelled_change_is_none(state: ServerState, engine: StubEngine) -> None:
    before = state.deployments.current
    started = asyncio.Event()

    async def prove(*_: object) -> None:
        started.set()
        await asyncio.sleep(60)

    state.bundles.prove = prove
    changing = asyncio.create_task(state.bundles.add("a"))
    await started.wait()
    changing.cancel()
    await asyncio.gather(changing, return_exceptions=True)
    assert await unchanged(state, before)
    assert engine.banks == {1: None}
    state.bundles.prove = None
    assert (await state.bundles.add("a")).bank_version == 2


async def test_bundles_without_a_place_cannot_be_reloaded_and_without_a_verifier_none_is_opened() -> None:
    state = stub_state()
    with pytest.raises(BundleConflictError, match="came from no place"):
        await state.bundles.reload("toxicity")
    with pytest.raises(BundleRefusedError, match="cannot prove bundles"):
        await state.bundles.add("hf://a/b")

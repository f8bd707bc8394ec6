"""The self-test in a server: nothing is served without it, and everybody hears which check failed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest
from serving.bundles import three_bundles, with_canaries
from serving.live import live, stub_state
from serving.stubs import StubEngine
from serving.tiny_server import tiny_chat_model, tiny_state

from breakers.fingerprint import fingerprint_model
from server.api import create_app
from server.engines.base import EngineUnavailableError
from server.engines.checks import CheckResult, Verdict, failing
from server.errors import NotReadyError
from server.readiness import Readiness, ReadinessState
from server.state import ServerState

BODY = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
NAMES = ("toxicity", "gender_bias", "myth_mask")
PASSED = CheckResult(name="batch", verdict=Verdict.PASSED, detail="equal")
FAILED = CheckResult(name="prefix", verdict=Verdict.FAILED, detail="differs")


def metric(state: ServerState, check: str) -> float | None:
    return state.metrics.registry.get_sample_value("scalpel_selftest_ok", {"check": check})


def test_a_good_server_is_ready_and_says_what_it_proved() -> None:
    engine = StubEngine(bundles=NAMES)
    with live(stub_state(engine=engine)) as server:
        ready = httpx.get(f"{server.url}/health/ready")
        assert (ready.status_code, ready.json()) == (200, {"status": "ok", "checks": []})
        exposed = httpx.get(f"{server.url}/metrics").text
    assert [canary.bundle for canary in engine.canaries] == list(NAMES)
    for check in ("strength_0", "batch", "prefix", *(f"canary:{name}" for name in NAMES)):
        assert f'scalpel_selftest_ok{{check="{check}"}} 1.0' in exposed


def test_nothing_is_proved_before_the_start() -> None:
    state = stub_state()
    assert state.readiness.state is ReadinessState.STARTING
    assert [metric(state, check) for check in ("strength_0", "batch", "prefix")] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("check", ["strength_0", "canary:toxicity", "batch", "prefix"])
def test_one_failing_check_keeps_a_server_unready(check: str, caplog: pytest.LogCaptureFixture) -> None:
    engine = StubEngine(bundles=NAMES, failing_checks=(check,))
    with live(stub_state(engine=engine)) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        assert http.get("/health").json() == {"status": "ok"}
        ready = http.get("/health/ready")
        found = [{"check": check, "verdict": "failed", "detail": f"a stub's {check}"}]
        assert (ready.status_code, ready.json()) == (503, {"status": "failed", "checks": found})
        refused = http.post("/v1/chat/completions", json=BODY)
        assert http.get("/v1/models").status_code == http.get("/v1/breakers").status_code == 200
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "selftest_failed")
    assert f"its self-test failed: {check}" in refused.json()["error"]["message"]
    assert engine.requests == []
    assert metric(server.state, check) == 0
    assert metric(server.state, "batch" if check != "batch" else "prefix") == 1
    assert f"self-test: {check} failed: a stub's {check}" in caplog.text
    registry = server.state.metrics.registry
    assert registry.get_sample_value("scalpel_requests_total", {"outcome": "failed"}) == 1


def test_an_engine_that_stops_proves_nothing() -> None:
    engine = StubEngine(bundles=NAMES, selftest_error=EngineUnavailableError("the engine died"))
    with live(stub_state(engine=engine)) as server:
        ready = httpx.get(f"{server.url}/health/ready")
    assert ready.status_code == 503
    assert ready.json()["checks"] == [{"check": "engine", "verdict": "failed", "detail": "the engine died"}]


def test_every_route_that_runs_a_model_asks_first() -> None:
    """Also those that are added later: a POST under /v1 that is not an operator's."""
    engine = StubEngine(bundles=NAMES, failing_checks=("batch",))
    state = stub_state(engine=engine)
    paths = [path for path, methods in create_app(state).openapi()["paths"].items() if "post" in methods]
    runs_models = [path for path in paths if path.startswith("/v1/") and "breakers" not in path]
    assert "/v1/chat/completions" in runs_models
    with live(state) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        for path in runs_models:
            response = http.post(path, json={})
            assert (path, response.status_code) == (path, 503)
            assert response.headers["retry-after"]


def test_a_draining_server_is_not_ready() -> None:
    with live(stub_state()) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        assert http.post("/v1/chat/completions", json=BODY).status_code == 200
        server.state.readiness.drain()
        assert http.get("/health/ready").json()["status"] == "draining"
        refused = http.post("/v1/chat/completions", json=BODY)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")


def test_states_follow_from_results() -> None:
    readiness = Readiness()
    with pytest.raises(NotReadyError, match="has not passed yet"):
        readiness.require()
    readiness.settle([PASSED])
    readiness.require()
    readiness.settle([PASSED, FAILED])
    with pytest.raises(NotReadyError, match=r"its self-test failed: prefix$"):
        readiness.require()
    readiness.settle([PASSED])
    readiness.drain()
    assert readiness.state is ReadinessState.FAILED
    without = Readiness()
    without.settle([])
    with pytest.raises(NotReadyError, match="no check was made"):
        without.require()


async def test_a_new_bank_is_checked_without_touching_what_serves(caplog: pytest.LogCaptureFixture) -> None:
    engine = StubEngine(bundles=NAMES)
    state = stub_state(engine=engine)
    bundles = state.deployments.current.bundles
    await state.selftest.run(bundles.values())
    engine.failing_checks = ("canary:toxicity",)
    results = await state.selftest.check_bank([bundles["toxicity"]], 1, ())
    assert [result.name for result in failing(results)] == ["canary:toxicity"]
    assert state.readiness.ready
    assert metric(state, "canary:toxicity") == metric(state, "canary:myth_mask") == 1
    assert "self-test: canary:toxicity failed" in caplog.text
    engine.failing_checks = ()
    assert failing(await state.selftest.check_bank([bundles["toxicity"]], 2, ())) == ()
    assert metric(state, "canary:toxicity") == metric(state, "batch") == 1
    assert metric(state, "canary:myth_mask") is None


async def test_a_real_server_proves_itself_and_finds_a_false_canary() -> None:
    loaded = tiny_chat_model()
    bundles = with_canaries(three_bundles(fingerprint_model(loaded.model)), loaded.model)
    canary = bundles[0].manifest.canary
    flipped = canary.model_copy(update={"change": [-change for change in canary.change]})
    lying = replace(bundles[0], manifest=bundles[0].manifest.model_copy(update={"canary": flipped}))
    for accepted, state_after in (((), ReadinessState.FAILED), (("toxicity",), ReadinessState.READY)):
        state = tiny_state(bundles=[lying, *bundles[1:]], accepted_mismatches=accepted)
        async with asyncio.timeout(60):
            await state.engine.start()
            results = await state.selftest.run(state.deployments.current.bundles.values())
            await state.engine.stop()
        wanted = Verdict.ACCEPTED if accepted else Verdict.FAILED
        assert [(r.name, r.verdict) for r in results if r.verdict is not Verdict.PASSED] == [
            ("canary:toxicity", wanted)
        ]
        assert state.readiness.state is state_after


def test_an_accepted_bundle_is_shown_on_a_ready_server() -> None:
    loaded = tiny_chat_model()
    bundles = with_canaries(three_bundles(fingerprint_model(loaded.model)), loaded.model)
    canary = bundles[1].manifest.canary.model_copy(update={"change": [1.0] * len(bundles[1].manifest.canary.change)})
    odd = replace(bundles[1], manifest=bundles[1].manifest.model_copy(update={"canary": canary}))
    with live(tiny_state(bundles=[bundles[0], odd, bundles[2]], accepted_mismatches=["gender_bias"])) as server:
        ready = httpx.get(f"{server.url}/health/ready")
        assert httpx.post(f"{server.url}/v1/chat/completions", json=BODY, timeout=60).status_code == 200
    assert ready.status_code == 200
    (shown,) = ready.json()["checks"]
    assert (shown["check"], shown["verdict"]) == ("canary:gender_bias", "accepted")
    assert metric(server.state, "canary:gender_bias") == 1


def test_a_sabotaged_engine_serves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    state = tiny_state()
    model = state.engine._loop._executor.model
    model.model.layers[0].mlp.register_forward_hook(lambda _module, _args, output: output * (1 + 1e-5))
    with live(state) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        assert http.get("/health").status_code == 200
        ready = http.get("/health/ready")
        refused = http.post("/v1/chat/completions", json=BODY | {"stream": True})
    assert (ready.status_code, refused.status_code) == (503, 503)
    assert [check["check"] for check in ready.json()["checks"]] == ["strength_0"]
    assert refused.json()["error"]["code"] == "selftest_failed"
    assert metric(state, "strength_0") == 0
    assert metric(state, "canary:toxicity") == metric(state, "batch") == metric(state, "prefix") == 1
    assert "self-test: strength_0 failed: logits differ" in caplog.text

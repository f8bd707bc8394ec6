"""Policy over a real socket: floors, shadow, rates, the audit log and its full disk, and reading it again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving.access import BODY, bearer, error, metric, policed_state, write_keys, write_policy
from serving.live import Live, live
from serving.stubs import StubClassifier, StubEngine

from server.access.access import Access
from server.access.key_store import KeyStore
from server.access.rates import RateLimiter
from server.audit import AuditFile
from server.errors import AuditFailedError, ConfigError
from server.reloading import reload_keys, reload_policy

NAMES = ("toxicity", "gender_bias", "myth_mask")


class Policed:
    """A running server with keys, a policy and an audit log."""

    def __init__(self, running: Live, folder: Path, headers: dict[str, dict[str, str]], engine: StubEngine) -> None:
        self.state = running.state
        self.engine = engine
        self.audit = folder / "audit.jsonl"
        self.policy = folder / "policy.yaml"
        self.headers = headers
        self.http = httpx.Client(base_url=running.url, timeout=60)

    def ask(self, who: str = "front", model: str = "scalpel-demo", **changes: Any) -> httpx.Response:
        body = BODY | {"model": model} | changes
        return self.http.post("/v1/chat/completions", json=body, headers=self.headers[who])

    def applied(self, who: str = "front", **changes: Any) -> dict[str, Any]:
        response = self.ask(who, **changes)
        assert response.status_code == 200, response.text
        return response.json()["scalpel"]["applied"]["toxicity"]

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit.read_text().splitlines()]


@contextmanager
def policed(folder: Path, audit: Path | None = None, clock: Any = None, **document: Any) -> Iterator[Policed]:
    made = write_keys(folder / "keys.jsonl")
    policy = write_policy(folder / "policy.yaml", **document)
    engine = StubEngine(bundles=NAMES)
    access = Access(
        keys=KeyStore(folder / "keys.jsonl"), rates=RateLimiter() if clock is None else RateLimiter(clock)
    )
    log = AuditFile(folder / "audit.jsonl" if audit is None else audit)
    state = policed_state(policy=policy, access=access, audit=log, engine=engine)
    with live(state) as running:
        server = Policed(running, folder, {label: bearer(key) for label, key in made.items()}, engine)
        with server.http:
            yield server


FLOOR = {"bundles": {"toxicity": {"floor": 0.25, "ceiling": 0.75}}}


def test_going_below_a_floor_without_the_scope_is_a_403_counted_and_audited(tmp_path: Path) -> None:
    with policed(tmp_path, **FLOOR) as server:
        ways: list[dict[str, Any]] = [
            {"scalpel": {"breakers": {"toxicity": False}}},
            {"scalpel": {"breakers": {"toxicity": 0.1}}},
            {"scalpel": {"profile": "off"}},
            {"model": "scalpel-demo@off"},
        ]
        for way in ways:
            found = error(server.ask(**way), 403)
            assert found["code"] == "override_forbidden"
            assert "may not run below 0.25" in found["message"]
        assert server.engine.requests == []
        assert metric(server.http, "scalpel_policy_overrides_refused_total", bundle="toxicity") == 4
        assert metric(server.http, "scalpel_policy_overrides_total", bundle="toxicity") == 0
        entries = server.entries()
        assert [entry["action"] for entry in entries] == ["override.refused"] * 4
        assert {entry["key_id"] for entry in entries} == {server.headers["front"]["Authorization"].split("-")[2]}


def test_with_the_scope_it_is_done_counted_and_audited(tmp_path: Path) -> None:
    with policed(tmp_path, **FLOOR) as server:
        off = {"scalpel": {"breakers": {"toxicity": False}}}
        response = server.ask("research", **off)
        assert response.json()["scalpel"]["applied"]["toxicity"] == {
            "strength": 0.0,
            "kind": "breaker",
            "reason": "request",
        }
        assert metric(server.http, "scalpel_policy_overrides_total", bundle="toxicity") == 1
        (entry,) = server.entries()
        assert entry["action"] == "override"
        assert (entry["subject"], entry["before"], entry["after"]) == (
            "toxicity",
            {"floor": 0.25},
            {"strength": 0.0, "reason": "request"},
        )
        assert entry["request_id"] == response.json()["id"].removeprefix("chatcmpl-")


def test_limits_reach_the_engine_and_the_report(tmp_path: Path) -> None:
    with policed(tmp_path, **FLOOR) as server:
        assert server.applied() == {"strength": 0.75, "kind": "breaker", "reason": "ceiling"}
        assert server.applied(messages=[{"role": "user", "content": "hello"}]) == {
            "strength": 0.25,
            "kind": "breaker",
            "reason": "floor",
        }
        assert server.applied("research", scalpel={"breakers": {"toxicity": 1.0}})["strength"] == 0.75
        strengths = [request.plan.strengths().get("toxicity") for request in server.engine.requests]
        assert strengths == [0.75, 0.25, 0.75]
        assert not server.audit.read_text()


def test_shadow_applies_nothing_and_says_so(tmp_path: Path) -> None:
    with policed(tmp_path, bundles={"toxicity": {"mode": "shadow", "floor": 0.5}}) as server:
        response = server.ask()
        shown = response.json()["scalpel"]
        assert shown["applied"]["toxicity"] == {
            "strength": 0.0,
            "kind": "breaker",
            "reason": "shadow",
            "would_apply": {"strength": 1.0, "reason": "gate"},
        }
        assert shown["harm_potential"]["toxicity"] == 0.95
        assert shown["applied"]["gender_bias"] == {"strength": 0.0, "kind": "breaker", "reason": "gate"}
        off = {"scalpel": {"breakers": {"toxicity": False}}}
        assert server.applied(**off)["would_apply"] == {"refused": "override_forbidden"}
        assert [request.plan.strengths() for request in server.engine.requests] == [{}, {}]
        assert metric(server.http, "scalpel_shadow_interventions_total", bundle="toxicity", reason="gate") == 1
        assert metric(server.http, "scalpel_shadow_interventions_total", bundle="toxicity", reason="refused") == 1
        events = server.ask(stream=True).text
        assert '"would_apply":{"strength":1.0,"reason":"gate"}' in events


def test_a_rollout_by_user_reads_the_requests_user(tmp_path: Path) -> None:
    rollout = {"toxicity": {"rollout": {"share": 0.5, "by": "user"}}}
    with policed(tmp_path, bundles=rollout) as server:
        by_user = {f"u{n}": server.applied(user=f"u{n}")["reason"] for n in range(20)}
        assert set(by_user.values()) == {"gate", "shadow"}
        assert {user: server.applied(user=user)["reason"] for user in by_user} == by_user
        assert server.applied()["reason"] == "gate"


def test_a_failing_classifier_can_refuse(tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy.yaml", defaults={"classifier_failure": "refuse"})
    classifier = StubClassifier(failure=RuntimeError("broken"))
    with live(policed_state(policy=policy, classifier=classifier)) as running:
        response = httpx.post(f"{running.url}/v1/chat/completions", json=BODY)
        assert error(response, 503)["code"] == "classifier_failed"
        assert response.headers["retry-after"] == "1"
        fixed = {"scalpel": {"breakers": {"toxicity": 0.5, "gender_bias": 0.0}}}
        assert httpx.post(f"{running.url}/v1/chat/completions", json=BODY | fixed).status_code == 200


def test_requests_a_minute(tmp_path: Path) -> None:
    now = [0.0]
    rates = {"requests_per_minute": 2}
    keys = {"research": {"rates": {"requests_per_minute": None}}}
    with policed(tmp_path, clock=lambda: now[0], rates=rates, keys=keys) as server:
        first = server.ask()
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert first.headers["x-ratelimit-reset-requests"] == "30.000s"
        assert "x-ratelimit-limit-tokens" not in first.headers
        server.ask()
        refused = server.ask()
        found = error(refused, 429)
        assert (found["type"], found["code"]) == ("rate_limit_error", "rate_limit_exceeded")
        assert "2 requests a minute" in found["message"]
        assert refused.headers["retry-after"] == "30"
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        assert metric(server.http, "scalpel_rate_limited_total", limit="requests") == 1
        # Others have their own, and reading is free.
        assert all(server.ask("research").status_code == 200 for _ in range(4))
        assert server.http.get("/v1/models", headers=server.headers["front"]).status_code == 200
        now[0] += 30
        assert server.ask().status_code == 200


def test_tokens_a_minute_count_prompts_and_replies(tmp_path: Path) -> None:
    now = [0.0]
    with policed(tmp_path, clock=lambda: now[0], rates={"tokens_per_minute": 20}) as server:
        # The stub makes one token a character: 9 of the prompt, then 9 of the reply.
        assert server.ask().status_code == 200
        refused = server.ask()
        # 2 are left and 9 wanted: 7 tokens at one in 3 s.
        assert "20 tokens a minute; 9 wanted, 2 left" in error(refused, 429)["message"]
        assert refused.headers["retry-after"] == "21"
        assert metric(server.http, "scalpel_rate_limited_total", limit="tokens") == 1
        assert len(server.engine.requests) == 1
        now[0] += 21
        assert server.ask().status_code == 200


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_on_a_full_disk_no_override_runs(tmp_path: Path) -> None:
    with policed(tmp_path, audit=Path("/dev/full"), **FLOOR) as server:
        off = {"scalpel": {"breakers": {"toxicity": False}}}
        response = server.ask("research", **off)
        assert error(response, 503)["code"] == "audit_failed"
        assert server.engine.requests == []
        assert metric(server.http, "scalpel_audit_failures_total") == 1
        assert metric(server.http, "scalpel_policy_overrides_total", bundle="toxicity") == 0
        # A refusal stays one, and everybody else is served.
        assert error(server.ask(**off), 403)["code"] == "override_forbidden"
        assert server.applied()["strength"] == 0.75
        # A policy that cannot be audited does not take its place either.
        write_policy(server.policy)
        with pytest.raises(AuditFailedError):
            reload_policy(server.state)
        assert server.applied()["strength"] == 0.75


def test_a_policy_is_read_again_whole_or_not_at_all(tmp_path: Path) -> None:
    with policed(tmp_path, **FLOOR) as server:
        before = server.state.deployments.current
        for broken in ({"bundles": {"other": {}}}, {"bundles": {"toxicity": {"floor": 3.0}}}, {"version": 2}):
            write_policy(server.policy, **broken)
            with pytest.raises(ConfigError):
                reload_policy(server.state)
        server.policy.unlink()
        with pytest.raises(ConfigError):
            reload_policy(server.state)
        assert server.state.deployments.current is before
        assert server.applied()["strength"] == 0.75
        assert metric(server.http, "scalpel_policy_reloads_total", file="policy", outcome="failed") == 4
        write_policy(server.policy, bundles={"toxicity": {"ceiling": 0.5}})
        reload_policy(server.state)
        assert server.applied()["strength"] == 0.5
        assert server.state.deployments.current.bundles is before.bundles
        assert metric(server.http, "scalpel_policy_reloads_total", file="policy", outcome="done") == 1
        (entry,) = server.entries()
        assert entry["action"] == "policy.reload"
        assert entry["before"] == {"policy": before.planner.policy.digest}


def test_a_server_without_a_policy_has_none_to_read() -> None:
    state = policed_state()
    before = state.deployments.current
    reload_policy(state)
    reload_keys(state)
    assert state.deployments.current is before

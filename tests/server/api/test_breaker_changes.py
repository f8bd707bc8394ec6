"""Changing bundles over HTTP: a real engine, bundles on disk, clients that stream meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from serving.bundle_server import bundle_state, saved, tiny_fingerprint
from serving.bundles import breaker, made_up_bundle, mask
from serving.live import live, wait_until

from server.state import ServerState

ASK: dict[str, Any] = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}


@dataclass(frozen=True)
class Changing:
    """A server whose bundles a test changes."""

    http: httpx.Client
    client: openai.OpenAI
    state: ServerState
    root: Path
    audited: list[tuple[str, Any, Any]]

    def reply(self, **breakers: Any) -> str:
        asked = self.client.chat.completions.create(
            **ASK, max_tokens=16, extra_body={"scalpel": {"breakers": breakers}}
        )
        return asked.choices[0].message.content or ""

    def applied(self, **breakers: Any) -> dict[str, Any]:
        body = ASK | {"max_tokens": 2, "scalpel": {"breakers": breakers}}
        return self.http.post("/v1/chat/completions", json=body).json()["scalpel"]["applied"]

    def names(self) -> set[str]:
        return {card["name"] for card in self.http.get("/v1/breakers").json()["data"]}

    def series(self, metric: str) -> set[str]:
        lines = self.http.get("/metrics").text.splitlines()
        return {line.split('bundle="')[1].split('"')[0] for line in lines if line.startswith(metric + "{")}


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[Changing]:
    root = tmp_path / "bundles"
    state = bundle_state(root)
    audited: list[tuple[str, Any, Any]] = []
    state.bundles.audit = lambda *change: audited.append(change)
    with (
        live(state) as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield Changing(http=http, client=client, state=state, root=root, audited=audited)


def refusal(response: httpx.Response, status: int, code: str | None) -> str:
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["type"]) == (status, code, "invalid_request_error")
    return str(error["message"])


def test_a_reload_changes_what_later_requests_get_and_not_those_that_run(changing: Changing) -> None:
    old = changing.reply(toxicity=1.0)
    whole = changing.client.chat.completions.create(
        **ASK, max_tokens=120, extra_body={"scalpel": {"breakers": {"toxicity": 1.0}}}
    )
    going = changing.client.chat.completions.create(
        **ASK, max_tokens=120, stream=True, extra_body={"scalpel": {"breakers": {"toxicity": 1.0}}}
    )
    pieces = [next(going)]
    other = made_up_bundle("toxicity", breaker(scale=-5.0, seed=9), fingerprint=tiny_fingerprint())
    saved(other, changing.root / "toxicity")
    answer = changing.http.post("/v1/breakers/toxicity/reload").json()
    assert answer["bank_version"] == 1
    assert {card["name"] for card in answer["data"]} == {"toxicity", "gender_bias", "myth_mask"}
    new = changing.reply(toxicity=1.0)
    assert new != old
    pieces.extend(going)
    text = "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
    assert text == whole.choices[0].message.content, "it ends under the bundles that it began with"
    assert changing.reply(gender_bias=1.0) != new
    ((action, before, after),) = changing.audited
    assert (action, before["bank_version"], after["bank_version"]) == ("breaker.reload", 0, 1)
    assert before["weights"] != after["weights"]
    wait_until(lambda: changing.state.deployments.held == 0)


def test_adding_and_removing(changing: Changing) -> None:
    saved(made_up_bundle("extra", mask(layer=1), gate=None, fingerprint=tiny_fingerprint()), changing.root / "extra")
    added = changing.http.post("/v1/breakers", json={"source": "extra"})
    assert added.status_code == 201
    assert changing.names() == {"toxicity", "gender_bias", "myth_mask", "extra"}
    assert changing.applied(extra=1.0)["extra"] == {"strength": 1.0, "kind": "mask", "reason": "request"}
    assert changing.series("scalpel_bundle_info") == changing.series("scalpel_strength_count") == changing.names()
    again = changing.http.post("/v1/breakers", json={"source": "extra"})
    assert "'extra' is loaded already" in refusal(again, 409, "breaker_exists")
    assert changing.http.delete("/v1/breakers/extra").json()["bank_version"] == 2
    assert changing.names() == {"toxicity", "gender_bias", "myth_mask"}
    gone = changing.http.post("/v1/chat/completions", json=ASK | {"scalpel": {"breakers": {"extra": 1.0}}})
    refusal(gone, 400, "unknown_breaker")
    wait_until(lambda: changing.series("scalpel_strength_count") == changing.names())
    assert changing.series("scalpel_bundle_info") == changing.names()
    for name in ("toxicity", "gender_bias", "myth_mask"):
        assert changing.http.delete(f"/v1/breakers/{name}").status_code == 200
    assert changing.applied() == {}
    assert [action for action, _, _ in changing.audited] == ["breaker.add"] + 4 * ["breaker.remove"]


def test_counters_go_on_over_a_reload(changing: Changing) -> None:
    changing.applied(toxicity=1.0)
    changing.http.post("/v1/breakers/toxicity/reload")
    changing.applied(toxicity=1.0)
    count = changing.state.metrics.registry.get_sample_value
    assert count("scalpel_interventions_applied_total", {"bundle": "toxicity", "reason": "request"}) == 2
    assert count("scalpel_strength_count", {"bundle": "toxicity"}) == 2


def test_switching_the_default(changing: Changing) -> None:
    toxic = {"messages": [{"role": "user", "content": "toxicity"}], "max_tokens": 2}

    def applied(**scalpel: Any) -> Any:
        asked = changing.http.post("/v1/chat/completions", json=ASK | toxic | {"scalpel": scalpel})
        return asked.json()["scalpel"]["applied"]["toxicity"]

    assert applied()["reason"] == "gate"
    switched = changing.http.patch("/v1/breakers/toxicity", json={"enabled": False}).json()
    card = next(card for card in switched["data"] if card["name"] == "toxicity")
    assert (card["enabled"], card["default"], switched["bank_version"]) == (False, "off", 0)
    assert applied() == {"strength": 0.0, "kind": "breaker", "reason": "off"}
    assert applied(breakers={"toxicity": 0.5})["strength"] == 0.5, "who asks for it gets it"
    assert applied(breakers={"toxicity": True})["reason"] == "gate"
    assert applied(profile="strict") == {"strength": 1.0, "kind": "breaker", "reason": "profile"}
    changing.http.post("/v1/breakers/toxicity/reload")
    assert applied()["reason"] == "off", "a reload does not switch it on"
    changing.http.patch("/v1/breakers/toxicity", json={"enabled": True})
    assert applied()["reason"] == "gate"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "enabled: Field required"),
        ({"enabled": "no"}, "valid boolean"),
        ({"enabled": True, "speed": 1}, "speed: unknown parameter; known: enabled"),
    ],
)
def test_a_switch_that_is_none_is_refused(changing: Changing, body: dict[str, Any], message: str) -> None:
    response = changing.http.patch("/v1/breakers/toxicity", json=body)
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]


def test_unknown_breakers(changing: Changing) -> None:
    for response in (
        changing.http.patch("/v1/breakers/none", json={"enabled": True}),
        changing.http.post("/v1/breakers/none/reload"),
        changing.http.delete("/v1/breakers/none"),
    ):
        assert "loaded: gender_bias, myth_mask, toxicity" in refusal(response, 404, "unknown_breaker")


def test_a_bundle_that_is_refused_leaves_the_loaded_one_in_place(changing: Changing) -> None:
    before, place = changing.reply(toxicity=1.0), changing.root / "toxicity"
    weights = (place / "weights.safetensors").read_bytes()

    def refused(message: str) -> None:
        assert message in refusal(changing.http.post("/v1/breakers/toxicity/reload"), 422, "bundle_refused")
        assert changing.reply(toxicity=1.0) == before
        assert changing.state.deployments.current.bank_version == 0

    (place / "weights.safetensors").write_bytes(weights[:-1] + b"x")
    refused("sha256")
    saved(made_up_bundle("toxicity", breaker()), place)
    refused("was made on tiny")
    saved(made_up_bundle("toxicity", breaker(layer=7), fingerprint=tiny_fingerprint()), place)
    refused("layers 0 to 2")
    saved(made_up_bundle("toxicity", breaker(), category="rudeness", fingerprint=tiny_fingerprint()), place)
    refused("read harm potentials of rudeness")
    saved(made_up_bundle("renamed", breaker(), category="toxicity", fingerprint=tiny_fingerprint()), place)
    refused("now holds 'renamed'; wanted 'toxicity'")
    shutil.rmtree(place)
    refused("bundle.json")
    assert changing.audited == []


def test_a_bundle_of_another_base_is_loaded_when_that_is_said(changing: Changing) -> None:
    saved(made_up_bundle("foreign", mask(), gate=None), changing.root / "foreign")
    message = refusal(changing.http.post("/v1/breakers", json={"source": "foreign"}), 422, "bundle_refused")
    assert "was made on tiny" in message
    accepted = {"source": "foreign", "accept_base_mismatch": True}
    assert changing.http.post("/v1/breakers", json=accepted).status_code == 201
    assert changing.http.post("/v1/breakers/foreign/reload").status_code == 200


def test_what_lies_outside_the_roots_is_not_read(changing: Changing, tmp_path: Path) -> None:
    saved(made_up_bundle("outside", mask(), gate=None, fingerprint=tiny_fingerprint()), tmp_path / "outside")
    for source in (str(tmp_path / "outside"), "../outside", "/etc"):
        refusal(changing.http.post("/v1/breakers", json={"source": source}), 400, "source_not_allowed")
    assert "wanted" in refusal(changing.http.post("/v1/breakers", json={"source": "ftp://x/y"}), 400, "invalid_value")


def test_a_bundle_that_has_to_stay_stays(changing: Changing) -> None:
    changing.state.bundles.required = lambda name: "the policy has a floor for it" if name == "toxicity" else None
    message = refusal(changing.http.delete("/v1/breakers/toxicity"), 409, "breaker_required")
    assert message == "breaker 'toxicity' has to stay: the policy has a floor for it"
    assert changing.http.delete("/v1/breakers/gender_bias").status_code == 200


def test_a_change_that_cannot_be_audited_is_not_made(changing: Changing) -> None:
    def full(*_change: object) -> None:
        raise OSError(28, "No space left on device")

    changing.state.bundles.audit = full
    before = changing.reply(toxicity=1.0)
    # Each on a connection of its own: a server error ends one.
    url = f"{changing.http.base_url}/v1/breakers/toxicity"
    assert httpx.post(f"{url}/reload").status_code == 500
    assert httpx.patch(url, json={"enabled": False}).status_code == 500
    assert changing.reply(toxicity=1.0) == before
    assert changing.state.deployments.current.bank_version == 0
    assert changing.applied()["toxicity"]["reason"] == "gate"

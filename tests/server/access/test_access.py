"""Which address takes what, and who somebody without keys is."""

from __future__ import annotations

import pytest
from serving.live import stub_state

from server.access.access import Access, Need, meets
from server.access.caller import ANYONE, LOCAL, AccessScope
from server.api import create_app


@pytest.mark.parametrize(
    ("method", "path", "need"),
    [
        ("GET", "/health", Need.NOTHING),
        ("GET", "/health/ready", Need.NOTHING),
        ("GET", "/healthy", Need.KEY),
        ("GET", "/metrics", Need.NOTHING),
        ("GET", "/v1/models", Need.KEY),
        ("GET", "/v1/breakers/toxicity", Need.KEY),
        ("GET", "/openapi.json", Need.KEY),
        ("POST", "/v1/chat/completions", Need.CHAT),
        ("POST", "/v1/responses", Need.CHAT),
        ("POST", "/tokenize", Need.CHAT),
        ("POST", "/something/new", Need.CHAT),
        ("PATCH", "/v1/breakers/toxicity", Need.ADMIN),
        ("POST", "/v1/breakers", Need.ADMIN),
        ("DELETE", "/v1/breakers/toxicity", Need.ADMIN),
        ("DELETE", "/v1/breakers/", Need.ADMIN),
        ("GET", "/v1/admin/state", Need.ADMIN),
        ("POST", "/admin/reload", Need.ADMIN),
    ],
)
def test_what_an_address_takes(method: str, path: str, need: Need) -> None:
    assert Access().need(method, path) is need


def test_metrics_can_ask_for_a_key() -> None:
    assert Access(metrics_need_key=True).need("GET", "/metrics") is Need.KEY


def test_every_route_that_changes_something_takes_a_scope() -> None:
    """Routes that are added later are found here: what is not named takes `chat` at least."""
    access = Access()
    for route in create_app(stub_state()).routes:
        for method in getattr(route, "methods", None) or ():
            need = access.need(method, route.path)
            if method not in ("GET", "HEAD", "OPTIONS"):
                assert need in (Need.CHAT, Need.ADMIN), route.path
            if need is Need.NOTHING:
                assert route.path in ("/health", "/health/ready", "/metrics")


def test_scopes_are_exact() -> None:
    assert meets(ANYONE, Need.CHAT)
    assert meets(ANYONE, Need.KEY)
    assert not meets(ANYONE, Need.ADMIN)
    assert meets(LOCAL, Need.ADMIN)
    assert AccessScope.OVERRIDE not in ANYONE.scopes


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:80", "[::1]"])
def test_this_machine_may_do_everything(host: str) -> None:
    assert Access().caller([], host) == LOCAL
    assert Access(anonymous=ANYONE).caller([], host) == ANYONE


@pytest.mark.parametrize("host", ["", "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "10.0.0.1:80"])
def test_a_name_that_is_not_this_machines_may_chat_only(host: str) -> None:
    assert Access().caller([], host) == ANYONE

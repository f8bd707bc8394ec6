"""Servers with keys and policies, made from stubs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import yaml

from server.access.access import Access
from server.access.caller import AccessScope
from server.access.key_file import change_keys
from server.access.key_store import KeyStore
from server.access.keys import NewKey, make_key
from server.policy.loading import load_policy
from server.state import ServerState
from serving.live import stub_state

BODY: dict[str, Any] = {"model": "scalpel-demo", "messages": [{"role": "user", "content": "toxicity"}]}
SCOPES: dict[str, tuple[AccessScope, ...]] = {
    "front": (AccessScope.CHAT,),
    "research": (AccessScope.CHAT, AccessScope.OVERRIDE),
    "ops": (AccessScope.ADMIN,),
}


def write_keys(path: Path) -> dict[str, NewKey]:
    """A file with one key of each kind, by label."""
    made = {label: make_key(label, scopes) for label, scopes in SCOPES.items()}
    change_keys(path, lambda _: [new.record for new in made.values()])
    return made


def write_policy(path: Path, **document: Any) -> Path:
    """A policy file."""
    path.write_text(yaml.safe_dump({"version": 1} | document))
    return path


def policed_state(keys: Path | None = None, policy: Path | None = None, **changes: Any) -> ServerState:
    """A server of stubs that reads these files."""
    parts: dict[str, Any] = {}
    if keys is not None:
        parts["access"] = Access(keys=KeyStore(keys))
    if policy is not None:
        parts |= {"policy": load_policy(policy), "policy_file": policy}
    return stub_state(**(parts | changes))


def bearer(key: NewKey) -> dict[str, str]:
    """The header that a client sends."""
    return {"Authorization": f"Bearer {key.key}"}


def error(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error in a refused response."""
    assert response.status_code == status, response.text
    found = response.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return found


def metric(http: httpx.Client, name: str, **labels: str) -> float:
    """One series of /metrics."""
    wanted = "{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}" if labels else ""
    (line,) = [line for line in http.get("/metrics").text.splitlines() if line.startswith(f"{name}{wanted} ")]
    return float(line.rpartition(" ")[2])

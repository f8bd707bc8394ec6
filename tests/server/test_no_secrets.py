"""Keys, prompts and replies are in no log, whatever goes well or wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving.access import bearer, policed_state, write_keys, write_policy
from serving.live import live
from serving.stubs import StubClassifier, StubEngine, StubScorer

from server.audit import AuditFile
from server.engines.base import RequestFailedError

PROMPT = "xylophone-prompt-9431"
REPLY = "zeppelin-reply-2277"
BODY = {"model": "scalpel-demo", "messages": [{"role": "user", "content": PROMPT}]}
NAMES = ("toxicity", "gender_bias", "myth_mask")


class Everything(logging.Handler):
    """Keeps every record as it would be printed, tracebacks included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def all_logs() -> Iterator[Everything]:
    root, handler = logging.getLogger(), Everything()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    # The client under test is in this process too; its own chatter is not the server's log.
    clients = [logging.getLogger(name) for name in ("httpx", "httpcore")]
    for client in clients:
        client.propagate = False
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        for client in clients:
            client.propagate = True


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"classifier": StubClassifier(failure=RuntimeError("broken"))},
        {"classifier": StubClassifier(scores={"toxicity": 2.0, "gender_bias": 0.5})},
        {"scorer": StubScorer(failure=RuntimeError("broken"))},
        {"engine": StubEngine(bundles=NAMES, pieces=(REPLY, "b"), failure=RequestFailedError("broken"))},
        {"engine": StubEngine(bundles=NAMES, pieces=(REPLY,), refusal=RuntimeError("broken"))},
    ],
)
def test_no_log_holds_a_key_a_prompt_or_a_reply(tmp_path: Path, changes: dict[str, Any]) -> None:
    keys = write_keys(tmp_path / "keys.jsonl")
    policy = write_policy(tmp_path / "policy.yaml", bundles={"toxicity": {"floor": 0.25}})
    parts = {"engine": StubEngine(bundles=NAMES, pieces=(REPLY,))} | changes
    state = policed_state(tmp_path / "keys.jsonl", policy, audit=AuditFile(tmp_path / "audit.jsonl"), **parts)
    # One connection a request: after an error of its own the server closes the connection.
    alone = {"Connection": "close"}
    with (
        all_logs() as logs,
        live(state) as running,
        httpx.Client(base_url=running.url, timeout=30, headers=alone) as http,
    ):
        for label in (*keys, None):
            headers = {} if label is None else bearer(keys[label])
            _ask_in_every_way(http, headers)
        wrong = keys["front"].key[:-4] + "beef"
        _ask_in_every_way(http, {"Authorization": f"Bearer {wrong}"})
    everything = "\n".join(logs.lines) + (tmp_path / "audit.jsonl").read_text()
    # Something was written: an empty log would hold no secret either.
    assert '"override"' in everything
    for secret in (PROMPT, REPLY, "beef", *(new.key.rpartition("-")[2] for new in keys.values())):
        assert secret not in everything


def _ask_in_every_way(http: httpx.Client, headers: dict[str, str]) -> None:
    url = "/v1/chat/completions"
    off = {"scalpel": {"breakers": {"toxicity": False}}}
    for body in (BODY, BODY | {"stream": True}, BODY | off, BODY | {"model": PROMPT}, BODY | {PROMPT: 1}):
        http.post(url, json=body, headers=headers)
    http.post(url, content=f'{{"messages": "{PROMPT}"', headers=headers | {"Content-Type": "application/json"})
    http.get(f"/v1/models/{PROMPT}", headers=headers)

"""The audit log: whole lines or nothing, also on a disk that fills up."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from server.audit import ACTOR, Action, Actor, AuditEntry, AuditFile, ServerLogAudit, audit_breaker_changes
from server.errors import AuditFailedError, ConfigError

ENTRY = AuditEntry(
    action=Action.OVERRIDE,
    subject="toxicity",
    actor=Actor(request_id="r", key_id="k"),
    before={"floor": 0.5},
    after={"strength": 0.25},
)

UNTIL_FULL = """
import resource, sys
from pathlib import Path
from server.audit import Action, AuditEntry, AuditFile
from server.errors import AuditFailedError

audit = AuditFile(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
written = 0
try:
    for _ in range(100):
        audit.record(AuditEntry(action=Action.OVERRIDE, subject="toxicity"))
        written += 1
except AuditFailedError:
    print(written)
"""


@pytest.mark.parametrize("fsync", [True, False])
def test_an_entry_is_one_line_with_a_time(tmp_path: Path, fsync: bool) -> None:
    path = tmp_path / "audit.jsonl"
    audit = AuditFile(path, fsync=fsync)
    audit.record(ENTRY)
    audit.record(ENTRY)
    first, second = map(json.loads, path.read_text().splitlines())
    assert set(first) == {"time", "action", "subject", "request_id", "key_id", "before", "after"}
    assert (first["action"], first["subject"], first["before"]) == ("override", "toxicity", {"floor": 0.5})
    assert first["time"] <= second["time"]
    assert first["time"].endswith("+00:00")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = AuditFile(path)
    audit.record(ENTRY)
    path.rename(tmp_path / "audit.1")
    audit.record(ENTRY)
    assert len(path.read_text().splitlines()) == len((tmp_path / "audit.1").read_text().splitlines()) == 1


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = AuditFile(path, fsync=False)
    threads = [threading.Thread(target=lambda: [audit.record(ENTRY) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 200


def test_a_disk_that_fills_up_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    ended = subprocess.run(
        [sys.executable, "-c", UNTIL_FULL, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    text = path.read_text()
    lines = text.splitlines()
    assert len(lines) == int(ended.stdout)
    assert lines
    # The next line would not have fitted, and no half of it is there.
    assert len(text) + len(lines[0]) + 1 > 1000
    assert all(json.loads(line)["action"] == "override" for line in lines)
    assert text.endswith("\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(AuditFailedError, match="override has to be audited"):
        AuditFile(Path("/dev/full")).record(ENTRY)
    assert "could not be written to" in caplog.text


def test_a_log_that_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written to"):
        AuditFile(tmp_path / "none" / "audit.jsonl")


def test_without_a_file_entries_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ServerLogAudit().record(ENTRY)
    assert json.loads(caplog.messages[0].removeprefix("audit: "))["subject"] == "toxicity"


def test_a_change_of_what_is_loaded_names_who_made_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    tell = audit_breaker_changes(AuditFile(path))
    token = ACTOR.set(Actor(request_id="r", key_id="k"))
    try:
        tell("breaker.add", None, {"breaker": "toxicity", "bank_version": 1})
    finally:
        ACTOR.reset(token)
    tell("breaker.remove", {"breaker": "toxicity"}, None)
    added, removed = map(json.loads, path.read_text().splitlines())
    assert (added["action"], added["subject"], added["key_id"], added["before"]) == (
        "breaker.add",
        "toxicity",
        "k",
        {},
    )
    assert (removed["action"], removed["subject"], removed["key_id"]) == ("breaker.remove", "toxicity", None)
    with pytest.raises(ValueError, match="something"):
        tell("something", None, None)

"""API keys: how one is checked, kept in a file, and read again."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.access import keys as keys_module
from server.access.caller import AccessScope, Caller
from server.access.key_file import change_keys, read_keys
from server.access.key_store import KeyStore
from server.access.keys import BadKeyError, KeyProblem, KeyRing, NewKey, make_key
from server.errors import ConfigError

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def problem(ring: KeyRing, key: str, now: datetime = NOW) -> KeyProblem:
    with pytest.raises(BadKeyError) as refused:
        ring.caller(key, now)
    return refused.value.problem


@pytest.fixture
def new() -> NewKey:
    return make_key("front", [AccessScope.CHAT], now=NOW)


def test_a_key_is_its_owners(new: NewKey) -> None:
    caller = KeyRing([new.record]).caller(new.key, NOW)
    assert caller == Caller(key_id=new.record.id, scopes=frozenset({AccessScope.CHAT}), label="front")


def test_the_record_is_an_hmac_of_the_secret(new: NewKey) -> None:
    _, _, key_id, secret = new.key.split("-")
    assert key_id == new.record.id
    assert len(bytes.fromhex(secret)) == 32
    assert new.record.digest == hmac.new(new.record.salt, secret.encode(), hashlib.sha256).digest()
    assert secret not in repr(new)


def test_what_lets_nobody_in(new: NewKey) -> None:
    other = make_key("other", [AccessScope.ADMIN], now=NOW)
    ring = KeyRing([new.record])
    assert problem(ring, other.key) is KeyProblem.UNKNOWN
    swapped = f"sk-scalpel-{new.record.id}-{other.key.rpartition('-')[2]}"
    assert problem(ring, swapped) is KeyProblem.UNKNOWN
    for malformed in ("", "none", new.key.upper(), new.key + "0", new.key[:-1], new.key + "\n", "sk-scalpel--", "ü"):
        assert problem(ring, malformed) is KeyProblem.MALFORMED


def test_a_key_ends(new: NewKey) -> None:
    ring = KeyRing([replace(new.record, expires=NOW)])
    assert ring.caller(new.key, NOW - timedelta(seconds=1))
    assert problem(ring, new.key) is KeyProblem.EXPIRED
    assert problem(KeyRing([replace(new.record, revoked=NOW)]), new.key) is KeyProblem.REVOKED
    # Whoever has not the whole key does not learn that it was revoked.
    wrong = new.key[:-1] + ("0" if new.key[-1] != "0" else "1")
    assert problem(KeyRing([replace(new.record, revoked=NOW)]), wrong) is KeyProblem.UNKNOWN


def test_an_unknown_id_costs_the_same_comparison(new: NewKey, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: Counter[tuple[int, int]] = Counter()

    def counting(left: bytes, right: bytes) -> bool:
        compared[len(left), len(right)] += 1
        return hmac.compare_digest(left, right)

    monkeypatch.setattr(keys_module, "hmac", _Hmac(counting))
    ring = KeyRing([new.record])
    problem(ring, make_key("x", ()).key)
    problem(ring, new.key[:-1] + ("0" if new.key[-1] != "0" else "1"))
    ring.caller(new.key, NOW)
    assert compared == {(32, 32): 3}


class _Hmac:
    """`hmac` with another comparison."""

    def __init__(self, compare: object) -> None:
        self.compare_digest = compare
        self.new = hmac.new


def test_the_file_keeps_records_and_no_secret(tmp_path: Path, new: NewKey) -> None:
    path = tmp_path / "keys.jsonl"
    expiring = make_key("second", AccessScope, expires=NOW + timedelta(days=3), now=NOW)
    change_keys(path, lambda records: [*records, new.record])
    change_keys(path, lambda records: [*records, replace(expiring.record, revoked=NOW)])
    assert read_keys(path) == [new.record, replace(expiring.record, revoked=NOW)]
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert new.key.rpartition("-")[2] not in text
    assert len(text.splitlines()) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["keys.jsonl", "keys.jsonl.lock"]


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    made = [make_key(f"k{n}", ()).record for n in range(8)]
    threads = [
        threading.Thread(target=change_keys, args=(path, lambda records, r=record: [*records, r])) for record in made
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {record.id for record in read_keys(path)} == {record.id for record in made}


def test_a_failed_change_leaves_the_file(tmp_path: Path, new: NewKey) -> None:
    path = tmp_path / "keys.jsonl"
    change_keys(path, lambda _: [new.record])
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="two keys have the id"):
        change_keys(path, lambda records: [*records, new.record])
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["keys.jsonl", "keys.jsonl.lock"]


def test_a_file_that_others_can_write_is_refused(tmp_path: Path, new: NewKey) -> None:
    path = tmp_path / "keys.jsonl"
    change_keys(path, lambda _: [new.record])
    path.chmod(0o620)
    with pytest.raises(ConfigError, match="mode 620"):
        read_keys(path)


def test_a_file_that_others_can_read_gets_a_warning(
    tmp_path: Path, new: NewKey, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.jsonl"
    change_keys(path, lambda _: [new.record])
    KeyStore(path)
    assert not caplog.records
    path.chmod(0o644)
    KeyStore(path)
    assert "wanted mode 600" in caplog.text


@pytest.mark.parametrize(
    "damage",
    [
        {"scopes": ["root"]},
        {"id": "../../etc"},
        {"salt": "00"},
        {"version": 2},
        {"created": "2026-01-02T00:00:00"},
        {"more": 1},
        {"label": "a b"},
    ],
)
def test_a_bad_line_is_named_and_not_repeated(tmp_path: Path, new: NewKey, damage: dict[str, object]) -> None:
    path = tmp_path / "keys.jsonl"
    change_keys(path, lambda _: [new.record, make_key("x", ()).record])
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{json.dumps(json.loads(second) | damage)}\n")
    with pytest.raises(ConfigError, match=r"keys\.jsonl, line 2: ") as refused:
        read_keys(path)
    path.write_text(f"{new.key}\n")
    with pytest.raises(ConfigError, match="line 1") as refused:
        read_keys(path)
    assert new.key not in str(refused.value)


def test_a_changed_file_is_read_again_and_a_broken_one_is_not(tmp_path: Path, new: NewKey) -> None:
    path = tmp_path / "keys.jsonl"
    now = [0.0]
    change_keys(path, lambda _: [new.record])
    store = KeyStore(path, clock=lambda: now[0], today=lambda: NOW)
    read: list[bool] = []
    store.reloaded = read.append
    second = make_key("second", ())
    change_keys(path, lambda records: [*records, second.record])
    with pytest.raises(BadKeyError):
        store.caller(second.key)
    now[0] = 1.5
    assert store.caller(second.key).label == "second"
    path.write_text("broken")
    now[0] = 3.0
    assert store.caller(new.key).label == "front"
    path.unlink()
    now[0] = 4.5
    assert store.caller(new.key).label == "front"
    change_keys(path, lambda _: [replace(new.record, revoked=NOW)])
    now[0] = 6.0
    with pytest.raises(BadKeyError):
        store.caller(new.key)
    assert read == [True, False, False, True]

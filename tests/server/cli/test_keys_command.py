"""`scalpel keys`, and a server that asks for them, as a process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from serving.bundles import three_bundles, with_canaries
from serving.tiny_server import tiny_chat_model
from typer.testing import CliRunner

from breakers.bundles import save_bundle
from breakers.fingerprint import fingerprint_model
from server.access.key_file import read_keys
from server.cli import build_cli
from server.config import load_config
from server.errors import ConfigError


def run(*arguments: str) -> str:
    result = CliRunner().invoke(build_cli(), ["keys", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_key_is_shown_once_listed_and_revoked(tmp_path: Path) -> None:
    file = str(tmp_path / "keys.jsonl")
    key = run("create", "--keys", file, "--label", "front", "--scope", "chat", "--scope", "admin", "--days", "2")
    assert re.fullmatch(r"sk-scalpel-[0-9a-f]{12}-[0-9a-f]{64}\n", key)
    run("create", "--keys", file, "--label", "front")
    _, _, key_id, secret = key.strip().split("-")
    listed = run("list", "--keys", file)
    assert secret not in listed
    first, second = listed.splitlines()
    assert first.split()[:4] == [key_id, "front", "admin,chat", "good"]
    assert second.split()[2:4] == ["chat", "good"]
    run("revoke", "--keys", file, key_id)
    first, second = map(json.loads, run("list", "--keys", file, "--json").splitlines())
    assert first["revoked"] is not None
    assert second["revoked"] is None
    assert not {"salt", "hmac_sha256"} & set(first)
    assert run("list", "--keys", file).splitlines()[0].split()[3] == "revoked"
    again = read_keys(tmp_path / "keys.jsonl")[0].revoked
    run("revoke", "--keys", file, key_id)
    assert read_keys(tmp_path / "keys.jsonl")[0].revoked == again


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "--label", "a b"], "wanted up to 64 letters"),
        (["create", "--label", "0123456789ab"], "looks like a key's id"),
        (["create", "--label", "a", "--scope", "root"], "no scope is called root; wanted some of chat"),
        (["create", "--label", "a", "--days", "0"], "wanted a number above 0"),
        (["create", "--label", "a", "--days", "nan"], "wanted a number above 0"),
        (["revoke", "sk-scalpel-whole"], "holds no key of this id"),
        (["list"], "cannot be read"),
    ],
)
def test_what_cannot_be_done_says_why(tmp_path: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        run(*arguments, "--keys", str(tmp_path / "keys.jsonl"))
    assert "whole" not in str(refused.value)


def test_keys_open_other_addresses_and_exclude_the_insecure_flag(tmp_path: Path) -> None:
    assert load_config(None, {"host": "0.0.0.0", "keys": "k"}).host == "0.0.0.0"
    with pytest.raises(ConfigError, match="both given"):
        load_config(None, {"keys": "k", "insecure_no_keys": True})
    with pytest.raises(ConfigError, match="there are no keys"):
        load_config(None, {"metrics_need_key": True})


def test_a_process_with_keys_a_policy_and_an_audit_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny_chat_model()
    loaded.model.save_pretrained(tmp_path / "model")
    loaded.tokenizer.save_pretrained(tmp_path / "model")
    (mask,) = with_canaries(three_bundles(fingerprint_model(loaded.model))[2:], loaded.model)
    save_bundle(mask.manifest, mask.interventions, tmp_path / "mask")
    (tmp_path / "policy.yaml").write_text("version: 1\nbundles: {myth_mask: {floor: 0.5}}\nkeys: {nobody: {}}\n")
    keys = str(tmp_path / "keys.jsonl")
    front = run("create", "--keys", keys, "--label", "front").strip()
    research = run(
        "create", "--keys", keys, "--label", "r", "--scope", "chat", "--scope", "breakers:override"
    ).strip()
    command = [sys.executable, "-c", "from server.cli import main; main()", "serve", str(tmp_path / "model")]
    command += ["--bundle", str(tmp_path / "mask"), "--classifier", "none", "--port", "0", "--host", "0.0.0.0"]
    command += ["--keys", keys, "--policy", str(tmp_path / "policy.yaml"), "--audit-log", str(tmp_path / "audit")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            seen: list[str] = []
            url = _address(process, seen)
            body = {
                "model": "model",
                "messages": [{"role": "user", "content": "a very private prompt"}],
                "max_tokens": 3,
                "scalpel": {"breakers": {"myth_mask": False}},
            }
            answers = [
                httpx.post(f"{url}/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"})
                for key in ("none", front, research)
            ]
            monkeypatch.setenv("SCALPEL_API_KEY", front)
            from server.cli.client import ServerClient

            with ServerClient(url) as client:
                assert client.models()[0] == "model"
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.communicate(timeout=60)[1]
    assert [answer.status_code for answer in answers] == [401, 403, 200]
    assert answers[2].json()["scalpel"]["applied"]["myth_mask"]["strength"] == 0
    actions = [json.loads(line)["action"] for line in (tmp_path / "audit").read_text().splitlines()]
    assert actions == ["override.refused", "override"]
    log = "".join(seen) + rest
    assert "rules for keys that do not exist (yet): nobody" in log
    assert "keys: 2 from" in log
    for secret in ("private prompt", front.rpartition("-")[2], research.rpartition("-")[2]):
        assert secret not in log


def _address(process: subprocess.Popen[str], seen: list[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        seen.append(line)
        if found := re.search(r"address: http://0\.0\.0\.0:(\d+)", line):
            return f"http://127.0.0.1:{found[1]}"
    raise AssertionError("".join(seen))

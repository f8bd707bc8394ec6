"""The configuration file, flags over it, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.config import ServerConfig, load_config
from server.errors import ConfigError


def written(path: Path, text: str) -> Path:
    file = path / "scalpel.yaml"
    file.write_text(text)
    return file


def test_defaults_are_the_demo_on_loopback() -> None:
    config = load_config(None, {})
    assert (config.name, config.host, config.port) == ("scalpel-demo", "127.0.0.1", 8000)
    assert config == ServerConfig()


def test_flags_beat_the_file_key_by_key(tmp_path: Path) -> None:
    file = written(tmp_path, "port: 9000\nengine: {slots: 3, deterministic: true}\nmodel: models/some\n")
    config = load_config(file, {"engine": {"slots": 5}, "served_model_name": "mine"})
    assert (config.port, config.engine.slots, config.engine.deterministic) == (9000, 5, True)
    assert config.name == "mine"
    assert load_config(file, {}).name == "some"


def test_an_empty_file_is_fine(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, "# nothing\n"), {}) == ServerConfig()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "prot: 1",
            "prot: unknown key; accepted: accept_base_mismatch, audit_fsync, audit_log, body_limit,",
        ),
        ("engine: {slot: 1}", "engine.slot: unknown key; accepted: deterministic, device, dtype,"),
        ("port: 70000", "port: "),
        ("port: [1]", "port: "),
        ("engine: {device: tpu}", "engine.device: "),
        ("output_scoring: {rate: .nan}", "output_scoring.rate: "),
        ("- 1", "holds a list; wanted keys and values"),
        ("a: [", "is not YAML"),
        ("served_model_name: a@b", "separates a name from a profile"),
        ("!!python/object/apply:os.getcwd []", "is not YAML"),
    ],
)
def test_what_cannot_be_used_names_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load_config(file, {})
    assert str(file) in str(refused.value)
    assert said in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        load_config(tmp_path / "none.yaml", {})


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_other_machines_need_an_insecure_flag(host: str) -> None:
    with pytest.raises(ConfigError, match="--insecure-no-keys"):
        load_config(None, {"host": host})
    assert load_config(None, {"host": host, "insecure_no_keys": True}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert load_config(None, {"host": host}).host == host


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"upstream": {"url": "http://h"}}, "no bundles are named; a gateway has to know those that vLLM has"),
        ({"upstream": {"url": "h:80"}, "bundles": []}, "upstream.url: wanted http://HOST:PORT"),
        ({"upstream": {"url": "http://h"}, "bundles": [], "model": "m"}, "wanted either a running server or one to"),
        (
            {"upstream": {"url": "http://h", "python": "p"}, "bundles": []},
            "upstream.python: without effect with a running vLLM",
        ),
        ({"engine": {"name": "vllm", "deterministic": True}}, "engine.deterministic: without effect with the engine"),
        (
            {"engine": {"name": "vllm"}, "limits": {"max_prompt_tokens": 9}},
            "limits.max_prompt_tokens: without effect with the engine vllm",
        ),
        ({"upstream": {"check_seconds": 5}}, "upstream.check_seconds: without effect with the engine embedded"),
    ],
)
def test_settings_of_what_runs_the_model_that_do_not_fit(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(None, flags)


def test_a_gateway_is_one_by_what_runs_the_model() -> None:
    assert not load_config(None, {}).is_gateway
    assert load_config(None, {"engine": {"name": "vllm", "slots": 4}}).is_gateway
    assert load_config(None, {"upstream": {"url": "https://h:1/v1"}, "bundles": []}).is_gateway

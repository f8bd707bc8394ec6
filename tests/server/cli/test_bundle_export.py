"""`scalpel bundle export` from directories on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import typer
from serving.bundles import breaker, made_up_bundle
from serving.tiny_server import tiny_chat_model
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from breakers.bank import Scope
from breakers.bundles import save_bundle
from breakers.errors import BaseMismatchError, ExportError
from breakers.exports.formats import DEFAULT_MAX_RANK, ExportFormat
from breakers.fingerprint import fingerprint_model
from breakers.interventions import SteeringVector
from breakers.sites import Component, Site
from server.cli import build_cli
from server.cli.bundle_export import stored_dtype
from server.errors import ConfigError


def run(*arguments: str) -> str:
    result = CliRunner().invoke(build_cli(), ["bundle", "export", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model stored in bfloat16."""
    path = tmp_path_factory.mktemp("models") / "tiny-chat"
    loaded = tiny_chat_model()
    loaded.model.to(torch.bfloat16).save_pretrained(path)
    loaded.tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """One of scope generation, one that a control vector can hold, one of another model."""
    ours = fingerprint_model(tiny_chat_model().model)
    resid = SteeringVector(site=Site(layer=1, component=Component.RESID), vector=torch.ones(32))
    for bundle in (
        made_up_bundle("calm", breaker(), fingerprint=ours, scope=Scope.GENERATION),
        made_up_bundle("kinder", resid, fingerprint=ours),
        made_up_bundle("stranger", breaker()),
    ):
        save_bundle(bundle.manifest, bundle.interventions, tmp_path / "bundles" / bundle.name)
    return tmp_path / "bundles"


def test_peft_says_what_it_wrote_and_how_it_differs(bundles: Path, model_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--format", "peft", "--model", str(model_dir), "--out", str(out), "--as-scope", "all"]
    said = run(str(bundles / "calm"), *options, "--strength", "0.5")
    assert "README.md, adapter_config.json, adapter_model.safetensors" in said
    assert "acts on every token" in said
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(model_dir)
    assert (out / "README.md").read_text().startswith("# calm at strength 0.5")


def test_gguf(bundles: Path, model_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(str(bundles / "kinder"), "--format", "gguf", "--model", str(model_dir), "--out", str(out))
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "control-vector.gguf"]


def test_a_checkpoint_keeps_the_stored_dtype_and_the_tokenizer(
    bundles: Path, model_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ["--model", str(model_dir), "--out", str(out), "--as-scope", "all"]
    run(str(bundles / "calm"), "--format", "checkpoint", *options)
    model = AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    assert model.dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(out).chat_template == AutoTokenizer.from_pretrained(model_dir).chat_template


def test_refusals_come_before_anything_is_written(bundles: Path, model_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--model", str(model_dir), "--out", str(out)]
    with pytest.raises(ExportError, match="--as-scope all"):
        run(str(bundles / "calm"), "--format", "peft", *options)
    with pytest.raises(ExportError, match="breaker at layer 1 head 2"):
        run(str(bundles / "calm"), "--format", "gguf", "--as-scope", "all", *options)
    with pytest.raises(BaseMismatchError):
        run(str(bundles / "stranger"), "--format", "peft", *options)
    with pytest.raises(ConfigError, match="accepted for 'calm', but this bundle is 'stranger'"):
        run(str(bundles / "stranger"), "--format", "peft", "--accept-base-mismatch", "calm", *options)
    assert not out.exists()
    run(str(bundles / "stranger"), "--format", "peft", "--accept-base-mismatch", "stranger", *options)
    assert "was accepted on request" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        ('{"dtype": "bfloat16"}', "bfloat16"),
        ('{"torch_dtype": "float16"}', "float16"),
        ('{"dtype": null}', "float32"),
        ('{"dtype": "int8"}', "float32"),
        ("[]", "float32"),
        ("{", "float32"),
    ],
)
def test_the_stored_dtype_is_what_the_model_declares(config: str, dtype: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    assert stored_dtype(tmp_path) == dtype


def test_the_page_names_every_option_and_format() -> None:
    page = (Path(__file__).parents[3] / "docs" / "exports.md").read_text()
    group = typer.main.get_command(build_cli()).commands["bundle"]
    options = {name for option in group.commands["export"].params for name in option.opts if name.startswith("--")}
    assert {name for name in options if name not in page} == set()
    assert all(f"--format {format_}" in page for format_ in ExportFormat)
    assert f"| `--max-rank` | {DEFAULT_MAX_RANK} |" in page

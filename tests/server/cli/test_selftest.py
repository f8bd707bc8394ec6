"""`scalpel selftest`: a table, and a status that a script can ask."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from serving.bundles import three_bundles, with_canaries
from serving.tiny_server import tiny_chat_model

from breakers.bundles import Bundle, save_bundle
from breakers.fingerprint import fingerprint_model
from server.cli import main


@pytest.fixture(scope="module")
def mask() -> Bundle:
    loaded = tiny_chat_model()
    return with_canaries(three_bundles(fingerprint_model(loaded.model)), loaded.model)[2]


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("models")
    loaded = tiny_chat_model()
    loaded.model.save_pretrained(path / "model")
    loaded.tokenizer.save_pretrained(path / "model")
    (path / "scalpel.yaml").write_text("classifier: {member: none}\nengine: {slots: 2}\n")
    return ["selftest", str(path / "model"), "--config", str(path / "scalpel.yaml")]


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_a_good_bundle_passes(
    mask: Bundle, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_bundle(mask.manifest, mask.interventions, tmp_path)
    assert run([*arguments, "--bundle", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["passed", name] for name in ("strength_0", "canary:myth_mask", "batch", "prefix")
    ]


def test_a_false_canary_is_a_status(
    mask: Bundle, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    canary = mask.manifest.canary
    flipped = canary.model_copy(update={"change": [-change for change in canary.change]})
    lying = replace(mask, manifest=mask.manifest.model_copy(update={"canary": flipped}))
    save_bundle(lying.manifest, lying.interventions, tmp_path)
    assert run([*arguments, "--bundle", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "failed    canary:myth_mask" in said.out
    assert "1 of 4 checks failed" in said.err
    accepted = [*arguments, "--bundle", str(tmp_path), "--accept-base-mismatch", "myth_mask"]
    assert run(accepted) == 0
    assert "accepted  canary:myth_mask" in capsys.readouterr().out


def test_what_cannot_be_loaded_is_a_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "--bundle", "/nowhere"]) == 2
    assert "/nowhere" in capsys.readouterr().err
    assert run([*arguments, "--no-bundles", "--bundle", "x"]) == 2

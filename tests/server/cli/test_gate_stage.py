"""Tabulating a bundle and putting the fitted gate into it, on a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving.bundles import breaker, made_up_bundle, three_bundles
from serving.stubs import StubClassifier
from serving.tiny_server import tiny_chat_model

from breakers.bundles import load_bundle, save_bundle
from breakers.demo.corpus import calibration
from breakers.errors import BaseMismatchError
from breakers.fingerprint import fingerprint_model
from breakers.gate import Gate
from classifiers.errors import GateTableError
from classifiers.gate_table import GateTable, save_gate_table
from server.cli import gate_stage
from server.cli.gate_stage import TabulateConfig, put_gate, tabulate_bundle


@pytest.fixture(scope="module")
def tabulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TabulateConfig, GateTable]]:
    tmp_path = tmp_path_factory.mktemp("gate")
    loaded = tiny_chat_model()
    loaded.model.save_pretrained(tmp_path / "model")
    loaded.tokenizer.save_pretrained(tmp_path / "model")
    bundle = made_up_bundle("toxicity", breaker(), gate=None, fingerprint=fingerprint_model(loaded.model))
    save_bundle(bundle.manifest, bundle.interventions, tmp_path / "toxicity")
    examples = [*calibration("toxicity", 1, 0), *calibration("facts", 1, 0)]
    config = TabulateConfig(bundle=tmp_path / "toxicity", model=tmp_path / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate_stage, "calibration_examples", lambda _config: examples)
        patch.setattr(gate_stage, "build_classifier", lambda _name, path: StubClassifier())
        yield config, tabulate_bundle(config)


def test_a_table_is_made_and_its_gate_goes_into_the_bundle(
    tmp_path: Path, tabulated: tuple[TabulateConfig, GateTable]
) -> None:
    config, table = tabulated
    assert (table.bundle, table.category, table.classifier, table.scorer) == (
        "toxicity",
        "toxicity",
        "stub:1",
        "demo",
    )
    assert table.harm.shape == (2, 17)
    assert table.benign.tolist() == [False, True]
    # A strong random breaker moves a tiny model.
    assert (table.change[:, -1] > 0).all()
    save_gate_table(table, tmp_path / "table.safetensors")
    gate = Gate(alpha_base=0.75, w=8.0, b=-3.0, p_off=0.2)
    put_gate(config.bundle, gate, table, tmp_path / "table.safetensors")
    changed = load_bundle(config.bundle)
    assert changed.gate == gate
    assert changed.manifest.gate.classifier == "stub:1"
    assert "gate" in changed.manifest.made_from
    # Made with these weights: other weights refuse the table.
    other = made_up_bundle("toxicity", breaker(seed=9), fingerprint=changed.manifest.base.fingerprint)
    save_bundle(other.manifest, other.interventions, tmp_path / "other")
    with pytest.raises(GateTableError, match="made with weights"):
        put_gate(tmp_path / "other", gate, table, tmp_path / "table.safetensors")


def test_what_does_not_fit_is_refused_before_anything_runs(
    tmp_path: Path, tabulated: tuple[TabulateConfig, GateTable]
) -> None:
    config, _ = tabulated
    stranger, _, mask = three_bundles()
    save_bundle(stranger.manifest, stranger.interventions, tmp_path / "stranger")
    save_bundle(mask.manifest, mask.interventions, tmp_path / "mask")
    with pytest.raises(BaseMismatchError):
        tabulate_bundle(TabulateConfig(bundle=tmp_path / "stranger", model=config.model))
    with pytest.raises(GateTableError, match="has no category 'misinformation'"):
        tabulate_bundle(TabulateConfig(bundle=tmp_path / "mask", model=config.model))

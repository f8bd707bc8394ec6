"""Start-up: what fits is served, and what does not is refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from serving.bundles import three_bundles
from serving.stubs import StubClassifier, StubEngine
from serving.tiny_server import tiny_chat_model

from breakers.bundles import Bundle, save_bundle
from breakers.errors import BaseMismatchError, BundleIntegrityError
from breakers.fingerprint import fingerprint_model
from server import composition, parts
from server.config import ServerConfig
from server.errors import ConfigError
from server.state import ServerParts, assemble


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny-chat"
    loaded = tiny_chat_model()
    loaded.model.save_pretrained(path)
    loaded.tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def stub_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "build_classifier", lambda _member, path: StubClassifier())


def saved(bundles: tuple[Bundle, ...], path: Path) -> list[Path]:
    for bundle in bundles:
        save_bundle(bundle.manifest, bundle.interventions, path / bundle.name)
    return [path / bundle.name for bundle in bundles]


def config(model: Path, bundles: list[Path], **changes: object) -> ServerConfig:
    return ServerConfig.model_validate({"model": str(model), "bundles": bundles, **changes})


@pytest.mark.usefixtures("stub_classifier")
def test_a_model_directory_with_its_bundles_is_composed(
    model_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = saved(three_bundles(fingerprint_model(tiny_chat_model().model)), tmp_path)
    with caplog.at_level("INFO"):
        state = composition.build_server(config(model_dir, paths))
    assert state.names.base == "tiny-chat"
    assert state.engine.info.bundles == ("toxicity", "gender_bias", "myth_mask")
    assert state.outputs is None
    logged = caplog.text
    assert all(word in logged for word in ("tiny-chat", "toxicity", "off unless asked", "classifier: stub:1"))


@pytest.mark.usefixtures("stub_classifier")
def test_a_bundle_of_another_model_is_refused_unless_accepted_by_name(
    model_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = saved(three_bundles()[:1], tmp_path)
    with pytest.raises(BaseMismatchError) as refused:
        composition.build_server(config(model_dir, paths))
    found = fingerprint_model(tiny_chat_model().model)
    assert found[:19] in str(refused.value)
    assert "sha256:000000000000" in str(refused.value)
    state = composition.build_server(config(model_dir, paths, accept_base_mismatch=["toxicity"]))
    assert list(state.deployments.current.bundles) == ["toxicity"]
    assert "accepted on request" in caplog.text
    with pytest.raises(ConfigError, match="accepted for other, but loaded bundles are: toxicity"):
        composition.build_server(config(model_dir, paths, accept_base_mismatch=["other"]))


@pytest.mark.usefixtures("stub_classifier")
def test_a_tampered_bundle_is_refused(model_dir: Path, tmp_path: Path) -> None:
    paths = saved(three_bundles()[:1], tmp_path)
    weights = paths[0] / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleIntegrityError):
        composition.build_server(config(model_dir, paths))


def test_two_bundles_of_one_name_are_refused(tmp_path: Path) -> None:
    first = saved(three_bundles()[:1], tmp_path / "a")
    second = saved(three_bundles()[:1], tmp_path / "b")
    with pytest.raises(ConfigError, match="both called 'toxicity'"):
        composition.load_bundles(first + second)


def test_a_gate_without_its_category_is_refused() -> None:
    parts = {"engine": StubEngine(), "bundles": three_bundles(), "served_name": "m"}
    with pytest.raises(
        ConfigError, match=r"gates of gender_bias read .* of gender_bias; the classifier stub:1 has tox"
    ):
        assemble(ServerParts(**parts, classifier=StubClassifier(categories=("toxicity",))))
    with pytest.raises(ConfigError, match="the classifier none has no categories"):
        assemble(ServerParts(**parts))


def test_an_engine_with_other_bundles_is_refused() -> None:
    with pytest.raises(ConfigError, match="the engine runs bundles"):
        assemble(
            ServerParts(engine=StubEngine(), bundles=three_bundles(), served_name="m", classifier=StubClassifier())
        )


def test_a_mask_alone_needs_no_classifier() -> None:
    mask = three_bundles()[2:]
    state = assemble(ServerParts(engine=StubEngine(bundles=("myth_mask",)), bundles=mask, served_name="m"))
    assert state.classifier is None


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.json"):
        composition.build_server(config(tmp_path, [], classifier={"member": "none"}))


def test_a_configuration_for_vllm_is_not_served_by_the_embedded_engine() -> None:
    with pytest.raises(ConfigError, match="vLLM runs the model of this configuration; wanted one for the embedded"):
        composition.build_server(ServerConfig.model_validate({"upstream": {"url": "http://h"}, "bundles": []}))

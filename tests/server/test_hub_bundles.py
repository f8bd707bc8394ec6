"""Serving bundles of the Hub: named in the configuration, pinned if that is required, and shown with their commit."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundle_files import save_good
from hub_stand_in import StandInHub

from breakers.errors import BundleSourceError
from server.api.breakers import BreakerCard
from server.composition import build_server, bundle_references, load_bundles
from server.config import load_config
from server.deploying import planned_bundle

NAME = "someone/calm"


@pytest.fixture
def sha(hub: StandInHub, tmp_path: Path) -> str:
    save_good(tmp_path / "calm")
    return hub.repository(NAME, {file.name: file.read_bytes() for file in (tmp_path / "calm").iterdir()})[1]


def test_a_configuration_names_directories_and_repositories(tmp_path: Path) -> None:
    file = tmp_path / "server.yaml"
    file.write_text(f"bundles: [bundles/a, 'hf://{NAME}@main']\n")
    config = load_config(file, {})
    assert bundle_references(config) == ["bundles/a", f"hf://{NAME}@main"]
    assert bundle_references(load_config(None, {"bundles": [Path("bundles/b")]})) == ["bundles/b"]


def test_a_card_says_which_commit_is_loaded(sha: str, tmp_path: Path) -> None:
    from_hub, local = load_bundles([f"hf://{NAME}@main"], pinned=False)[0], load_bundles([tmp_path / "calm"])[0]
    assert BreakerCard.of(from_hub, planned_bundle(from_hub)).source == f"hf://{NAME}@{sha}"
    assert BreakerCard.of(local, planned_bundle(local)).source is None


def test_required_pins_are_checked_before_anything_is_asked(hub: StandInHub, sha: str, tmp_path: Path) -> None:
    pinned = [f"hf://{NAME}@{sha}", tmp_path / "calm"]
    with pytest.raises(BundleSourceError, match="pinned bundles are required, and it has no revision"):
        load_bundles([*pinned, f"hf://{NAME}"], pinned=True)
    assert not hub.requests
    assert load_bundles(pinned[:1], pinned=True)[0].commit == sha


def test_the_setting_reaches_the_bundles(hub: StandInHub, sha: str) -> None:
    flags = {"model": "nowhere", "bundles": [f"hf://{NAME}@main"], "classifier": {"member": "none"}}
    with pytest.raises(BundleSourceError, match="the revision 'main'; wanted"):
        build_server(load_config(None, flags | {"require_pinned_bundles": True}))
    assert not hub.requests

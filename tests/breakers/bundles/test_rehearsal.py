"""A rehearsal's bundle verifies, says what it is, and is refused for use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundle_files import interventions, manifest_of

from breakers.bundles import load_bundle, open_bundle, save_bundle
from breakers.bundles.card import card_text
from breakers.bundles.hub_push import push_bundle
from breakers.bundles.reference import HubReference
from breakers.errors import RehearsalError


@pytest.mark.parametrize("rehearsal", [False, True])
def test_the_manifest_says_so_only_where_it_is(rehearsal: bool, tmp_path: Path) -> None:
    manifest = manifest_of(interventions(), rehearsal=rehearsal)
    saved = save_bundle(manifest, interventions(), tmp_path, card=card_text(manifest))
    assert saved.manifest.rehearsal is rehearsal
    assert json.loads((tmp_path / "bundle.json").read_text()).get("rehearsal") == (True if rehearsal else None)
    assert ("not fit to serve" in (tmp_path / "card.md").read_text()) is rehearsal


def test_it_is_looked_at_and_not_used(tmp_path: Path) -> None:
    save_bundle(manifest_of(interventions(), rehearsal=True), interventions(), tmp_path)
    assert open_bundle(tmp_path, accept_rehearsal=True).manifest == load_bundle(tmp_path).manifest
    with pytest.raises(RehearsalError, match="bundle 'calm' is a rehearsal's and not fit for use"):
        open_bundle(tmp_path)
    with pytest.raises(RehearsalError):
        push_bundle(tmp_path, HubReference(repository="owner/calm"))

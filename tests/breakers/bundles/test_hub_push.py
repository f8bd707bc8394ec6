"""Putting bundles on the Hub: what arrives is what was verified, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundle_files import save_good
from hub_stand_in import StandInHub

from breakers.bundles import open_bundle
from breakers.bundles.hub_push import push_bundle
from breakers.bundles.reference import parse_hub_reference
from breakers.errors import BundleError, BundleFormatError, BundleSourceError

NAME = "someone/calm"
TARGET = parse_hub_reference(f"hf://{NAME}")

# The client's own upload warns of the HTTP library that it uses.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "calm"
    save_good(path)
    return path


def test_what_is_pushed_loads_and_stays_pinned(hub: StandInHub, bundle: Path) -> None:
    (bundle / "dose.png").write_bytes(b"png")
    (bundle / "README.md").write_text("only here")
    (bundle / ".draft").write_text("only here")
    first = push_bundle(bundle, TARGET)
    assert first.name == "calm"
    assert first.reference.pinned
    kept = hub.repositories[NAME].commits[str(first.reference.revision)]
    assert set(kept) == {".gitattributes", "bundle.json", "weights.safetensors", "card.md", "dose.png"}
    assert all(kept[name] == (bundle / name).read_bytes() for name in first.files)
    assert open_bundle(str(first.reference)).manifest == open_bundle(bundle).manifest

    save_good(bundle, dose_p95=0.75)
    second = push_bundle(bundle, TARGET)
    assert open_bundle(f"hf://{NAME}").commit == second.reference.revision
    assert open_bundle(f"hf://{NAME}").manifest.dose_p95 == 0.75
    assert open_bundle(str(first.reference)).manifest.dose_p95 == 0.25


def test_files_of_an_earlier_bundle_go(hub: StandInHub, bundle: Path) -> None:
    push_bundle(bundle, TARGET)
    (bundle / "card.md").unlink()
    done = push_bundle(bundle, TARGET)
    kept = hub.repositories[NAME].commits[str(done.reference.revision)]
    assert set(kept) == {".gitattributes", "bundle.json", "weights.safetensors"}


def test_a_branch_and_a_private_repository(hub: StandInHub, bundle: Path) -> None:
    done = push_bundle(bundle, parse_hub_reference(f"hf://{NAME}@next"), private=True)
    repository = hub.repositories[NAME]
    assert repository.private
    assert repository.branches["next"] == done.reference.revision
    assert "bundle.json" not in repository.commits[repository.branches["main"]]
    again = push_bundle(bundle, parse_hub_reference(f"hf://{NAME}@next"), private=True)
    assert open_bundle(f"hf://{NAME}@next").commit == again.reference.revision


def test_what_does_not_verify_is_not_pushed(hub: StandInHub, bundle: Path) -> None:
    (bundle / "model.pt").write_bytes(b"")
    with pytest.raises(BundleFormatError, match="may be a pickle"):
        push_bundle(bundle, TARGET)
    (bundle / "model.pt").unlink()
    (bundle / "weights.safetensors").write_bytes(b"")
    with pytest.raises(BundleError, match="the manifest says"):
        push_bundle(bundle, TARGET)
    assert not hub.requests


def test_what_the_hub_does_not_take_is_said(hub: StandInHub, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleSourceError, match="names a commit; wanted a branch"):
        push_bundle(bundle, parse_hub_reference(f"hf://{NAME}@{'0' * 40}"))
    repository, _ = hub.repository(NAME, {})
    with pytest.raises(BundleSourceError, match="the repository is public; wanted a private one"):
        push_bundle(bundle, TARGET, private=True)
    repository.commit({"pytorch_model.bin": b""})
    with pytest.raises(BundleFormatError, match=f"hf://{NAME}@main: holds 'pytorch_model.bin'"):
        push_bundle(bundle, TARGET)
    repository.commit({"pytorch_model.bin": None})
    hub.before_commit = lambda found: found.commit({"README.md": b"someone was faster"})
    with pytest.raises(BundleSourceError, match="answered 412"):
        push_bundle(bundle, TARGET)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(BundleSourceError, match="answered 401; wanted an HF_TOKEN that allows it"):
        push_bundle(bundle, TARGET)
    assert "bundle.json" not in repository.commits[repository.branches["main"]]

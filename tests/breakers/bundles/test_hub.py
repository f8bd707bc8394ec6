"""Loading from the Hub, by the real client over real sockets from a stand-in: what is had, and what is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle_files import save_good
from hub_stand_in import Repository, StandInHub
from huggingface_hub import constants

from breakers.bundles import open_bundle
from breakers.bundles.limits import ENTRY_LIMIT, MANIFEST_LIMIT, WEIGHTS_LIMIT
from breakers.bundles.reference import HubReference, parse_reference, require_commit
from breakers.errors import BundleError, BundleIntegrityError, BundleSourceError

NAME = "someone/calm"


def files_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    save_good(tmp_path / "calm")
    return files_of(tmp_path / "calm")


@pytest.fixture
def published(hub: StandInHub, files: dict[str, bytes]) -> tuple[Repository, str]:
    return hub.repository(NAME, files)


def downloads(hub: StandInHub) -> list[str]:
    return [request for request in hub.requests if "/resolve/" in request or "/lfs/" in request]


def test_a_bundle_of_the_hub_is_the_bundle(
    hub: StandInHub, published: tuple[Repository, str], tmp_path: Path
) -> None:
    _, sha = published
    bundle, local = open_bundle(f"hf://{NAME}"), open_bundle(tmp_path / "calm")
    assert bundle.manifest == local.manifest
    assert torch.equal(bundle.interventions[1].vector, local.interventions[1].vector)
    assert (bundle.commit, bundle.source) == (sha, f"hf://{NAME}@{sha}")
    assert local.commit is None
    assert not any("card.md" in request for request in hub.requests)


def test_branch_tag_and_commit_mean_what_they_meant(hub: StandInHub, tmp_path: Path, files: dict[str, bytes]) -> None:
    repository, first = hub.repository(NAME, files)
    repository.tags["v1"] = first
    save_good(tmp_path / "other", dose_p95=0.75)
    second = repository.commit(dict(files_of(tmp_path / "other")))
    for revision, wanted, dose in (("v1", first, 0.25), (first, first, 0.25), ("main", second, 0.75)):
        bundle = open_bundle(f"hf://{NAME}@{revision}")
        assert (bundle.commit, bundle.manifest.dose_p95) == (wanted, dose)


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ({"../x": 1}, r"holds '\.\./x', which leaves its directory"),
        ({"/etc/passwd": 1}, "holds '/etc/passwd', which leaves"),
        ({"figures\\x.png": 1}, "which leaves its directory"),
        ({"a/../../x.png": 1}, "which leaves its directory"),
        ({"figures/x.png": 1}, "holds 'figures/x.png', which is no file of a bundle"),
        ({"pytorch_model.bin": 1}, "holds 'pytorch_model.bin', which may be a pickle"),
        ({".git/x.pkl": 1}, "which may be a pickle"),
        ({"modeling.py": 1}, "holds 'modeling.py', which is no file of a bundle"),
        ({f"{n}.png": 1 for n in range(ENTRY_LIMIT)}, f"holds more than {ENTRY_LIMIT} files"),
        (
            {"weights.safetensors": WEIGHTS_LIMIT + 1},
            rf"weights\.safetensors: {WEIGHTS_LIMIT + 1} bytes; wanted at most",
        ),
        ({"bundle.json": MANIFEST_LIMIT + 1}, r"bundle\.json: 4194305 bytes; wanted at most 4194304"),
        ({"bundle.json": None}, r"bundle\.json: has no size; wanted the Hub to state one"),
    ],
)
def test_hostile_listings_are_refused_before_anything_is_downloaded(
    hub: StandInHub, published: tuple[Repository, str], listed: dict[str, Any], message: str
) -> None:
    repository, sha = published
    repository.listing_lies = listed
    with pytest.raises(BundleError, match=message) as refused:
        open_bundle(f"hf://{NAME}")
    assert f"hf://{NAME}@{sha}" in str(refused.value)
    assert not downloads(hub)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bundle.json": None}, "holds no bundle.json; wanted bundle.json and weights.safetensors"),
        ({"weights.safetensors": None}, "holds no weights.safetensors"),
        # What git keeps of a symbolic link: the path that it leads to.
        ({"bundle.json": b"../other/bundle.json"}, r"/bundle\.json: is not JSON"),
        (
            {"weights.safetensors": b"version https://git-lfs"},
            r"/weights\.safetensors: is sha256:.*; the manifest says",
        ),
    ],
)
def test_what_is_on_the_hub_is_verified_like_a_directory(
    published: tuple[Repository, str], changes: dict[str, bytes | None], message: str
) -> None:
    published[0].commit(changes)
    with pytest.raises(BundleError, match=f"hf://{NAME}@.*{message}"):
        open_bundle(f"hf://{NAME}")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("hf://someone/nothing", "there is no such repository at http://127"),
        ("hf://someone/calm@v9", "the repository has no revision 'v9'; wanted a branch, a tag or a commit"),
        ("hf://someone/calm@" + "0" * 40, "the repository has no revision '0000"),
    ],
)
@pytest.mark.usefixtures("published")
def test_what_the_hub_does_not_have_is_said(reference: str, message: str) -> None:
    with pytest.raises(BundleSourceError, match=f"^{reference}: {message}"):
        open_bundle(reference)


def test_a_private_repository_needs_a_token(
    monkeypatch: pytest.MonkeyPatch, published: tuple[Repository, str]
) -> None:
    published[0].private = True
    assert open_bundle(f"hf://{NAME}").name == "calm"
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(BundleSourceError, match="or it is private; wanted one, or an HF_TOKEN that opens it"):
        open_bundle(f"hf://{NAME}")


def test_a_hub_that_names_another_commit_is_refused(published: tuple[Repository, str]) -> None:
    repository, sha = published
    repository.sha_lie = "f" * 40
    with pytest.raises(BundleSourceError, match=f"moved from {'f' * 40} to {sha} while it was read"):
        open_bundle(f"hf://{NAME}")


def test_what_is_no_hub_is_said(monkeypatch: pytest.MonkeyPatch, hub: StandInHub) -> None:
    # An object of the store answers, but it is no description of a repository.
    hub.objects["0" * 64] = b"[]"
    monkeypatch.setattr(constants, "ENDPOINT", f"{hub.url}/lfs/{'0' * 64}#")
    with pytest.raises(BundleSourceError, match=r"cannot be used .*; wanted the Hub's API there"):
        open_bundle(f"hf://{NAME}")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(BundleSourceError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        open_bundle(f"hf://{NAME}")


def test_offline_the_cache_alone_is_read(
    monkeypatch: pytest.MonkeyPatch, hub: StandInHub, published: tuple[Repository, str]
) -> None:
    _, sha = published
    open_bundle(f"hf://{NAME}")
    before = len(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert open_bundle(f"hf://{NAME}").commit == sha
    assert open_bundle(f"hf://{NAME}@{sha}").commit == sha
    with pytest.raises(
        BundleSourceError, match="is not in the cache, and HF_HUB_OFFLINE is set; wanted a bundle that"
    ):
        open_bundle("hf://someone/other")
    assert len(hub.requests) == before


def test_links_of_the_cache_are_followed_inside_it_only(
    hub: StandInHub, published: tuple[Repository, str], tmp_path: Path
) -> None:
    _, sha = published
    open_bundle(f"hf://{NAME}")
    cache = tmp_path / "cache"
    pointer = cache / "models--someone--calm" / "snapshots" / sha / "weights.safetensors"
    blob = Path(os.path.realpath(pointer))
    assert pointer.is_symlink()
    # The store that repositories share: a blob is then a link to it.
    (cache / "blobs" / "ab").mkdir(parents=True)
    shutil.move(blob, cache / "blobs" / "ab" / blob.name)
    blob.symlink_to(cache / "blobs" / "ab" / blob.name)
    assert open_bundle(f"hf://{NAME}@{sha}").name == "calm"
    blob.unlink()
    blob.symlink_to(tmp_path / "calm" / "weights.safetensors")
    with pytest.raises(BundleError, match=rf"{sha}/weights\.safetensors: is a symbolic link out of the Hub's cache"):
        open_bundle(f"hf://{NAME}@{sha}")


def test_bytes_changed_in_the_cache_are_refused(published: tuple[Repository, str], tmp_path: Path) -> None:
    sha = published[1]
    open_bundle(f"hf://{NAME}")
    pointer = tmp_path / "cache" / "models--someone--calm" / "snapshots" / sha / "weights.safetensors"
    pointer.write_bytes(pointer.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleIntegrityError, match="the manifest says sha256:"):
        open_bundle(f"hf://{NAME}@{sha}")


@pytest.mark.parametrize(
    "reference",
    [
        "hf://calm",
        "hf://a/b/c",
        "hf://../b",
        "hf://a/..",
        "hf://a/b@",
        "hf://a/b@../../main",
        "hf://a/b@x@y",
        "hf://a/b@main/",
        "hf://a/b.git",
        "hf://a--b/c",
        "hf://a/b\n",
        "hf:/a/b",
        "https://example.org/a/b",
        "file:///a",
        "a\0b",
        "",
    ],
)
def test_references_that_are_none_are_refused(reference: str) -> None:
    with pytest.raises(BundleSourceError, match=r"wanted .*hf://owner/name\[@revision\]"):
        parse_reference(reference)


def test_references() -> None:
    assert parse_reference("bundles/calm") == Path("bundles/calm")
    assert parse_reference("hf://a/b") == HubReference(repository="a/b")
    pull = parse_reference("hf://a/b@refs/pr/1")
    assert pull == HubReference(repository="a/b", revision="refs/pr/1")
    assert str(pull) == "hf://a/b@refs/pr/1"


@pytest.mark.parametrize(
    ("reference", "found"),
    [("hf://a/b", "no revision"), ("hf://a/b@main", "the revision 'main'"), ("hf://a/b@0123abc", "'0123abc'")],
)
def test_a_pin_is_a_whole_commit(reference: str, found: str) -> None:
    with pytest.raises(
        BundleSourceError, match=rf"pinned bundles are required, and it has .*{found}.*hf://a/b@ and a c"
    ):
        require_commit(parse_reference(reference))
    require_commit(parse_reference(f"hf://a/b@{'0a' * 20}"))
    require_commit(Path("bundles/calm"))

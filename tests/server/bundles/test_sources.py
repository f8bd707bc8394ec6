"""An admin key loads bundles from where the operator said, and from nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.bundles.sources import REFUSED, BundleSources
from server.errors import InvalidRequestError

COMMIT = "a" * 40


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for made in ("one/good", "two/other", "outside/secret", "one-more/x"):
        (tmp_path / made).mkdir(parents=True)
    (tmp_path / "one/file").write_text("no directory")
    (tmp_path / "one/link").symlink_to(tmp_path / "outside/secret")
    (tmp_path / "one/inner").symlink_to(tmp_path / "one/good")
    (tmp_path / "one/loop").symlink_to(tmp_path / "one/loop")
    return tmp_path


def test_directories_below_a_root(tree: Path) -> None:
    sources = BundleSources(roots=(tree / "one", tree / "two"))
    assert sources.admit("good") == sources.admit(str(tree / "one/good")) == str(tree / "one/good")
    assert sources.admit("inner") == str(tree / "one/good"), "a link that stays below is its target"
    assert sources.admit("other") == str(tree / "two/other")
    assert sources.admit("../two/other") == str(tree / "two/other"), "another root's"


@pytest.mark.parametrize(
    "source",
    [
        *("../outside/secret", "link", "loop", "file", "missing", ".", "good/../..", "x" * 5000, "../one-more/x"),
        *("/", "/etc", "/proc/self", "~", "good/../../outside/secret", "{tree}/outside/secret", "{tree}/one"),
    ],
)
def test_everything_else_is_refused_with_one_sentence(tree: Path, source: str) -> None:
    sources = BundleSources(roots=(tree / "one", tree / "two"))
    with pytest.raises(InvalidRequestError) as refused:
        sources.admit(source.replace("{tree}", str(tree)))
    assert str(refused.value) == REFUSED, "whether it exists is not told"
    assert (refused.value.param, refused.value.code) == ("source", "source_not_allowed")


@pytest.mark.parametrize("source", ["file:///etc", "http://host/x", "a\0b", "hf://x", "hf://a/b@../c", ""])
def test_what_is_no_reference_is_refused(tree: Path, source: str) -> None:
    with pytest.raises(InvalidRequestError, match="wanted") as refused:
        BundleSources(roots=(tree / "one",)).admit(source)
    assert refused.value.param == "source"


def test_without_roots_no_directory_can_be_named(tree: Path) -> None:
    with pytest.raises(InvalidRequestError, match="bundle_roots"):
        BundleSources().admit(str(tree / "one/good"))


def test_the_hub_and_its_pins() -> None:
    assert BundleSources().admit("hf://a/b") == "hf://a/b"
    pinned = BundleSources(pinned=True)
    assert pinned.admit(f"hf://a/b@{COMMIT}") == f"hf://a/b@{COMMIT}"
    for loose in ("hf://a/b", "hf://a/b@main"):
        with pytest.raises(InvalidRequestError, match="pinned bundles are required"):
            pinned.admit(loose)

"""The refusal matrix: every attack on a bundle is one clear sentence of ours, and nothing is loaded."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from bundle_attacks import ATTACKS
from bundle_files import edit, save_good

from breakers.bundles import limits, load_bundle, save_bundle
from breakers.bundles.files import check_names, read_file
from breakers.bundles.store import describe_interventions
from breakers.errors import BundleError, BundleFormatError
from breakers.interventions import SteeringVector
from breakers.sites import Component, Site

DOCS = Path(__file__).parents[3] / "docs" / "bundles.md"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "calm"
    save_good(path)
    return path


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_refused(good: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "calm"
    shutil.copytree(good, path)
    assert load_bundle(path).name == "calm"
    attack = ATTACKS[name]
    attack.damage(path)
    with pytest.raises(BundleError, match=attack.message) as refused:
        load_bundle(path)
    said = str(refused.value)
    assert str(path) in said
    assert "\n" not in said
    assert said.isprintable()
    assert len(said) < 1200


def test_every_group_of_attacks_is_documented() -> None:
    table = DOCS.read_text().partition("## What is refused")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z ]+)` \|", table, re.MULTILINE)) == {
        attack.group for attack in ATTACKS.values()
    }


def test_every_limit_is_documented() -> None:
    table = DOCS.read_text().partition("## Limits")[2].partition("\n## ")[0]
    constants = {value for name, value in vars(limits).items() if name.endswith("_LIMIT") and name != "PROBLEM_LIMIT"}
    assert {int(number) for number in re.findall(r"\| (\d+)", table)} == constants


def test_what_is_allowed_beside_a_bundle(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "calm"
    shutil.copytree(good, path)
    for name in ("README.md", "LICENSE", ".gitattributes", "dose.png", "dose.svg"):
        (path / name).write_text("x")
    (path / ".git").mkdir()
    assert load_bundle(path).name == "calm"


def test_a_link_to_a_bundle_directory_is_followed(good: Path, tmp_path: Path) -> None:
    # The operator names it; only what is inside comes from elsewhere.
    (tmp_path / "current").symlink_to(good)
    assert load_bundle(tmp_path / "current").name == "calm"


def test_an_unreadable_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BundleFormatError, match=r"cannot be read: .*; wanted a readable file"):
        read_file(tmp_path / ("x" * 5000), 10)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../b", "figures/../../x", "a\\b", "a\0b", "", "a/b.png"])
def test_listed_names_that_leave_their_directory_are_refused(name: str) -> None:
    with pytest.raises(BundleFormatError, match=re.escape(repr(name))):
        check_names([name], "hf://someone/calm")


def test_a_limit_is_inclusive(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert read_file(tmp_path / "x", 5) == b"12345"
    with pytest.raises(BundleFormatError, match="5 bytes; wanted at most 4"):
        read_file(tmp_path / "x", 4)


def test_what_does_not_verify_is_not_written(good: Path, tmp_path: Path) -> None:
    bundle = load_bundle(good)
    nan = bundle.manifest.model_copy(update={"dose_p95": float("nan")})
    with pytest.raises(BundleFormatError, match="holds NaN"):
        save_bundle(nan, bundle.interventions, tmp_path / "new")
    half = bundle.manifest.model_copy(update={"description": "\ud800"})
    with pytest.raises(BundleFormatError, match="not UTF-8"):
        save_bundle(half, bundle.interventions, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_two_kinds_at_one_site_and_neighbours_are_allowed(good: Path, tmp_path: Path) -> None:
    bundle = load_bundle(good)
    head = bundle.interventions[0].site
    more = SteeringVector(site=head, vector=bundle.interventions[0].up[:, 0])
    other = SteeringVector(site=Site(layer=1, component=Component.HEAD, head=3), vector=more.vector)
    acting = (*bundle.interventions, more, other)
    assert len(describe_interventions(acting)[0]) == 5
    assert len(save_bundle(bundle.manifest, acting, tmp_path / "calm").interventions) == 5


def test_a_message_lists_the_first_problems_and_counts_the_rest(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "calm"
    shutil.copytree(good, path)
    edit(path, lambda m: m.update({f"extra{n}": n for n in range(20)}))
    with pytest.raises(BundleFormatError, match=r"extra4: [^;]*; and 15 more$"):
        load_bundle(path)

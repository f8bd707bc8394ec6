"""What a recipe names is looked up before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from breakers.errors import PairsError
from classifiers.errors import UnknownMemberError
from server.errors import ConfigError
from server.recipes.checks import check_names
from server.recipes.file import Recipe
from server.recipes.places import digests_at, placed

LEAST = {"format": 1, "name": "x", "behaviour": "toxicity", "licence": "Apache-2.0"}


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate(LEAST | changes)


def test_the_demo_recipe_names_what_is_there() -> None:
    check_names(recipe())
    check_names(recipe(gate=None))


@pytest.mark.parametrize(
    ("changes", "error", "wanted"),
    [
        ({"scorer": "clowns"}, UnknownMemberError, "scorer 'clowns' is not known; known: demo"),
        ({"pairs": {"source": "clowns"}}, PairsError, "source 'clowns' is not known"),
        ({"behaviour": "rudeness"}, PairsError, "source demo has nothing on 'rudeness'"),
        (
            {"behaviour": "harmful_request", "pairs": {"source": "advbench"}},
            ConfigError,
            "scorer demo does not judge 'harmful_request'; wanted one of toxicity",
        ),
        ({"gate": {"classifier": "clowns"}}, UnknownMemberError, "clowns"),
        (
            {"behaviour": "gender_bias", "pairs": {"source": "crows_pairs"}},
            ConfigError,
            "licence is Apache-2.0, and pairs of crows_pairs are CC-BY-SA-4.0; wanted a licence with -SA",
        ),
    ],
)
def test_what_is_not_there_is_refused(changes: dict[str, object], error: type[Exception], wanted: str) -> None:
    with pytest.raises(error, match=wanted):
        check_names(recipe(**changes))


def test_a_share_alike_set_may_make_what_says_so() -> None:
    check_names(recipe(behaviour="gender_bias", licence="CC-BY-SA-4.0", pairs={"source": "crows_pairs"}))


def test_a_variable_may_begin_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SCALPEL_DATA", str(tmp_path))
    assert placed("$SCALPEL_DATA/set/a.csv") == tmp_path / "set" / "a.csv"
    monkeypatch.delenv("SCALPEL_DATA")
    with pytest.raises(ConfigError, match=r"\$SCALPEL_DATA is not set; wanted the folder of the public data sets"):
        placed("$SCALPEL_DATA/set/a.csv")


def test_files_are_known_by_what_they_hold_and_their_place_below_the_folder(tmp_path: Path) -> None:
    for name in ("one/set/a.csv", "two/set/a.csv", "two/set/b/a.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x" if "b" not in name else "y")
    one, two = digests_at(str(tmp_path / "one" / "set")), digests_at(str(tmp_path / "two" / "set"))
    assert sorted(two) == ["set/a.csv", "set/b/a.csv"]
    assert one["set/a.csv"] == two["set/a.csv"] != two["set/b/a.csv"]
    assert digests_at(None) == {}
    with pytest.raises(ConfigError, match=r"nowhere.csv: cannot be read"):
        digests_at(str(tmp_path / "nowhere.csv"))

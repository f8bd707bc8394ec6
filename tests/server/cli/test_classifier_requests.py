"""`scalpel classifier` on labelled requests: a fitted member is measured on a file, shown and timed."""

import json
from pathlib import Path

import pytest
from labelled_requests import made_up_rows, made_up_table
from typer.testing import CliRunner

from classifiers.fitting.requests.stage import RequestFitConfig, fit_on_table
from classifiers.requests.reading import RequestsConfig
from server.cli import build_cli
from server.cli.classifier_report import figure_rows

# Each worker that runs some of these fits a member.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fitted")
    fit_on_table(
        made_up_table(), RequestFitConfig(out=out, data=RequestsConfig(root=None), members=("lexical-requests",))
    )
    return out / "lexical-requests"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(build_cli(), ["classifier", *arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.fixture
def file(tmp_path: Path) -> Path:
    lines = [
        {"text": row.text, "harmful": row.harmful, "hard": row.hard, "category": "violence" if row.harmful else None}
        for row in made_up_rows("elsewhere", 60, 1)
    ]
    found = tmp_path / "elsewhere.jsonl"
    found.write_text("\n".join(map(json.dumps, lines)))
    return found


def test_a_file_is_measured(fitted: Path, file: Path) -> None:
    [(name, figures)] = json.loads(run("eval", str(fitted), "--file", str(file), "--json")).items()
    assert name.startswith("lexical:")
    assert (figures["file.overall.rows"], figures["file.overall.positives"]) == (60, 30)
    assert figures["file.overall.hard"] == 6
    assert figures["file.overall.auroc"] > 0.9
    assert figures["file.overall.auroc.low"] <= figures["file.overall.auroc"]
    assert "file.sexual.auroc" not in figures
    shown = run("eval", str(fitted), "--file", str(file))
    assert name in shown
    assert "violence" in shown


def test_a_card_names_data_licences_and_figures(fitted: Path) -> None:
    page = run("card", str(fitted))
    assert page.startswith("# Classifier `lexical`")
    assert "| north set | Apache-2.0 | 48 |" in page
    assert "west set" not in page
    assert "scored by a fit without its family" in page
    assert "mean AUROC over 5 families" in page
    assert "| sets left out, together | overall |" in page


def test_calls_are_timed(fitted: Path, file: Path) -> None:
    [(_, figures)] = json.loads(run("bench", str(fitted), "--file", str(file), "--calls", "10")).items()
    assert set(figures) == {f"{batch}.{p}" for batch in (1, 8, 32) for p in ("p50", "p99")}
    assert 0 < figures["1.p50"] <= figures["1.p99"]
    assert figures["32.p50"] > figures["1.p50"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("eval", "--outcomes", "o.json"), "--outcomes goes with --on demo only"),
        (("eval", "--on", "demo", "--leave-out"), "--leave-out goes with --on requests only"),
        (("fit", "--on", "requests", "--out", "o", "--demo-rows", "3"), "--demo-rows goes with --on demo only"),
        (("eval", "nowhere", "--file", "x"), "nowhere holds no classifier's card.json"),
        (("card", "nowhere"), "nowhere holds no classifier's card.json"),
        (("score", "x", "--path", "y"), "cannot be read"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(Exception, match=message):
        run(*arguments)


def test_rows_of_figures_keep_families_apart_from_categories() -> None:
    figures = {
        "lodo.family.east.positives": 3.0,
        "lodo.family.east.auroc": 0.75,
        "heldout.hate.positives": 1234.0,
        "heldout.hate.auroc": 0.5,
        "heldout.hate.auroc.low": 0.25,
        "heldout.hate.auroc.high": 1.0,
    }
    first, second = figure_rows(figures)
    assert first[:3] == ["a family left out", "east", "-"]
    assert first[5] == "0.750"
    assert [*second[:2], second[3], second[5]] == [
        "held-out prompts of known sets",
        "hate",
        "1,234",
        "0.500 [0.250, 1.000]",
    ]

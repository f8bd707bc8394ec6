"""Tables in the documents are those of the committed result files and cards."""

import pytest

from benchmarks.errors import TargetsError
from benchmarks.history import root
from benchmarks.results import ResultFile
from benchmarks.tables import DOCUMENTS, TABLES, load, render


def made_up(name: str) -> ResultFile:
    figures = {"milliseconds.p50": 0.25, "milliseconds.p99": 0.5, "megabytes": 1.0}
    return ResultFile(
        command="python -m x",
        commit="abc",
        date="2026-01-01",
        machine={"cpu": "y"},
        versions={"numpy": "2"},
        contents={},
        figures=figures,
        targets={},
    )


def test_a_table_is_replaced_and_the_rest_stays() -> None:
    text = "a\n<!-- table: classifier_lexical.speed -->\nold\n<!-- end of table -->\nb\n"
    rendered = render(text, made_up)
    assert rendered.startswith("a\n<!-- table: classifier_lexical.speed -->\n| lexical | measured |\n")
    assert "| 99th percentile | 0.50 ms |" in rendered
    assert rendered.endswith("<!-- end of table -->\nb\n")
    assert render(rendered, made_up) == rendered
    with pytest.raises(TargetsError, match="no table is called 'magic'"):
        render("<!-- table: magic -->\n<!-- end of table -->", made_up)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_show_the_committed_figures(name: str) -> None:
    text = (root() / name).read_text(encoding="utf-8")
    assert render(text, load) == text
    assert "<!-- table:" in text


def test_every_table_stands_in_a_document() -> None:
    texts = "".join((root() / name).read_text(encoding="utf-8") for name in DOCUMENTS)
    assert [name for name in TABLES if f"<!-- table: {name} -->" not in texts] == []

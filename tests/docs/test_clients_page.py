"""docs/clients.md: its snippets run in order, each client in its environment, and print what the page shows."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving.clients import NODE_FOLDER, node_command, output_of, python_command

from benchmarks.served import served

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000/v1"
MARK = "=== end of a snippet ==="
CLIENTS = ("Python: openai", "npm: openai", "langchain-openai", "litellm")
"""Its sections with snippets; each stands alone."""


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with served() as url:
        yield url


def test_every_snippet_is_followed_by_what_it_prints() -> None:
    found = re.findall(r"^```(\w+)$", PAGE, re.MULTILINE)
    assert found
    assert set(found[::2]) <= {"python", "javascript"}
    assert found[1::2] == ["text"] * (len(found) // 2)


def test_every_snippet_of_a_client_is_in_a_section_that_is_run() -> None:
    run = "".join(section(title) for title in CLIENTS)
    assert run.count("```") == PAGE.count("```")


@pytest.mark.slow
@pytest.mark.parametrize("title", [title for title in CLIENTS if title != "npm: openai"])
def test_the_snippets_of_a_python_client_print_what_the_page_shows(title: str, base_url: str, tmp_path: Path) -> None:
    interpreter = [sys.executable] if title == "Python: openai" else python_command()
    check_python(section(title), interpreter, base_url, tmp_path)


@pytest.mark.slow
def test_the_snippet_of_the_npm_client_prints_what_the_page_shows(base_url: str) -> None:
    text = section("npm: openai")
    [snippet], [shown] = blocks("javascript", text), blocks("text", text)
    command = [*node_command(), "--input-type=module", "--eval", snippet.replace(ADDRESS, base_url)]
    assert output_of(command, NODE_FOLDER).strip() == shown.strip()


def check_python(text: str, interpreter: list[str], base_url: str, folder: Path) -> None:
    script = folder / "snippets.py"
    snippets = f"\nprint({MARK!r})\n".join(blocks("python", text))
    script.write_text(snippets.replace(ADDRESS, base_url), encoding="utf-8")
    printed = output_of([*interpreter, str(script)], folder).split(MARK)
    assert [part.strip() for part in printed] == [shown.strip() for shown in blocks("text", text)]

"""Pages whose snippets use a client: they run in order, each client in its environment, and print what is shown."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving.clients import NODE_FOLDER, node_command, output_of, python_command

from benchmarks.served import served

DOCS = Path(__file__).resolve().parents[2] / "docs"
ADDRESS = "http://127.0.0.1:8000/v1"
MARK = "=== end of a snippet ==="
CLIENTS = ("Python: openai", "npm: openai", "langchain-openai", "litellm")
"""Sections of docs/clients.md; each stands alone."""
PAGES = ("api-responses.md", "api-moderations.md")
"""Each is one program for the Python client."""


def section(title: str) -> str:
    return page("clients.md").partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.mark.parametrize("name", ["clients.md", *PAGES])
def test_every_snippet_is_followed_by_what_it_prints(name: str) -> None:
    found = re.findall(r"^```(\w+)$", page(name), re.MULTILINE)
    assert found
    assert set(found[::2]) <= {"python", "javascript"}
    assert found[1::2] == ["text"] * (len(found) // 2)


def test_every_snippet_of_a_client_is_in_a_section_that_is_run() -> None:
    run = "".join(section(title) for title in CLIENTS)
    assert run.count("```") == page("clients.md").count("```")


@pytest.mark.slow
@pytest.mark.parametrize("title", [title for title in CLIENTS if title != "npm: openai"])
def test_the_snippets_of_a_python_client_print_what_is_shown(title: str, base_url: str, tmp_path: Path) -> None:
    interpreter = [sys.executable] if title == "Python: openai" else python_command()
    check_python(section(title), interpreter, base_url, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_the_snippets_of_a_page_print_what_is_shown(name: str, base_url: str, tmp_path: Path) -> None:
    check_python(page(name), [sys.executable], base_url, tmp_path)


@pytest.mark.slow
def test_the_snippet_of_the_npm_client_prints_what_is_shown(base_url: str) -> None:
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

"""The tables of /v1/responses and /v1/moderations name every field of their bodies, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from server.api.moderations import answers as moderation_answers
from server.api.moderations import wire as moderation_wire
from server.api.moderations.answers import OPENAI_CATEGORIES
from server.api.responses import answers as response_answers
from server.api.responses import wire as response_wire
from server.metrics import HARMFUL

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = "".join((DOCS / name).read_text() for name in ("api-responses.md", "api-moderations.md"))
TABLES: dict[str, type[BaseModel]] = {
    "api.responses.request": response_wire.ResponseRequest,
    "api.responses.message": response_wire.InputMessage,
    "api.responses.part": response_wire.InputPart,
    "api.responses.text": response_wire.TextOptions,
    "api.responses.answer": response_answers.ResponseObject,
    "api.responses.output": response_answers.OutputMessage,
    "api.responses.output_text": response_answers.OutputText,
    "api.responses.usage": response_answers.ResponseUsage,
    "api.moderations.request": moderation_wire.ModerationRequest,
    "api.moderations.part": moderation_wire.ModerationPart,
    "api.moderations.answer": moderation_answers.ModerationResponse,
    "api.moderations.result": moderation_answers.ModerationResult,
}


@pytest.mark.parametrize("name", list(TABLES))
def test_a_table_names_every_field(name: str) -> None:
    table = TEXT.partition(f"<!-- table: {name} -->")[2].partition("<!-- end of table -->")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(TABLES[name].model_fields)


def test_there_are_no_other_tables() -> None:
    assert set(re.findall(r"<!-- table: ([\w.]+) -->", TEXT)) == set(TABLES)


def test_the_facts_that_the_pages_state() -> None:
    assert HARMFUL == 0.5
    assert len(OPENAI_CATEGORIES) == 13
    assert f"{moderation_wire.TEXTS_LIMIT} strings" in TEXT
    assert all(f"`{name}`" in TEXT for name in moderation_wire.CURRENT)

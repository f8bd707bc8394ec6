"""The policy file's keys as a table: ``python -m server.policy.reference docs/policy.md`` writes it anew.

A test fails when the document and the code drift apart.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from server.policy.settings import KeySettings, PolicySettings, RateSettings, RolloutSettings, RuleSettings

BEGIN, END = "<!-- policy keys: begin -->", "<!-- policy keys: end -->"

_SECTIONS: dict[str, type[BaseModel]] = {
    "": PolicySettings,
    "`defaults`, `bundles.NAME`": RuleSettings,
    "`rollout`": RolloutSettings,
    "`rates`": RateSettings,
    "`keys.KEY`": KeySettings,
}


def rows() -> Iterator[str]:
    """The table's lines."""
    yield "| in | key | default | meaning |"
    yield "|---|---|---|---|"
    for section, model in _SECTIONS.items():
        for name, field in model.model_fields.items():
            yield f"| {section or 'the file'} | `{name}` | {_default(name, field)} | {_meaning(field)} |"


def rendered(text: str) -> str:
    """A document with the table between its marks replaced.

    Raises:
        ValueError: the marks are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"wanted the marks {BEGIN} and {END}")
    return "\n".join([f"{before}{begin}", *rows(), f"{end}{after}"])


def _default(name: str, field: FieldInfo) -> str:
    value = field.default
    if name == "version":
        return "required"
    if isinstance(value, BaseModel) or value == {}:
        return "nothing set"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value.value}`" if isinstance(value, Enum) else f"{value:g}"


def _meaning(field: FieldInfo) -> str:
    return (field.description or "").replace("\n", " ")


if __name__ == "__main__":
    document = Path(sys.argv[1])
    document.write_text(rendered(document.read_text(encoding="utf-8")), encoding="utf-8")

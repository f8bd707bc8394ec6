"""docs/server.md against the code: parameters, metrics, settings, codes, reasons."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel
from serving.live import stub_state

from breakers.plan import Reason
from server.api.chat.wire import ChatCompletionRequest
from server.config import ServerConfig
from server.metrics import ClassifierFailure, InputHarm, Outcome, Unscored

TEXT = (Path(__file__).parents[2] / "docs" / "server.md").read_text()


def section(title: str) -> str:
    return re.split(r"^#+ ", TEXT.partition(f"# {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(title: str) -> set[str]:
    cells = re.findall(r"^\| ([^|]+) \|", section(title), re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_parameter_is_documented_and_nothing_else() -> None:
    text = section("Parameters")
    refused = text.partition("Not served")[2]
    named = first_cells("Parameters") | set(re.findall(r"`(\w+)`", text.partition("Accepted because")[2]))
    assert set(ChatCompletionRequest.model_fields) == named - {"null", "name"}
    for name, field in ChatCompletionRequest.model_fields.items():
        marks = [type(mark).__name__ for mark in field.metadata]
        assert (f"`{name}`" in refused) == ("NeutralOnly" in marks), name


def test_every_metric_is_documented_with_its_labels() -> None:
    rows = re.findall(r"^\| `(scalpel_\w+)` \| (\w+) \|([^|]*)\|", section("Metrics"), re.MULTILINE)
    documented = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    exposed = {}
    for family in stub_state().metrics.registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {tuple(k for k in sample.labels if k != "le") for sample in family.samples}
        assert len(labels) == 1, family.name
        exposed[name] = (family.type, labels.pop())
    assert documented == exposed


def test_every_label_value_is_documented() -> None:
    text = section("Metrics")
    for value in [*Outcome, *ClassifierFailure, *InputHarm, *Unscored]:
        assert f"`{value}`" in text


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert first_cells("Configuration") == set(_keys(ServerConfig, ""))


def test_reasons_are_ones_that_exist() -> None:
    reasons = first_cells("The report")
    assert reasons <= set(Reason)
    assert {"gate", "request", "profile", "classifier_failed", "off"} <= reasons


def _keys(section_type: type[BaseModel], prefix: str) -> list[str]:
    keys: list[str] = []
    for name, field in section_type.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys += _keys(inner, f"{name}.")
        else:
            keys.append(prefix + name)
    return keys

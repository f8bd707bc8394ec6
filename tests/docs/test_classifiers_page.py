"""docs/classifiers.md: every member is described, and every configuration that is shown is one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from classifiers import CLASSIFIER_MEMBERS
from classifiers.cascade import CascadeCard
from classifiers.remote import ChatConfig, ModerationsConfig
from classifiers.sequence import AnswersConfig, LabelsConfig

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "classifiers.md").read_text(encoding="utf-8")
MEMBERS = PAGE.partition("\n## Members\n")[2].partition("\n## ")[0]
CONFIGS = {"labels": LabelsConfig, "answers": AnswersConfig, "moderations": ModerationsConfig, "chat": ChatConfig}


def test_every_member_is_described() -> None:
    named = re.findall(r"`([\w-]+)`", " ".join(re.findall(r"^\| (`[^|]+) \|", MEMBERS, re.MULTILINE)))
    assert set(named) == set(CLASSIFIER_MEMBERS)
    intro = PAGE.partition("\n## ")[0]
    assert all(f"`{member}`" in intro for member in CLASSIFIER_MEMBERS)


@pytest.mark.parametrize("shown", re.findall(r"```yaml\n(.*?)```", MEMBERS, re.DOTALL))
def test_a_configuration_that_is_shown_is_one(shown: str) -> None:
    config = yaml.safe_load(shown)
    assert CONFIGS[config["kind"]].model_validate(config).categories


def test_every_kind_is_shown() -> None:
    assert set(re.findall(r"^kind: (\w+)", MEMBERS, re.MULTILINE)) == set(CONFIGS)


def test_the_card_that_is_shown_is_one() -> None:
    [shown] = re.findall(r"```json\n(.*?)```", MEMBERS, re.DOTALL)
    assert CascadeCard.model_validate(json.loads(shown)).dear.member == "remote"

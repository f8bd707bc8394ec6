"""The classifiers that a gate could be fitted on beside its own: the general ones that ship and know the category."""

from __future__ import annotations

from functools import lru_cache

from benchmarks.classifier_rewrites.members import Remembering
from benchmarks.gates.subjects import Subject
from classifiers import build_classifier
from classifiers.base import HarmClassifier
from classifiers.shipped import shipped_members, shipped_path

OWN = "lexical"
"""The demo's, which its gates are fitted on."""


def members_for(subject: Subject) -> dict[str, HarmClassifier]:
    """Member -> classifier, the gate's own first. None of them is left out for being worse."""
    found = {name: _loaded(name) for name in (OWN, *shipped_members())}
    return {name: member for name, member in found.items() if subject.table.category in member.categories}


@lru_cache
def _loaded(name: str) -> HarmClassifier:
    # The behaviours' prompts are the same: each is scored once.
    return Remembering(build_classifier(name, path=None if name == OWN else shipped_path(name)))

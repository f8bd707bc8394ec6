"""What judges text: harm potential of prompts, harm scores of replies, and the fitting of the gate."""

from __future__ import annotations

from pathlib import Path

from classifiers.base import Conversation, HarmClassifier
from classifiers.errors import UnknownMemberError

CLASSIFIER_MEMBERS = ("lexical",)

__all__ = ["CLASSIFIER_MEMBERS", "Conversation", "HarmClassifier", "build_classifier"]


def build_classifier(name: str = "lexical", *, path: Path | None = None) -> HarmClassifier:
    """The member called `name`, imported only now.

    Args:
        name: one of `CLASSIFIER_MEMBERS`.
        path: directory of a fitted member; None for the one that ships with the package.

    Raises:
        UnknownMemberError: no member has this name.
        ArtifactError: the fitted files cannot be read or do not verify.
    """
    if name == "lexical":
        from classifiers.lexical import LexicalClassifier, shipped_path

        return LexicalClassifier.load(path or shipped_path())
    raise UnknownMemberError(f"classifier {name!r} is not known; known: {', '.join(CLASSIFIER_MEMBERS)}")

"""What judges text: harm potential of prompts, harm scores of replies, and the fitting of the gate."""

from __future__ import annotations

from pathlib import Path

from classifiers.base import Conversation, HarmClassifier
from classifiers.errors import ArtifactError, MemberConfigError, UnknownMemberError
from classifiers.shipped import is_shipped, shipped_members, shipped_path

CLASSIFIER_MEMBERS = ("lexical", "lexical-requests", "embedding", "ensemble", "cascade", "sequence", "remote")

__all__ = ["CLASSIFIER_MEMBERS", "Conversation", "HarmClassifier", "best_classifier", "build_classifier"]


def build_classifier(name: str = "lexical", *, path: Path | None = None) -> HarmClassifier:
    """The member called `name`, imported only now.

    Args:
        name: one of `CLASSIFIER_MEMBERS`. `lexical` is the demo's, calibrated on the demo model, and the server's
            default; `lexical-requests`, `embedding` and `ensemble` are the general ones of `classifiers.shipped`.
        path: directory of a fitted member, or of a configuration for `sequence` and `remote`; None for the one that
            ships with the package, where one does.

    Raises:
        UnknownMemberError: no member has this name.
        ArtifactError: the fitted files cannot be read or do not verify.
        MemberConfigError: the configuration cannot be read, or asks for what is not there; none ships.
    """
    if name == "lexical":
        from classifiers.lexical import LexicalClassifier
        from classifiers.lexical import shipped_path as shipped_lexical

        return LexicalClassifier.load(path or shipped_lexical())
    if name == "lexical-requests":
        from classifiers.lexical_requests import RequestsLexicalClassifier

        return RequestsLexicalClassifier.load(path or _shipped(name))
    if name == "embedding":
        from classifiers.embedding import EmbeddingClassifier

        return EmbeddingClassifier.load(path or _shipped(name))
    if name == "sequence":
        from classifiers.sequence import SequenceClassifier

        return SequenceClassifier.load(path)
    if name == "remote":
        from classifiers.remote import RemoteClassifier

        return RemoteClassifier.load(path)
    return _build_whole(name, path)


def best_classifier() -> HarmClassifier:
    """The best classifier that ships and can be loaded here.

    Without the encoder's package that is the general lexical one; the demo's is the last resort.
    """
    for member in shipped_members():
        try:
            return build_classifier(member, path=shipped_path(member))
        except ArtifactError:
            continue
    return build_classifier("lexical")


def _build_whole(name: str, path: Path | None) -> HarmClassifier:
    """A member that is made of others."""
    if name not in CLASSIFIER_MEMBERS:
        raise UnknownMemberError(f"classifier {name!r} is not known; known: {', '.join(CLASSIFIER_MEMBERS)}")
    if name == "ensemble":
        from classifiers.ensemble import EnsembleClassifier

        return EnsembleClassifier.load(path or _shipped(name), _build_part)
    if path is None:
        raise MemberConfigError(f"member {name!r} needs a card; name its directory as the path")
    from classifiers.cascade import CascadeClassifier

    return CascadeClassifier.load(path, _build_part)


def _shipped(name: str) -> Path:
    if not is_shipped(name):
        raise MemberConfigError(f"no fitted {name!r} ships; name the directory of one as the path")
    return shipped_path(name)


def _build_part(name: str, path: Path | None) -> HarmClassifier:
    return build_classifier(name, path=path)

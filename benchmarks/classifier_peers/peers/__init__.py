"""What one would install instead, each as a `HarmClassifier` of one category."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.classifier_peers.peers.base import Peer
from benchmarks.errors import BenchmarkError
from classifiers.base import HarmClassifier

PACKAGED = ("better_profanity", "vader")
"""Peers that are packages of the extra `peers`."""

__all__ = ["PACKAGED", "Peer", "build_peer", "build_peers"]


def build_peer(name: str) -> HarmClassifier:
    """The peer called `name`, imported only now.

    Raises:
        BenchmarkError: no peer has this name, or its package is not installed.
    """
    try:
        if name == "better_profanity":
            from benchmarks.classifier_peers.peers.profanity import ProfanityPeer

            return ProfanityPeer()
        if name == "vader":
            from benchmarks.classifier_peers.peers.vader import VaderPeer

            return VaderPeer()
    except ModuleNotFoundError as error:
        raise BenchmarkError(f"{error.name} is not installed; wanted the extra `peers`") from error
    raise BenchmarkError(f"peer {name!r} is not known; known: {', '.join(PACKAGED)}")


def build_peers(guard: Path | None) -> Mapping[str, HarmClassifier]:
    """All peers by name, and `guard` where a configuration of member `sequence` is given.

    Raises:
        BenchmarkError: a package is not installed.
        ClassifiersError: the guard model cannot be loaded.
    """
    peers: dict[str, HarmClassifier] = {name: build_peer(name) for name in PACKAGED}
    if guard is not None:
        from classifiers import build_classifier

        peers["guard"] = build_classifier("sequence", path=guard)
    return peers

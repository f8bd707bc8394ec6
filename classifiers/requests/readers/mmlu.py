"""MMLU: school and university questions; many of medicine, law, security and history are in dangerous words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.requests.readers.base import RequestSet
from classifiers.requests.readers.benign import harmless_rows
from classifiers.requests.record import RequestRow


def read(root: Path, known: RequestSet) -> Iterator[RequestRow]:
    """The questions, without their choices."""
    return harmless_rows(root, known)

"""Hashes of values and files, the same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

_CHUNK = 1 << 20


def digest_of(value: object) -> str:
    """sha256 of a JSON-able value, independent of the order of keys.

    Raises:
        TypeError, ValueError: it cannot be written as JSON, NaN included.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return f"sha256:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


def digest_of_file(path: Path) -> str:
    """sha256 of a file's bytes.

    Raises:
        OSError: it cannot be read.
    """
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return f"sha256:{found.hexdigest()}"


def digests_of_files(folder: Path) -> Mapping[str, str]:
    """Relative path -> sha256 of every file below a folder, in the order of their paths."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_of_file(path) for path in files}

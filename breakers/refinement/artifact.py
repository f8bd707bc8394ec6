"""A refinement on disk: `refined.json`, and beside it the search's log as JSON Lines.

`refined.json` names the hash of the log, so a directory that mixes two refinements is refused. Neither file has a
time in it: the same command on the same inputs writes the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from breakers.bundles.files import read_file
from breakers.bundles.limits import WEIGHTS_LIMIT
from breakers.bundles.manifest import describe
from breakers.bundles.strict_json import parse_object
from breakers.bundles.verify import sha256
from breakers.errors import BundleFormatError, TracingError
from breakers.refinement.manifest import FORMAT_VERSION, RefinedManifest
from breakers.refinement.measured import SearchStep
from breakers.tracing.artifact import write_together

REFINED_NAME = "refined.json"
LOG_NAME = "search.jsonl"
REFINED_LIMIT = 16 * 1024**2
"""Bytes of `refined.json`; a member takes some 600."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinement:
    """What was found, and every set that was measured for it."""

    manifest: RefinedManifest
    log: tuple[SearchStep, ...]


def log_bytes(log: Sequence[SearchStep]) -> bytes:
    """The log's file: a line for each measured set, in order."""
    return "".join(json.dumps(asdict(step)) + "\n" for step in log).encode()


def save_refinement(refinement: Refinement, path: Path) -> Refinement:
    """Write both files, and read them again, so that what was written is what reads.

    Both are written beside their places first, and moved there when both are on the disk.

    Args:
        refinement: its `search.log_sha256` is replaced.
        path: the directory, made if needed.

    Raises:
        TracingError: the files cannot be written.
    """
    log = log_bytes(refinement.log)
    search = refinement.manifest.search.model_copy(update={"log_sha256": sha256(log)})
    manifest = refinement.manifest.model_copy(update={"search": search})
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_together(path, {LOG_NAME: log, REFINED_NAME: text.encode()})
    except OSError as error:
        raise TracingError(f"{path}: cannot be written: {error.strerror}; wanted a directory with room") from error
    return load_refinement(path)


def load_refinement(path: Path) -> Refinement:
    """Read both files, and verify that they belong together.

    Raises:
        TracingError: a file is missing, is not what the format asks for, or belongs to another refinement.
    """
    manifest = read_refined(path / REFINED_NAME)
    data = _read(path / LOG_NAME, WEIGHTS_LIMIT)
    if sha256(data) != manifest.search.log_sha256:
        found = f"{LOG_NAME} is {sha256(data)[:19]}..., {REFINED_NAME} names {manifest.search.log_sha256[:19]}..."
        raise TracingError(f"{path}: {found}; wanted files of one refinement")
    try:
        log = TypeAdapter(SearchStep).validate_json
        return Refinement(manifest=manifest, log=tuple(log(line) for line in data.splitlines()))
    except ValidationError as error:
        raise TracingError(f"{path / LOG_NAME}: {describe(error)}") from error


def read_refined(path: Path) -> RefinedManifest:
    """Read and validate `refined.json` alone.

    Raises:
        TracingError: naming the file, the field, what was found and what was wanted.
    """
    try:
        document = parse_object(_read(path, REFINED_LIMIT), str(path))
    except BundleFormatError as error:
        raise TracingError(str(error)) from error
    version = document.get("format", FORMAT_VERSION)
    if type(version) is not int or version != FORMAT_VERSION:
        raise TracingError(f"{path}: format: found {repr(version)[:80]}; wanted {FORMAT_VERSION}")
    try:
        return RefinedManifest.model_validate(document)
    except ValidationError as error:
        raise TracingError(f"{path}: {describe(error)}") from error


def _read(path: Path, limit: int) -> bytes:
    if not path.is_file():
        raise TracingError(f"{path}: not there; wanted what `scalpel refine` wrote")
    try:
        return read_file(path, limit)
    except BundleFormatError as error:
        raise TracingError(str(error)) from error

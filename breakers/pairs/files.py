"""Files of pairs: JSON Lines, read as a stream and written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from breakers.errors import PairsError
from breakers.pairs.lines import canonical, parse_line, render_line
from breakers.pairs.record import PairRecord, Split, pair_key, prompt_key

LINE_LIMIT = 1 << 20
"""Bytes of a line; a pair is far shorter."""


def read_pairs(path: Path) -> Iterator[PairRecord]:
    """The pairs of a file, one after the other, each checked.

    Raises:
        PairsError: the file cannot be read, has no pair, or a line is not one (named with field and value).
    """
    empty = True
    for where, line in numbered_lines(path):
        empty = False
        yield parse_line(line, where)
    if empty:
        raise PairsError(f"{path}: has no pairs; wanted at least one")


def load_pairs(path: Path) -> list[PairRecord]:
    """All pairs of a file that a stage may be made from.

    Raises:
        PairsError: as for `read_pairs`; or a pair is there twice, or a prompt is in two splits.
    """
    records = list(read_pairs(path))
    check_unique(records, str(path))
    check_splits(records, str(path))
    return records


def check_unique(records: Iterable[PairRecord], where: str) -> None:
    """Refuse the same pair twice.

    Raises:
        PairsError: naming both places.
    """
    seen: dict[tuple[str, ...], int] = {}
    for number, record in enumerate(records, 1):
        key = (record.behaviour, *pair_key(record.messages, record.harmful, record.neutral))
        if key in seen:
            raise PairsError(f"{where}: pair {number} is pair {seen[key]} again; wanted each pair once")
        seen[key] = number


def check_splits(records: Iterable[PairRecord], where: str) -> None:
    """Refuse a prompt of one split that is a prompt, or a contrast prompt, of another.

    Raises:
        PairsError: naming the prompt and both splits.
    """
    records = list(records)
    owner: dict[str, Split] = {}
    for record in records:
        _check_owner(owner.setdefault(prompt_key(record.messages), record.split), record, "prompt", where)
    for record in records:
        if record.contrast_prompt is not None:
            split = owner.get(prompt_key(record.contrast_prompt), record.split)
            _check_owner(split, record, "contrast prompt", where)


def _check_owner(split: Split, record: PairRecord, what: str, where: str) -> None:
    if split is not record.split:
        messages = record.messages if what == "prompt" else record.contrast_prompt or ()
        text = messages[-1].content[:60]
        raise PairsError(f"{where}: the {what} {text!r} is in {split} and in {record.split}; wanted it in one split")


def write_pairs(path: Path, records: Iterable[PairRecord]) -> str:
    """Write a file; what was there stays until all of the new one is on the disk.

    Returns:
        The hash of its content, see `pairs_sha256`.

    Raises:
        PairsError: there are no pairs, or the file cannot be written.
    """
    records = list(records)
    if not records:
        raise PairsError(f"{path}: there are no pairs to write; wanted at least one")
    write_atomically(path, (f"{render_line(record)}\n".encode() for record in records))
    return pairs_sha256(records)


def pairs_sha256(records: Iterable[PairRecord]) -> str:
    """The hash of pairs, whatever their order: of the sorted hashes of each one's canonical JSON."""
    single = sorted(hashlib.sha256(canonical(record)).digest() for record in records)
    return f"sha256:{hashlib.sha256(b''.join(single)).hexdigest()}"


def write_atomically(path: Path, chunks: Iterable[bytes]) -> None:
    """Write beside the file, wait for the disk, then rename.

    Raises:
        PairsError: it cannot be written; nothing is left behind.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise PairsError(f"{path}: cannot be written: {error.strerror}; wanted a writable place") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def numbered_lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """The lines that are not blank, each with its name for messages.

    Raises:
        PairsError: the file cannot be read, or a line is longer than any pair.
    """
    try:
        with path.open("rb") as file:
            yield from _numbered(file, path)
    except OSError as error:
        raise PairsError(f"{path}: cannot be read: {error.strerror}; wanted a file of pairs") from error


def _numbered(file: BinaryIO, path: Path) -> Iterator[tuple[str, bytes]]:
    number = 0
    while line := file.readline(LINE_LIMIT + 1):
        number += 1
        if len(line) > LINE_LIMIT:
            raise PairsError(f"{path}, line {number}: is longer than {LINE_LIMIT} bytes; wanted one pair a line")
        if line.strip():
            yield f"{path}, line {number}", line

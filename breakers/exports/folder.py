"""Output folders that are complete or absent."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from breakers.errors import ExportError


def refuse_occupied(out: Path) -> None:
    """Refuse to write over anything.

    Raises:
        ExportError: something other than an empty folder is there.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ExportError(f"{out} is there and not a plain folder; wanted a new or empty folder")
    if out.is_dir() and any(out.iterdir()):
        raise ExportError(f"{out} is not empty; wanted a new or empty folder")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that becomes `out` when the block ends without an error.

    Raises:
        ExportError: something other than an empty folder is at `out`.
        OSError: it cannot be written.
    """
    refuse_occupied(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    # A sibling, because renaming does not cross file systems.
    building = out.parent / f".{out.name}.{secrets.token_hex(4)}"
    building.mkdir()
    try:
        yield building
        # Replaces an empty folder, and fails on one that was filled meanwhile.
        building.replace(out)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise

"""The files of a bundle: which there may be, and each read once, as bytes, within its limit.

What is verified is what was read: no file is opened twice, so none can change between a check and its use.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from breakers.bundles.limits import CARD_LIMIT, ENTRY_LIMIT, FIGURE_LIMIT, MANIFEST_LIMIT, WEIGHTS_LIMIT
from breakers.errors import BundleFormatError

MANIFEST_NAME = "bundle.json"
WEIGHTS_NAME = "weights.safetensors"
CARD_NAME = "card.md"
TEXT_NAMES = ("README.md", "LICENSE")
"""Allowed beside a bundle's own files; never read."""
FIGURE_SUFFIXES = (".png", ".svg")
PICKLED_SUFFIXES = frozenset({".bin", ".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"})
"""Formats that hold, or can hold, pickles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFiles:
    """A bundle's bytes, read but not yet believed."""

    source: str
    """Where they came from: a directory, or `hf://owner/name@commit`."""
    manifest: bytes
    weights: bytes
    commit: str | None = None
    """Of the Hub repository; None for a directory."""


def read_directory(path: Path) -> BundleFiles:
    """The two files that make a bundle, from a directory that holds nothing else of weight.

    Raises:
        BundleFormatError: a file is missing, is not a plain file, is too large, or does not belong to a bundle.
    """
    if path.is_dir():
        check_names(_entries(path), str(path))
    return BundleFiles(
        source=str(path),
        manifest=read_file(path / MANIFEST_NAME, limit_of(MANIFEST_NAME)),
        weights=read_file(path / WEIGHTS_NAME, limit_of(WEIGHTS_NAME)),
    )


def check_names(names: Iterable[str], where: str) -> None:
    """Refuse files that no bundle has.

    Names that begin with a dot (`.git`, `.gitattributes`) are not the bundle's: they are neither read nor refused,
    unless they are pickles.

    Raises:
        BundleFormatError: naming the first such file.
    """
    for count, name in enumerate(names, start=1):
        if count > ENTRY_LIMIT:
            raise BundleFormatError(f"{where}: holds more than {ENTRY_LIMIT} files; wanted at most that")
        _check_name(name, where)


def belongs(name: str) -> bool:
    """Whether a file is part of a bundle, so that it travels with it."""
    return name in (MANIFEST_NAME, WEIGHTS_NAME, CARD_NAME) or (
        PurePosixPath(name).suffix.lower() in FIGURE_SUFFIXES and not name.startswith(".")
    )


def limit_of(name: str) -> int:
    """Bytes that a file of a bundle may have."""
    if PurePosixPath(name).suffix.lower() in FIGURE_SUFFIXES:
        return FIGURE_LIMIT
    return {MANIFEST_NAME: MANIFEST_LIMIT, WEIGHTS_NAME: WEIGHTS_LIMIT}.get(name, CARD_LIMIT)


def read_file(path: Path, limit: int, shown: str | None = None) -> bytes:
    """All bytes of a plain file, after its size was checked.

    Args:
        path: not followed if it is a link.
        limit: bytes.
        shown: what to call it in messages; the path by default.

    Raises:
        BundleFormatError: it is missing, a link, a pipe, a device or a directory, or larger than `limit`.
    """
    name = str(path) if shown is None else shown
    try:
        _check_plain(path.lstat().st_mode, name)
        # A link or a pipe put there since is refused or found below, and never waited for.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            _check_plain(status.st_mode, name)
            check_size(status.st_size, limit, name)
            data = file.read(limit + 1 if status.st_size == limit else status.st_size + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        wanted = f"a bundle directory holds {MANIFEST_NAME} and {WEIGHTS_NAME}"
        raise BundleFormatError(f"{name}: not there; {wanted}") from error
    except OSError as error:
        raise BundleFormatError(f"{name}: cannot be read: {error.strerror}; wanted a readable file") from error
    if len(data) != status.st_size:
        raise BundleFormatError(f"{name}: its size changed from {status.st_size} bytes while it was read; try again")
    return data


def check_size(size: int, limit: int, name: str) -> None:
    """Refuse a file that is larger than its limit, before it is read.

    Raises:
        BundleFormatError: naming both sizes.
    """
    if size > limit:
        raise BundleFormatError(f"{name}: {size} bytes; wanted at most {limit}")


def _entries(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            # One more than allowed is enough to refuse; a hostile directory may have millions.
            found = [entry for entry, _ in zip(entries, range(ENTRY_LIMIT + 1), strict=False)]
            for entry in found:
                if not entry.name.startswith("."):
                    _check_plain(entry.stat(follow_symlinks=False).st_mode, f"{path}/{entry.name!r}")
            return [entry.name for entry in found]
    except OSError as error:
        raise BundleFormatError(f"{path}: cannot be listed: {error.strerror}; wanted a readable directory") from error


def _check_name(name: str, where: str) -> None:
    if PurePosixPath(name).suffix.lower() in PICKLED_SUFFIXES:
        raise BundleFormatError(
            f"{where}: holds {name!r}, which may be a pickle; wanted weights in {WEIGHTS_NAME} only"
        )
    if "\\" in name or "\0" in name or ".." in name.split("/") or name.startswith("/") or not name:
        raise BundleFormatError(f"{where}: holds {name!r}, which leaves its directory; wanted plain file names")
    if name.startswith(".") or name in TEXT_NAMES or ("/" not in name and belongs(name)):
        return
    known = ", ".join([MANIFEST_NAME, WEIGHTS_NAME, CARD_NAME, *TEXT_NAMES])
    wanted = f"{known} and figures ({', '.join(FIGURE_SUFFIXES)})"
    raise BundleFormatError(f"{where}: holds {name!r}, which is no file of a bundle; wanted {wanted}")


def _check_plain(mode: int, name: str) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a pipe", stat.S_IFDIR: "a directory"}
    found = kinds.get(stat.S_IFMT(mode), "a device or socket")
    raise BundleFormatError(f"{name}: is {found}; wanted a plain file")

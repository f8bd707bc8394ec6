"""The bundle of a finished recipe, put where it is wanted."""

from __future__ import annotations

from pathlib import Path

from breakers.bundles import Bundle, load_bundle
from breakers.bundles.files import CARD_NAME, MANIFEST_NAME, WEIGHTS_NAME
from breakers.bundles.store import write_atomically
from breakers.errors import StageError


def copy_bundle(folder: Path, out: Path) -> Bundle:
    """Copy the files of a bundle, byte for byte, and load the copy.

    Args:
        folder: within the artifact of stage `bundle`.
        out: the bundle's directory, made if needed.

    Raises:
        BundleError: the copy does not verify.
        StageError: a file cannot be read or written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        # The manifest, which names the others' hashes, comes last.
        for name in (WEIGHTS_NAME, CARD_NAME, MANIFEST_NAME):
            write_atomically(out / name, (folder / name).read_bytes())
    except OSError as error:
        raise StageError(f"{error.filename or out}: {error.strerror}; wanted a copy of {folder} in {out}") from error
    return load_bundle(out)

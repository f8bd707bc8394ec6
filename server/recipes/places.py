"""Where the files are that a recipe names, and their hashes."""

from __future__ import annotations

import os
from pathlib import Path

from breakers.pipeline.hashing import digest_of_file
from server.errors import ConfigError

VARIABLE = "$SCALPEL_DATA"


def placed(name: str) -> Path:
    """A path of a recipe, with the variable that may begin it.

    Raises:
        ConfigError: the variable is not set.
    """
    if not name.startswith(VARIABLE):
        return Path(name)
    root = os.environ.get(VARIABLE[1:])
    if not root:
        raise ConfigError(f"{name}: {VARIABLE} is not set; wanted the folder of the public data sets")
    return Path(root + name.removeprefix(VARIABLE))


def digests_at(name: str | None) -> dict[str, str]:
    """Hashes of the file that a recipe names, or of those in the folder; none where it names nothing.

    Raises:
        ConfigError: one of them cannot be read.
    """
    if name is None:
        return {}
    place = placed(name)
    files = [path for path in sorted(place.rglob("*")) if path.is_file()] if place.is_dir() else [place]
    try:
        return {path.relative_to(place.parent).as_posix(): digest_of_file(path) for path in files}
    except OSError as error:
        raise ConfigError(f"{error.filename or place}: cannot be read: {error.strerror}") from error

"""Bundles from the Hugging Face Hub: which files a revision means, and their bytes by way of the Hub's cache.

`huggingface_hub` honours HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE. A revision is resolved to a commit once;
every file is of that commit. Names and sizes are checked before anything is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download

from breakers.bundles.files import (
    MANIFEST_NAME,
    WEIGHTS_NAME,
    BundleFiles,
    check_names,
    check_size,
    limit_of,
    read_file,
)
from breakers.bundles.hub_errors import explained
from breakers.bundles.reference import SCHEME, HubReference, is_commit
from breakers.errors import BundleFormatError, BundleSourceError

READ_NAMES = (MANIFEST_NAME, WEIGHTS_NAME)
"""All that is ever downloaded."""


def fetch_files(reference: HubReference) -> BundleFiles:
    """The bytes of a bundle on the Hub; with HF_HUB_OFFLINE, from the cache only.

    Raises:
        BundleSourceError: the Hub cannot be reached, or does not have this.
        BundleFormatError: the repository holds what no bundle holds, or too much of it.
    """
    with explained(reference):
        listed = None if constants.HF_HUB_OFFLINE else _checked_commit(reference)
        # By the name that was asked for, so that the cache knows it when offline.
        manifest = _download(reference.repository, MANIFEST_NAME, reference.revision)
        commit = manifest.parent.name
        _check_commit(reference, commit, listed)
        weights = _download(reference.repository, WEIGHTS_NAME, commit)
    source = f"{SCHEME}{reference.repository}@{commit}"
    return BundleFiles(
        source=source,
        manifest=_read(manifest, f"{source}/{MANIFEST_NAME}"),
        weights=_read(weights, f"{source}/{WEIGHTS_NAME}"),
        commit=commit,
    )


def listing(reference: HubReference) -> tuple[str, Mapping[str, int | None]]:
    """The commit that a reference means now, and the sizes of its files by name."""
    info = HfApi().model_info(reference.repository, revision=reference.revision, files_metadata=True)
    sizes = {str(sibling.rfilename): sibling.size for sibling in info.siblings or ()}
    return str(info.sha), sizes


def _checked_commit(reference: HubReference) -> str:
    commit, sizes = listing(reference)
    where = f"{SCHEME}{reference.repository}@{commit}"
    check_names(sizes, where)
    for name in READ_NAMES:
        if name not in sizes:
            raise BundleFormatError(f"{where}: holds no {name}; wanted {' and '.join(READ_NAMES)}")
        size = sizes[name]
        if not isinstance(size, int):
            raise BundleFormatError(f"{where}/{name}: has no size; wanted the Hub to state one")
        check_size(size, limit_of(name), f"{where}/{name}")
    return commit


def _download(repository: str, name: str, revision: str | None) -> Path:
    offline = bool(constants.HF_HUB_OFFLINE)
    return Path(hf_hub_download(repository, name, revision=revision, local_files_only=offline))


def _check_commit(reference: HubReference, found: str, listed: str | None) -> None:
    if not is_commit(found):
        raise BundleSourceError(f"{reference}: is at {found[:60]!r}; wanted a commit of 40 hexadecimal digits")
    if reference.pinned and found != reference.revision:
        raise BundleSourceError(
            f"{reference}: the Hub answers with commit {found}; wanted the one that was asked for"
        )
    if listed is not None and found != listed:
        raise BundleSourceError(f"{reference}: moved from {listed[:60]} to {found} while it was read; try again")


def _read(path: Path, shown: str) -> bytes:
    """A file of the Hub's cache, whose links lead to its blobs: followed there, and nowhere else."""
    folder = path.parents[2]
    real = Path(os.path.realpath(path))
    # The second is the store that files of all repositories share (huggingface_hub 2).
    for allowed in (folder, folder.parent / "blobs"):
        if real.is_relative_to(os.path.realpath(allowed)):
            return read_file(real, limit_of(path.name), shown)
    raise BundleFormatError(f"{shown}: is a symbolic link out of the Hub's cache; wanted a file in {folder}")

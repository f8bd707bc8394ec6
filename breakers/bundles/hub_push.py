"""Putting a bundle on the Hub: what was read was verified, and what was verified is what is uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from breakers.bundles.bundle import refuse_rehearsal
from breakers.bundles.files import (
    MANIFEST_NAME,
    WEIGHTS_NAME,
    belongs,
    check_names,
    limit_of,
    read_directory,
    read_file,
)
from breakers.bundles.hub_errors import explained
from breakers.bundles.reference import SCHEME, HubReference, is_commit
from breakers.bundles.verify import verify_files
from breakers.errors import BundleSourceError

DEFAULT_BRANCH = "main"


class PushResult(NamedTuple):
    """What was pushed, and where it is now."""

    name: str
    """Of the bundle."""
    reference: HubReference
    """Pinned to the new commit."""
    files: tuple[str, ...]


def push_bundle(path: Path, reference: HubReference, *, private: bool = False) -> PushResult:
    """Verify a bundle directory and commit exactly its files to a repository, made if needed.

    Args:
        path: the directory.
        reference: the repository; its revision, if any, is the branch.
        private: make the repository private; one that exists must be so already.

    Raises:
        BundleFormatError, BundleIntegrityError: the bundle does not verify; nothing was uploaded.
        RehearsalError: it is a rehearsal's.
        BundleSourceError: the Hub cannot be reached, or does not take it.
    """
    branch = DEFAULT_BRANCH if reference.revision is None else reference.revision
    if is_commit(branch):
        raise BundleSourceError(f"{reference}: names a commit; wanted a branch to push to")
    files = read_directory(path)
    bundle = verify_files(files)
    refuse_rehearsal(bundle)
    contents = {MANIFEST_NAME: files.manifest, WEIGHTS_NAME: files.weights}
    for entry in sorted(path.iterdir()):
        if belongs(entry.name) and entry.name not in contents:
            contents[entry.name] = read_file(entry, limit_of(entry.name))
    with explained(reference):
        commit = _commit(reference.repository, branch, contents, f"Add bundle {bundle.name}", private)
    pinned = HubReference(repository=reference.repository, revision=commit)
    return PushResult(name=bundle.name, reference=pinned, files=tuple(contents))


def _commit(repository: str, branch: str, contents: dict[str, bytes], message: str, private: bool) -> str:
    api = HfApi()
    api.create_repo(repository, private=True if private else None, exist_ok=True)
    if branch != DEFAULT_BRANCH:
        api.create_branch(repository, branch=branch, exist_ok=True)
    info = api.model_info(repository, revision=branch)
    where = f"{SCHEME}{repository}@{branch}"
    if private and not info.private:
        raise BundleSourceError(f"{where}: the repository is public; wanted a private one, as --private says")
    there = [str(sibling.rfilename) for sibling in info.siblings or ()]
    check_names(there, where)
    adds = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=data) for name, data in contents.items()]
    # Of an earlier version of the bundle: left there, it would be taken for part of this one.
    stale = [CommitOperationDelete(path_in_repo=name) for name in there if belongs(name) and name not in contents]
    done = api.create_commit(
        repository, [*adds, *stale], commit_message=message, revision=branch, parent_commit=info.sha
    )
    return str(done.oid)

"""Where a bundle is: a directory, or `hf://owner/name[@revision]` on the Hugging Face Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from breakers.errors import BundleSourceError

SCHEME = "hf://"
WANTED = f"wanted a directory or {SCHEME}owner/name[@revision]"
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_HUB = re.compile(rf"({_PART}/{_PART})(?:@([A-Za-z0-9][A-Za-z0-9._/-]{{0,254}}))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubReference:
    """A repository on the Hub, at a commit, tag or branch."""

    repository: str
    """`owner/name`"""
    revision: str | None = None
    """None for the default branch."""

    @property
    def pinned(self) -> bool:
        """Whether it can only ever mean one set of files."""
        return self.revision is not None and is_commit(self.revision)

    def __str__(self) -> str:
        return f"{SCHEME}{self.repository}" + ("" if self.revision is None else f"@{self.revision}")


def is_commit(revision: str) -> bool:
    """Whether this is a whole commit hash."""
    return _COMMIT.fullmatch(revision) is not None


def parse_reference(reference: str | Path) -> HubReference | Path:
    """A reference as a value; nothing is looked up.

    Raises:
        BundleSourceError: it is neither of the two.
    """
    text = str(reference)
    if text.startswith(SCHEME):
        return parse_hub_reference(text)
    if not text or "\0" in text or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise BundleSourceError(f"{text[:120]!r} is no bundle; {WANTED}")
    return Path(text)


def parse_hub_reference(text: str) -> HubReference:
    """`hf://owner/name[@revision]` as a value.

    Raises:
        BundleSourceError: it is something else.
    """
    found = _HUB.fullmatch(text.removeprefix(SCHEME)) if text.startswith(SCHEME) else None
    # Both become parts of paths in the Hub's cache.
    if found is None or any(bad in text for bad in ("..", "--", "@/", "/.")) or text.endswith(("/", ".lock", ".git")):
        raise BundleSourceError(f"{text[:120]!r} is no repository on the Hub; wanted {SCHEME}owner/name[@revision]")
    return HubReference(repository=found[1], revision=found[2])


def require_commit(reference: HubReference | Path) -> None:
    """Refuse what may mean other files tomorrow: a branch or a tag on the Hub. A directory is the operator's own.

    Raises:
        BundleSourceError: naming what is missing.
    """
    if isinstance(reference, HubReference) and not reference.pinned:
        found = "no revision" if reference.revision is None else f"the revision {reference.revision!r}"
        raise BundleSourceError(
            f"{reference}: pinned bundles are required, and it has {found}; "
            f"wanted {SCHEME}{reference.repository}@ and a commit of 40 hexadecimal digits"
        )

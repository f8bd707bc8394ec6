"""Where bundles may come from at run time. Whoever holds an admin key may load bundles, not read the file system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from breakers.bundles.reference import HubReference, parse_reference, require_commit
from breakers.errors import BundleError
from server.errors import InvalidRequestError

REFUSED = "source is no directory below a configured bundle root (bundle_roots)"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSources:
    """The rules for references that come over HTTP. Those of the configuration are the operator's own."""

    roots: Sequence[Path] = ()
    """Directories below which a bundle may lie; none means that no directory can be named."""
    pinned: bool = False
    """Whether references to the Hub must name a whole commit."""

    def admit(self, source: str) -> str:
        """The reference to open.

        Args:
            source: `hf://owner/name[@revision]`, or a directory: absolute, or relative to a root.

        Raises:
            InvalidRequestError: the directory is not below a root, links followed, or the reference is not one, or
                not pinned. What lies outside the roots is not told, not even whether it exists.
        """
        try:
            parsed = parse_reference(source)
            if isinstance(parsed, HubReference):
                if self.pinned:
                    require_commit(parsed)
                return source
        except BundleError as error:
            raise InvalidRequestError(str(error), param="source", code="invalid_value") from error
        found = next((path for root in self.roots if (path := _below(root, parsed)) is not None), None)
        if found is None:
            raise InvalidRequestError(REFUSED, param="source", code="source_not_allowed")
        return str(found)


def _below(root: Path, path: Path) -> Path | None:
    """The directory, links followed, where it lies below the root."""
    try:
        trusted = root.resolve()
        found = (trusted / path).resolve()
        return found if found != trusted and found.is_relative_to(trusted) and found.is_dir() else None
    except (OSError, ValueError, RuntimeError):
        # A loop of links, a name that is too long or holds what no name can hold.
        return None

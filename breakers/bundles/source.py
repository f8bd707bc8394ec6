"""Opening a bundle wherever it is. The same verification follows, whichever way the bytes came."""

from __future__ import annotations

from pathlib import Path

from breakers.bundles.bundle import Bundle, refuse_rehearsal
from breakers.bundles.reference import HubReference, parse_reference
from breakers.bundles.store import load_bundle
from breakers.bundles.verify import verify_files


def open_bundle(reference: str | Path, *, accept_rehearsal: bool = False) -> Bundle:
    """Load a bundle from a directory or from `hf://owner/name[@revision]`, for use unless said otherwise.

    Args:
        reference: where it is.
        accept_rehearsal: whether it is only to be looked at, so that a rehearsal's bundle will do.

    Raises:
        BundleSourceError: the reference is none, or the Hub does not have it.
        BundleFormatError, BundleIntegrityError: as `load_bundle`.
        RehearsalError: it is a rehearsal's, and that was not accepted.
    """
    bundle = _opened(reference)
    if not accept_rehearsal:
        refuse_rehearsal(bundle)
    return bundle


def _opened(reference: str | Path) -> Bundle:
    parsed = parse_reference(reference)
    if isinstance(parsed, HubReference):
        from breakers.bundles.hub import fetch_files

        return verify_files(fetch_files(parsed))
    return load_bundle(parsed)

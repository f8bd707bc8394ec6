"""The proof that a bundle fits the model that is served, before anything of it is loaded."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from breakers.architectures import ModelSites
from breakers.bundles import Bundle, open_bundle, verify_base, verify_sites
from breakers.errors import BaseMismatchError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleVerifier:
    """Opens bundles for one model."""

    fingerprint: str
    """Of the model."""
    sites: ModelSites

    def open(self, reference: str, *, accept_base_mismatch: bool) -> Bundle:
        """Read a bundle and prove its files, its base and its sites. Takes a while, and a thread.

        Args:
            reference: a directory, or `hf://owner/name[@revision]`.
            accept_base_mismatch: take it although it was made on another model, which the log then says.

        Raises:
            BundleError: it cannot be had, read or trusted, or does not fit the model.
        """
        bundle = open_bundle(reference)
        try:
            verify_base(bundle, self.fingerprint)
        except BaseMismatchError as mismatch:
            if not accept_base_mismatch:
                raise
            logger.warning("accepted on request: %s", mismatch)
        verify_sites(bundle, self.sites)
        return bundle

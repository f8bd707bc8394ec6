"""Verifying a bundle on its base model: the fingerprint, and the canary that proves that it acts as declared."""

from __future__ import annotations

from pathlib import Path

from breakers.architectures import resolve_sites
from breakers.bundles import Bundle, verify_base, verify_sites
from breakers.bundles.canary import canary_cosine
from breakers.errors import BundleIntegrityError
from breakers.fingerprint import fingerprint_model
from server.base_model import BaseOptions, load_prepared

CANARY_COSINE = 0.999
"""In fp32 on any machine, the declared change of the logits is reproduced at least this well."""


def verify_on_model(bundle: Bundle, model: str, dtype: str = "float32") -> float:
    """The cosine between the declared and the observed change of the logits, in [-1, 1].

    Args:
        bundle: already loaded.
        model: directory.
        dtype: what the model is loaded as; rounding in a shorter type than the bundle was made in changes the logits.

    Raises:
        ConfigError: the model cannot be loaded.
        BaseMismatchError: the bundle was made on another model.
        BundleIntegrityError: it acts where the model has nothing, or not as declared.
    """
    base = load_prepared(Path(model), BaseOptions(dtype=dtype)).model
    verify_base(bundle, fingerprint_model(base))
    sites = resolve_sites(base)
    verify_sites(bundle, sites)
    cosine = canary_cosine(base, sites, bundle.bank_entry(), bundle.manifest.canary)
    if not cosine >= CANARY_COSINE:
        raise BundleIntegrityError(
            f"bundle {bundle.name!r} does not act as declared: its canary's cosine is {cosine:.4f}; "
            f"wanted at least {CANARY_COSINE}"
        )
    return cosine

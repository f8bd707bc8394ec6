"""Bundles: interventions with everything needed to trust them. See DESIGN section 3."""

from breakers.bundles.bundle import Bundle, verify_base, verify_sites
from breakers.bundles.manifest import (
    BaseManifest,
    BundleManifest,
    CanaryManifest,
    GateManifest,
    InterventionManifest,
    MetricManifest,
    SiteManifest,
)
from breakers.bundles.source import open_bundle
from breakers.bundles.store import load_bundle, save_bundle

__all__ = [
    "BaseManifest",
    "Bundle",
    "BundleManifest",
    "CanaryManifest",
    "GateManifest",
    "InterventionManifest",
    "MetricManifest",
    "SiteManifest",
    "load_bundle",
    "open_bundle",
    "save_bundle",
    "verify_base",
    "verify_sites",
]

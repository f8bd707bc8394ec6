"""A server on the embedded engine whose bundles lie on disk, where tests change them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from breakers.architectures import resolve_sites
from breakers.bundles import Bundle, load_bundle, save_bundle
from breakers.errors import SiteError
from breakers.fingerprint import fingerprint_model
from server.bundles.sources import BundleSources
from server.bundles.verifier import BundleVerifier
from server.engines.embedded import EmbeddedEngineConfig, load_embedded_engine
from server.state import ServerParts, ServerState, assemble
from serving.bundles import three_bundles, with_canaries
from serving.stubs import StubClassifier
from serving.tiny_server import tiny_chat_model


def tiny_fingerprint() -> str:
    """Of the model that is served."""
    return fingerprint_model(tiny_chat_model().model)


def saved(bundle: Bundle, directory: Path) -> Path:
    """The bundle as a directory, with a canary that holds on the model that is served, where it fits that at all."""
    with suppress(SiteError):
        (bundle,) = with_canaries([bundle], tiny_chat_model().model)
    save_bundle(bundle.manifest, bundle.interventions, directory, card=f"# {bundle.name}\n")
    return directory


def bundle_state(
    root: Path, *, deterministic: bool = False, accepted_mismatches: Sequence[str] = (), slots: int = 4
) -> ServerState:
    """Three bundles below `root`, served from there."""
    loaded = tiny_chat_model()
    fingerprint = fingerprint_model(loaded.model)
    made = three_bundles(fingerprint)
    places = [saved(bundle, root / bundle.name) for bundle in made]
    bundles = [load_bundle(place) for place in places]
    engine = load_embedded_engine(
        EmbeddedEngineConfig(
            model=loaded,
            bundles=tuple(bundle.bank_entry() for bundle in bundles),
            slots=slots,
            deterministic=deterministic,
            drain_seconds=0.0,
        )
    )
    return assemble(
        ServerParts(
            engine=engine,
            bundles=bundles,
            served_name="scalpel-demo",
            classifier=StubClassifier(),
            references=[str(place) for place in places],
            verifier=BundleVerifier(fingerprint=fingerprint, sites=resolve_sites(loaded.model)),
            sources=BundleSources(roots=(root,)),
            accepted_mismatches=accepted_mismatches,
        )
    )

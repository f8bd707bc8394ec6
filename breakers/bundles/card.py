"""`card.md`: what a person should know of a bundle before loading it, written from its manifest."""

from __future__ import annotations

from collections import Counter

from breakers.bundles.manifest import BundleManifest

_DEMO = "scalpel-demo"
_MADE_FOR_DEMO = (
    "It was made for this one small model. Figures measured on the served bundle are in the project's results."
)
_MADE_FOR = "It was made for this one model. What it was measured to do is in `metrics`, if anything was."


def card_text(manifest: BundleManifest) -> str:
    """A short page: what it does, where it acts, on which model, what it was made from."""
    where = Counter((item.kind.value, item.site.component.value) for item in manifest.interventions)
    layers = sorted({item.site.layer for item in manifest.interventions})
    sites = ", ".join(f"{count} {kind} at {component} sites" for (kind, component), count in where.items())
    made_from = ", ".join(f"{what} `{digest[:23]}...`" for what, digest in manifest.made_from.items())
    lines = [
        f"# {manifest.name}",
        "",
        *(["Made by a rehearsal of its recipe: not fit to serve.", ""] if manifest.rehearsal else []),
        manifest.description,
        "",
        f"- Behaviour: {manifest.behaviour}; its gate reads the harm potential of `{manifest.category}`.",
        f"- Acts at: {sites}, layers {', '.join(map(str, layers))}; scope `{manifest.scope.value}`.",
        f"- Strengths 0 to {manifest.strength_max:g}; at 1 the change is at most {manifest.dose_p95:g} times the",
        "  activation's norm on 95 % of calibration tokens and hook points.",
        f"- Made on `{manifest.base.id}`, fingerprint `{manifest.base.fingerprint[:23]}...`; refused on others.",
        f"- Made with `{manifest.command}`; licence {manifest.licence}.",
        f"- Made from: {made_from}.",
        "",
        _MADE_FOR_DEMO if manifest.base.id == _DEMO else _MADE_FOR,
    ]
    return "\n".join(lines) + "\n"

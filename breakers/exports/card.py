"""The export's card, `README.md`: what it is, where it came from, and where it differs from the bundle."""

from __future__ import annotations

from collections.abc import Sequence

from breakers.bank import Scope
from breakers.exports.base import Export, Work

CARD_NAME = "README.md"


def export_remarks(work: Work, fingerprint: str) -> tuple[str, ...]:
    """Sentences on where the export differs from the bundle as it is served.

    Args:
        work: the export.
        fingerprint: of the base model in memory.
    """
    manifest = work.bundle.manifest
    remarks = [
        f"It acts at strength {work.spec.strength:g} on every request: the bundle's gate and its strengths per "
        "request are not in it."
    ]
    if manifest.scope is Scope.GENERATION:
        remarks.append(
            "The bundle was made with scope `generation`, to act from the last prompt token on; this export was made "
            "with `--as-scope all` and acts on every token, prompts included. Figures measured on the bundle do not "
            "hold for it."
        )
    if manifest.base.fingerprint != fingerprint:
        remarks.append(
            f"The bundle was made on another base model ({manifest.base.id}, {manifest.base.fingerprint}); the "
            "mismatch was accepted on request."
        )
    return tuple(remarks)


def export_card(work: Work, export: Export, fingerprint: str, remarks: Sequence[str]) -> str:
    """The card's text."""
    manifest = work.bundle.manifest
    lines = [
        f"# {manifest.name} at strength {work.spec.strength:g}",
        "",
        *export.card_lines(),
        "",
        *(f"- {remark}" for remark in remarks),
        f"- Made from bundle `{manifest.name}` (behaviour: {_line(manifest.behaviour)}), weights "
        f"`{manifest.weights_sha256}`.",
        f"- For the base model `{_line(work.base.name)}`, fingerprint `{fingerprint}`.",
        f"- Licence of the bundle: {_line(manifest.licence)}.",
    ]
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    """Text from a manifest, which may hold anything, on one line."""
    return " ".join(text.split())

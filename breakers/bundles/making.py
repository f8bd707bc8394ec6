"""From interventions in memory to a bundle on disk: what can be measured on the model is measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError
from transformers import PreTrainedModel

from breakers.architectures import resolve_sites
from breakers.bank import BankEntry
from breakers.bundles.bundle import Bundle
from breakers.bundles.canary import measure_canary, measure_dose
from breakers.bundles.card import card_text
from breakers.bundles.manifest import BaseManifest, BundleManifest, describe
from breakers.bundles.store import describe_interventions, save_bundle
from breakers.errors import BundleFormatError
from breakers.fingerprint import fingerprint_model

# Replaced by the hash of what is written.
_UNWRITTEN = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleDraft:
    """What its maker says of a bundle; fingerprint, dose, canary and hashes are measured."""

    entry: BankEntry
    """Name, scope, interventions and `strength_max`."""
    behaviour: str
    """What it acts on; also the category whose harm potential a gate would read."""
    base_id: str
    """What the base model is called."""
    licence: str
    command: str
    """How it was made."""
    description: str = ""
    made_from: Mapping[str, str] = field(default_factory=dict)
    """Hashes of the inputs, `sha256:` and 64 hex digits each."""
    rehearsal: bool = False
    """Whether it only shows that it can be made."""


def make_bundle(model: PreTrainedModel, draft: BundleDraft, prompts: Sequence[Sequence[int]], path: Path) -> Bundle:
    """Measure, write and load again. The bundle has no gate: it acts when a request asks.

    Args:
        model: the base model.
        draft: what is to be saved.
        prompts: token ids of calibration prompts for the dose; the first one is the canary's too.
        path: the bundle's directory, made if needed.

    Raises:
        BundleError: there is no prompt, a name or text that a manifest cannot hold, or the result does not verify.
        SiteError, InterventionError: the interventions do not fit the model.
        OSError: the files cannot be written.
    """
    if not prompts:
        raise BundleFormatError("no prompt was given; wanted at least one to measure dose and canary on")
    try:
        manifest = _measure(model, draft, prompts)
    except ValidationError as error:
        raise BundleFormatError(f"bundle {draft.entry.name!r}: {describe(error)}") from error
    return save_bundle(manifest, draft.entry.interventions, path, card=card_text(manifest))


def _measure(model: PreTrainedModel, draft: BundleDraft, prompts: Sequence[Sequence[int]]) -> BundleManifest:
    entry, sites = draft.entry, resolve_sites(model)
    declared, _ = describe_interventions(entry.interventions)
    return BundleManifest(
        format=1,
        name=entry.name,
        behaviour=draft.behaviour,
        category=draft.behaviour,
        description=draft.description,
        scope=entry.scope,
        interventions=declared,
        base=BaseManifest(id=draft.base_id, fingerprint=fingerprint_model(model)),
        gate=None,
        strength_max=entry.strength_max,
        dose_p95=round(measure_dose(model, sites, entry, prompts), 4),
        canary=measure_canary(model, sites, entry, prompts[0]),
        made_from=dict(draft.made_from),
        licence=draft.licence,
        metrics=[],
        command=draft.command,
        rehearsal=draft.rehearsal,
        weights_sha256=_UNWRITTEN,
    )

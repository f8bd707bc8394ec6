"""`circuit.json`: which components cause a behaviour, how that was found, and from what. Unknown keys are refused.

It has no times in it: the same command on the same inputs writes the same bytes, so that hashes can be compared.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from breakers.bundles.files import read_file
from breakers.bundles.limits import MANIFEST_LIMIT
from breakers.bundles.manifest import (
    BaseManifest,
    Finite,
    Label,
    Line,
    Paragraphs,
    Sha256,
    SiteManifest,
    describe,
)
from breakers.bundles.strict_json import parse_object
from breakers.errors import BundleFormatError, TracingError
from breakers.sites import Component, Site
from breakers.tracing.attribution import AttributionPath
from breakers.tracing.effects_file import index_of
from breakers.tracing.patches import PatchSource, Positions

CIRCUIT_NAME = "circuit.json"
FORMAT_VERSION = 1


class TraceMethod(StrEnum):
    """How effects were found."""

    EXACT = "exact"
    """Every component was patched."""
    ATTRIBUTION = "attribution"
    """Every effect is a first-order estimate."""
    SCREEN = "screen"
    """Estimates for all, exact patching of the best."""


class MeasureKind(StrEnum):
    """What is asked of the model under a patch."""

    LEAD = "lead"
    """Mean log-probability of the harmful completion less that of the neutral one, in nats a token."""
    HARM = "harm"
    """H of the text that the model generates, in [0, 1]."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PairsManifest(_Model):
    """The cases that effects are means over."""

    sha256: Sha256
    """Of the pairs file."""
    cases: int = Field(ge=1)
    split: Label | None
    """Of which split of the pairs; None for all."""


class PatchManifest(_Model):
    """What activations were replaced with, and at which tokens."""

    source: PatchSource = Field(strict=False)
    positions: Positions = Field(strict=False)


class MeasureManifest(_Model):
    """What the effects are differences of."""

    kind: MeasureKind = Field(strict=False)
    scorer: Line | None = None
    """Name of the harm scorer; for `harm` only."""
    max_new_tokens: int | None = Field(default=None, ge=1)
    """Most tokens generated; for `harm` only."""

    @model_validator(mode="after")
    def _scored(self) -> MeasureManifest:
        wanted = self.kind is MeasureKind.HARM
        if (self.scorer is not None) != wanted or (self.max_new_tokens is not None) != wanted:
            raise ValueError(f"a {self.kind} measure has scorer {self.scorer!r}; measure harm has one, lead has none")
        return self


class AttributionManifest(_Model):
    """How estimates were made."""

    heads: AttributionPath = Field(strict=False)
    """At which activations gradients for heads were taken."""
    neurons: AttributionPath = Field(strict=False)
    """The same for neurons."""
    steps: int = Field(ge=1)
    """Points of the paths that move."""
    rank_correlation: Finite | None = Field(default=None, ge=-1, le=1)
    """Spearman's, with exact effects, over the components that have both; None where fewer than three have."""


class ComponentManifest(_Model):
    """One head or neuron with its effect."""

    site: SiteManifest
    effect: Finite
    """Mean CausalEffect over cases: measure of the unmodified model less measure under the patch."""
    standard_error: Finite = Field(ge=0)
    exact: bool
    """False: an estimate."""

    @model_validator(mode="after")
    def _is_single(self) -> ComponentManifest:
        index_of(self.site.site())
        return self


class NoiseFloorManifest(_Model):
    """How large effects come out by chance: of components drawn without the best, patched from other pairs."""

    head: Finite | None = Field(ge=0)
    """An absolute effect of a head above this is not noise; None where no head was drawn."""
    neuron: Finite | None = Field(ge=0)
    """The same for neurons."""
    quantile: Finite = Field(gt=0, le=1)
    """The floors are this quantile of the drawn components' absolute mean effects."""
    components: int = Field(ge=1)
    """Drawn at most, of each kind."""


class CostManifest(_Model):
    """What tracing cost. A unit is one forward pass of the model over one run: a prompt and its completion."""

    forward_passes: Finite = Field(ge=0)
    """All of it, in forward-pass equivalents."""
    attribution: Finite = Field(default=0.0, ge=0)
    """Estimates."""
    exact: Finite = Field(default=0.0, ge=0)
    """Exact patching."""


class CircuitFile(_Model):
    """Everything in `circuit.json`."""

    format: Literal[1]
    base: BaseManifest
    behaviour: Label
    pairs: PairsManifest
    patch: PatchManifest
    measure: MeasureManifest
    baseline: Finite
    """Mean measure of the unmodified model over the cases."""
    method: TraceMethod = Field(strict=False)
    attribution: AttributionManifest | None
    """None for method `exact`."""
    components: list[ComponentManifest] = Field(min_length=1, max_length=16384)
    """The best, by effect, the highest first; the rest is in the effects file."""
    noise_floor: NoiseFloorManifest | None
    cost: CostManifest
    seeds: list[int] = Field(max_length=64)
    command: Paragraphs
    """The exact command that made it."""
    effects_sha256: Sha256
    """Of `effects.safetensors`."""

    @model_validator(mode="after")
    def _ranked(self) -> CircuitFile:
        _check_distinct([component.site.site() for component in self.components], "components")
        if any(b.effect > a.effect for a, b in itertools.pairwise(self.components)):
            raise ValueError("components are not in order; wanted the highest effect first")
        if (self.attribution is None) != (self.method is TraceMethod.EXACT):
            raise ValueError(
                f"method {self.method} has attribution {self.attribution}; exact has none, others have it"
            )
        return self


def circuit_bytes(circuit: CircuitFile) -> bytes:
    """The file's bytes: JSON, one line a value, the same for equal circuits."""
    return (json.dumps(circuit.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n").encode()


def read_circuit(path: Path) -> CircuitFile:
    """Read and validate `circuit.json`.

    Raises:
        TracingError: naming the file, the field, what was found and what was wanted.
    """
    if not path.is_file():
        raise TracingError(f"{path}: not there; wanted the {CIRCUIT_NAME} that `scalpel trace` wrote")
    try:
        return parse_circuit(read_file(path, MANIFEST_LIMIT), str(path))
    except BundleFormatError as error:
        raise TracingError(str(error)) from error


def parse_circuit(data: bytes, where: str) -> CircuitFile:
    """Validate the bytes of a `circuit.json`, which messages call `where`.

    Raises:
        TracingError: naming the field, what was found and what was wanted.
    """
    try:
        document = parse_object(data, where)
    except BundleFormatError as error:
        raise TracingError(str(error)) from error
    version = document.get("format", FORMAT_VERSION)
    if type(version) is not int or version != FORMAT_VERSION:
        found = repr(version)[:80]
        raise TracingError(f"{where}: format: found {found}; wanted {FORMAT_VERSION}, the only one read here")
    try:
        return CircuitFile.model_validate(document)
    except ValidationError as error:
        raise TracingError(f"{where}: {describe(error)}") from error


def _check_distinct(sites: Sequence[Site], where: str) -> None:
    seen: set[Site] = set()
    for site in sites:
        if site in seen:
            which = f"neuron {site.neurons[0]}" if site.component is Component.NEURON and site.neurons else ""
            raise ValueError(f"{where} holds {site} {which}".rstrip() + " twice; wanted each once")
        seen.add(site)

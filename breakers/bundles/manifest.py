"""`bundle.json`: what a bundle declares about itself. Unknown keys and unknown versions are refused."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from breakers.bank import Scope
from breakers.errors import BundleFormatError
from breakers.gate import Gate
from breakers.interventions import Kind
from breakers.sites import Component, Site

FORMAT_VERSION = 1
MANIFEST_NAME = "bundle.json"
WEIGHTS_NAME = "weights.safetensors"
CARD_NAME = "card.md"
MANIFEST_LIMIT = 4 * 1024 * 1024
"""Bytes; a manifest is a few kilobytes, a hostile one must not fill memory."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SiteManifest(_Model):
    """A site as JSON: `{"layer": 3, "component": "head", "head": 1}`."""

    layer: int
    component: Component = Field(strict=False)
    head: int | None = None
    neurons: list[int] | None = None
    expert: int | None = None

    def site(self) -> Site:
        """The same as a value of `breakers.sites`."""
        neurons = None if self.neurons is None else tuple(self.neurons)
        return Site(layer=self.layer, component=self.component, head=self.head, neurons=neurons, expert=self.expert)

    @classmethod
    def of(cls, site: Site) -> SiteManifest:
        neurons = None if site.neurons is None else list(site.neurons)
        return cls(layer=site.layer, component=site.component, head=site.head, neurons=neurons, expert=site.expert)

    @model_validator(mode="after")
    def _is_a_site(self) -> SiteManifest:
        self.site()
        return self


class InterventionManifest(_Model):
    """One intervention: its kind, where it acts, and the names of its tensors in the weights file."""

    kind: Kind = Field(strict=False)
    site: SiteManifest
    rank: int | None = None
    """For breakers: r."""
    tensors: dict[str, str]
    """Role (`down` and `up`, `vector`, or `keep`) -> tensor name."""

    @model_validator(mode="after")
    def _roles(self) -> InterventionManifest:
        wanted = {Kind.BREAKER: {"down", "up"}, Kind.STEERING: {"vector"}, Kind.MASK: {"keep"}}[self.kind]
        if set(self.tensors) != wanted:
            raise ValueError(f"a {self.kind} names tensors {sorted(self.tensors)}; wanted {sorted(wanted)}")
        if (self.rank is not None) != (self.kind is Kind.BREAKER):
            raise ValueError(f"a {self.kind} has rank {self.rank}; breakers have one, others do not")
        return self


class BaseManifest(_Model):
    """The base model that the bundle was made on."""

    id: str = Field(min_length=1, max_length=256)
    fingerprint: Sha256


class GateManifest(_Model):
    """Gate parameters, with the classifier whose harm potential they were fitted on."""

    alpha_base: Finite
    w: Finite
    b: Finite
    p_off: Finite
    classifier: str

    def gate(self) -> Gate:
        """The gate as a function."""
        return Gate(alpha_base=self.alpha_base, w=self.w, b=self.b, p_off=self.p_off)

    @model_validator(mode="after")
    def _is_a_gate(self) -> GateManifest:
        self.gate()
        return self


class CanaryManifest(_Model):
    """A prompt and what strength 1 does to its next-token logits: proves that a loaded bundle acts."""

    token_ids: list[int] = Field(min_length=1, max_length=4096)
    logit_ids: list[int] = Field(min_length=1)
    change: list[Finite] = Field(min_length=1)
    """Steered minus unsteered logit at each of `logit_ids`, for the last position, fp32."""

    @model_validator(mode="after")
    def _same_length(self) -> CanaryManifest:
        if len(self.logit_ids) != len(self.change):
            raise ValueError(f"{len(self.logit_ids)} logit_ids and {len(self.change)} changes; wanted as many")
        return self


class MetricManifest(_Model):
    """A measured figure with its 95 % interval."""

    name: str
    value: Finite
    low: Finite
    high: Finite
    n: int = Field(ge=1)


class BundleManifest(_Model):
    """Everything in `bundle.json`."""

    format: Literal[1]
    name: Name
    behaviour: str = Field(min_length=1, max_length=64)
    category: str = Field(min_length=1, max_length=64)
    """Which P_c(x) drives the gate."""
    description: str = ""
    scope: Scope = Field(strict=False)
    interventions: list[InterventionManifest] = Field(min_length=1, max_length=65536)
    base: BaseManifest
    gate: GateManifest | None
    """None: only on when a request asks."""
    strength_max: Finite = Field(gt=0, le=16)
    dose_p95: Finite = Field(ge=0)
    """95th percentile of ||z' - z|| / ||z|| at strength 1 on calibration prompts."""
    canary: CanaryManifest
    made_from: dict[str, Sha256]
    """Hashes of the inputs: pairs, circuit, training."""
    licence: str
    metrics: list[MetricManifest]
    command: str
    """The exact command that made the bundle."""
    weights_sha256: Sha256

    @field_validator("name", "behaviour", "category")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if re.search(r"[\x00-\x1f]", value):
            raise ValueError("holds control characters")
        return value

    @model_validator(mode="after")
    def _strengths_fit(self) -> BundleManifest:
        if self.strength_max > 1 and any(k.kind is Kind.MASK for k in self.interventions):
            raise ValueError(f"strength_max is {self.strength_max}; a bundle with masks allows at most 1")
        if self.gate is not None and math.ceil(self.gate.alpha_base * 16) / 16 > self.strength_max:
            raise ValueError(f"gate.alpha_base is {self.gate.alpha_base}, above strength_max {self.strength_max}")
        return self


def parse_manifest(path: Path) -> BundleManifest:
    """Read and validate a manifest.

    Raises:
        BundleFormatError: naming the file, the field, what was found and what was wanted.
    """
    if not path.is_file():
        raise BundleFormatError(f"{path}: not there; a bundle directory holds {MANIFEST_NAME} and {WEIGHTS_NAME}")
    size = path.stat().st_size
    if size > MANIFEST_LIMIT:
        raise BundleFormatError(f"{path}: {size} bytes; wanted at most {MANIFEST_LIMIT}")
    try:
        return BundleManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BundleFormatError(f"{path}: {describe(error)}") from error


def describe(error: ValidationError) -> str:
    """All problems of a validation, one line: field, problem, what was found."""
    problems = []
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in item["loc"]) or "the document"
        found = repr(item.get("input"))
        problems.append(f"{where}: {item['msg']} (found {found[:80]})")
    return "; ".join(problems)

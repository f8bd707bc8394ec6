"""`bundle.json`: what a bundle declares about itself. Unknown keys and unknown versions are refused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from breakers.bank import Scope
from breakers.bundles.files import CARD_NAME, MANIFEST_NAME, WEIGHTS_NAME
from breakers.bundles.limits import INTERVENTION_LIMIT, PROBLEM_LIMIT, RANK_LIMIT
from breakers.bundles.strict_json import parse_object
from breakers.bundles.text import model_id, one_line, paragraphs, plain_name
from breakers.errors import BundleFormatError
from breakers.gate import Gate
from breakers.interventions import Kind
from breakers.sites import Component, Site

__all__ = ["CARD_NAME", "FORMAT_VERSION", "MANIFEST_NAME", "WEIGHTS_NAME"]

FORMAT_VERSION = 1
Value = TypeVar("Value")

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Label = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(plain_name)]
TensorName = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(plain_name)]
ModelId = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(model_id)]
Line = Annotated[str, Field(max_length=256), AfterValidator(one_line)]
Paragraphs = Annotated[str, Field(max_length=16384), AfterValidator(paragraphs)]
Sha256 = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]


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
    rank: int | None = Field(default=None, ge=1, le=RANK_LIMIT)
    """For breakers: r."""
    tensors: dict[str, TensorName]
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

    id: ModelId
    fingerprint: Sha256


class GateManifest(_Model):
    """Gate parameters, with the classifier whose harm potential they were fitted on."""

    alpha_base: Finite
    """Full strength."""
    w: Finite
    """Slope over the harm potential."""
    b: Finite
    """Offset of the slope."""
    p_off: Finite
    """Harm potential below which the strength is 0."""
    classifier: Line
    """Name of the classifier that it was fitted on."""

    def gate(self) -> Gate:
        """The gate as a function."""
        return Gate(alpha_base=self.alpha_base, w=self.w, b=self.b, p_off=self.p_off)

    @model_validator(mode="after")
    def _is_a_gate(self) -> GateManifest:
        self.gate()
        return self


class CanaryManifest(_Model):
    """A prompt and what strength 1 does to its next-token logits: proves that a loaded bundle acts."""

    token_ids: list[TokenId] = Field(min_length=1, max_length=4096)
    logit_ids: list[TokenId] = Field(min_length=1, max_length=4096)
    change: list[Finite] = Field(min_length=1, max_length=4096)
    """Steered minus unsteered logit at each of `logit_ids`, for the last position, fp32."""

    @model_validator(mode="after")
    def _same_length(self) -> CanaryManifest:
        if len(self.logit_ids) != len(self.change):
            raise ValueError(f"{len(self.logit_ids)} logit_ids and {len(self.change)} changes; wanted as many")
        if len(set(self.logit_ids)) != len(self.logit_ids):
            raise ValueError(f"logit_ids holds {_repeated(self.logit_ids)} twice; wanted each once")
        return self


class MetricManifest(_Model):
    """A measured figure with its 95 % interval."""

    name: Line
    """What was measured."""
    value: Finite
    """The figure."""
    low: Finite
    """Lower end of its 95 % interval."""
    high: Finite
    """Upper end."""
    n: int = Field(ge=1)
    """How many texts it was measured on."""


class BundleManifest(_Model):
    """Everything in `bundle.json`."""

    format: Literal[1]
    name: Name
    behaviour: Label
    category: Label
    """Which P_c(x) drives the gate."""
    description: Paragraphs = ""
    scope: Scope = Field(strict=False)
    interventions: list[InterventionManifest] = Field(min_length=1, max_length=INTERVENTION_LIMIT)
    base: BaseManifest
    gate: GateManifest | None
    """None: only on when a request asks."""
    strength_max: Finite = Field(gt=0, le=16)
    dose_p95: Finite = Field(ge=0)
    """95th percentile of ||z' - z|| / ||z|| at strength 1 on calibration prompts."""
    canary: CanaryManifest
    made_from: dict[Label, Sha256] = Field(max_length=64)
    """Hashes of the inputs: pairs, circuit, training."""
    licence: Line
    metrics: list[MetricManifest] = Field(max_length=1024)
    command: Paragraphs
    """The exact command that made the bundle."""
    rehearsal: bool = Field(default=False, exclude_if=lambda value: not value)
    """Whether it was made to try a recipe: it verifies, but is not fit to serve. Written only where it is true."""
    weights_sha256: Sha256

    @model_validator(mode="after")
    def _each_place_once(self) -> BundleManifest:
        twice = _repeated([(item.kind, item.site.site()) for item in self.interventions])
        if twice is not None:
            raise ValueError(f"interventions holds two of kind {twice[0]} at {twice[1]}; wanted one, their sum")
        shared = _repeated([name for item in self.interventions for name in item.tensors.values()])
        if shared is not None:
            raise ValueError(f"interventions uses tensors twice: {shared}; wanted each once")
        return self

    @model_validator(mode="after")
    def _strengths_fit(self) -> BundleManifest:
        if self.strength_max > 1 and any(k.kind is Kind.MASK for k in self.interventions):
            raise ValueError(f"strength_max is {self.strength_max}; a bundle with masks allows at most 1")
        if self.gate is not None and math.ceil(self.gate.alpha_base * 16) / 16 > self.strength_max:
            raise ValueError(f"gate.alpha_base is {self.gate.alpha_base}, above strength_max {self.strength_max}")
        return self


def parse_manifest(data: bytes, where: str) -> BundleManifest:
    """Validate the bytes of a manifest.

    Args:
        data: all bytes of `bundle.json`.
        where: what to call it in messages.

    Raises:
        BundleFormatError: naming the file, the field, what was found and what was wanted.
    """
    document = parse_object(data, where)
    version = document.get("format", FORMAT_VERSION)
    if type(version) is not int or version != FORMAT_VERSION:
        found = repr(version)[:80]
        raise BundleFormatError(f"{where}: format: found {found}; wanted {FORMAT_VERSION}, the only one read here")
    try:
        return BundleManifest.model_validate(document)
    except ValidationError as error:
        raise BundleFormatError(f"{where}: {describe(error)}") from error


def describe(error: ValidationError) -> str:
    """The first problems of a validation, one line: field, what is wanted, what was found."""
    found = error.errors(include_url=False)
    problems = []
    for item in found[:PROBLEM_LIMIT]:
        # Keys come from the file: shown so that they cannot move a terminal's cursor.
        where = ".".join(repr(str(part)[:80])[1:-1] for part in item["loc"]) or "the document"
        # A validator of ours says what it found; the whole object would only bury that.
        ours = item["type"] == "value_error" and isinstance(item["input"], dict)
        shown = "" if ours else f" (found {repr(item['input'])[:80]})"
        problems.append(f"{where}: {item['msg'].removeprefix('Value error, ')}{shown}")
    if len(found) > PROBLEM_LIMIT:
        problems.append(f"and {len(found) - PROBLEM_LIMIT} more")
    return "; ".join(problems)


def _repeated(values: Sequence[Value]) -> Value | None:
    """The first value that occurs twice."""
    return next((value for value, count in Counter(values).items() if count > 1), None)

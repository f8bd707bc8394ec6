"""A request's plan on its way through vLLM: one string, because extra arguments are scalars and lists of scalars."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from breakers.bundles.manifest import describe
from breakers.bundles.strict_json import parse_object
from breakers.errors import BundleFormatError, PlanError
from breakers.plan import AppliedStrength, Plan, Reason
from breakers.vllm_plugin.settings import KEY

LENGTH_LIMIT = 65536
"""Characters of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMessage:
    """What a request says."""

    plan: Plan
    generation_start: int | None = None
    """Position from which bundles of scope `generation` act; None for the last prompt token."""
    bank: str | None = None
    """Digest of the bank that the plan was made for; None for whichever is loaded."""


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    strengths: dict[str, float]
    generation_start: int | None = Field(default=None, ge=0)
    bank: str | None = None


def encode_plan(message: PlanMessage) -> dict[str, str]:
    """The extra arguments of a request with this plan: `vllm_xargs`, or `SamplingParams.extra_args`."""
    wire = _Wire(
        strengths=message.plan.strengths(), generation_start=message.generation_start, bank=message.bank
    ).model_dump(exclude_none=True)
    return {KEY: json.dumps(wire, sort_keys=True, separators=(",", ":"))}


def decode_plan(extra_args: dict[str, Any] | None) -> PlanMessage | None:
    """The plan of a request; None where it has none.

    Raises:
        PlanError: there is one, and it is not what `encode_plan` writes.
    """
    if extra_args is None or KEY not in extra_args:
        return None
    text = extra_args[KEY]
    if not isinstance(text, str) or len(text) > LENGTH_LIMIT:
        found = f"{len(text)} characters" if isinstance(text, str) else type(text).__name__
        raise PlanError(f"{KEY}: is {found}; wanted a plan as JSON text of at most {LENGTH_LIMIT} characters")
    try:
        wire = _Wire.model_validate(parse_object(text.encode(errors="surrogatepass"), KEY))
    except ValidationError as error:
        raise PlanError(f"{KEY}: {describe(error)}") from error
    except BundleFormatError as error:
        raise PlanError(str(error)) from error
    strengths = {n: AppliedStrength(strength=s, reason=Reason.REQUEST) for n, s in wire.strengths.items()}
    return PlanMessage(plan=Plan(strengths), generation_start=wire.generation_start, bank=wire.bank)

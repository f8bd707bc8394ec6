"""A request's JSON: what of it is ours, what the gateway has to know, and what goes on to vLLM.

Everything that is not named here is vLLM's business and passes as it came.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator
from pydantic_core import PydanticCustomError

from breakers.plan import Plan
from breakers.vllm_plugin.messages import PlanMessage, encode_plan
from breakers.vllm_plugin.settings import KEY
from server.api.wire import ScalpelOptions
from server.errors import InvalidRequestError

EXTRA = "vllm_xargs"
"""Where vLLM takes what extensions want to know of a request."""

LENGTHS = ("max_completion_tokens", "max_tokens")
"""The first one that is there holds."""


class GatewayBody(BaseModel):
    """A request to the model, of which only this much is read."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    model: str | None = None
    scalpel: ScalpelOptions | None = None
    stream: bool | None = None
    stream_options: Any = None
    messages: Any = None
    prompt: Any = None
    user: Any = None
    vllm_xargs: dict[str, Any] | None = None

    @field_validator("vllm_xargs")
    @classmethod
    def _no_plan(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None and KEY in value:
            raise PydanticCustomError(
                "unknown_parameter",
                "{key}: plans are made here; say in `scalpel` what is wanted of the breakers",
                {"key": KEY},
            )
        return value

    @property
    def options(self) -> ScalpelOptions:
        """Our extension."""
        return self.scalpel or ScalpelOptions()

    @property
    def generation_start(self) -> int | None:
        """Position from which bundles of scope `generation` act, in every prompt.

        Raises:
            InvalidRequestError: there are several, and they differ.
        """
        starts: set[int | None] = set(self.options.generation_start or (None,))
        if len(starts) > 1:
            raise InvalidRequestError(
                f"scalpel.generation_start has {len(starts)} different positions; wanted one: vLLM takes one plan "
                "for all prompts of a request, so send those that differ on their own",
                param="scalpel.generation_start",
                code="invalid_value",
            )
        (start,) = starts
        return start

    @property
    def asks_for_usage(self) -> bool:
        """Whether a stream is to end with its usage."""
        options = self.stream_options
        return (
            isinstance(options, Mapping)
            and options.get("include_usage") is not None
            and bool(options["include_usage"])
        )

    def field(self, name: str) -> Any:
        """A field that is vLLM's; None where it is not there."""
        return (self.model_extra or {}).get(name)

    def others(self) -> dict[str, Any]:
        """Every field that has no name here."""
        return dict(self.model_extra or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What the gateway changes in a body beside taking `scalpel` out."""

    model: str
    """The upstream's own name for it."""
    plan: Plan
    bank: str
    """Digest of the bank that the plan is for."""
    generation_start: int | None = None
    max_tokens: int | None = None
    """Set where the request names no length and the operator has a limit; None to leave it."""
    length_field: str = "max_tokens"
    usage: bool = False
    """Have a stream end with its usage."""


def forwarded(body: GatewayBody, changes: Changes) -> bytes:
    """The body that vLLM gets.

    A plan in which nothing acts is left out: the request then is vLLM's own, and what cannot have a plan, a beam
    search for one, can be served.

    Raises:
        InvalidRequestError: it holds a number that JSON does not have.
    """
    kept = {name: getattr(body, name) for name in body.model_fields_set if name not in ("scalpel", EXTRA)}
    fields = {**kept, **body.others(), "model": changes.model}
    extra = dict(body.vllm_xargs or {})
    if changes.plan.strengths():
        message = PlanMessage(plan=changes.plan, generation_start=changes.generation_start, bank=changes.bank)
        extra |= encode_plan(message)
    if extra or body.vllm_xargs is not None:
        fields[EXTRA] = extra
    if changes.max_tokens is not None:
        fields[changes.length_field] = changes.max_tokens
    if changes.usage:
        # The others have an effect together with it only.
        fields["stream_options"] = {"include_usage": True}
    try:
        return json.dumps(fields, allow_nan=False).encode()
    except ValueError as error:
        raise InvalidRequestError("the body holds NaN or Infinity; wanted JSON", code="invalid_json") from error

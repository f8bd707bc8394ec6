"""Reading a request body: bounded, JSON only, and every problem as one clear 400."""

from __future__ import annotations

from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect

from server.errors import BodyTooLargeError, ClientGoneError, InvalidRequestError, MediaTypeError

Wire = TypeVar("Wire", bound=BaseModel)

SHOWN = 80
"""Characters of an offending value that a message repeats."""


async def read_wire(request: Request, model: type[Wire], limit: int) -> Wire:
    """The request's body as a wire model.

    Args:
        request: its body is read here.
        model: what the body has to be.
        limit: bytes; reading stops there.

    Raises:
        MediaTypeError: the body is not declared as JSON (which also keeps foreign web pages from posting forms).
        BodyTooLargeError: it is longer than `limit`.
        InvalidRequestError: it is not JSON, or a field is not as it should be.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        found = media_type[:SHOWN] or "missing"
        raise MediaTypeError(f"the content type is {found}; wanted application/json", code="unsupported_media_type")
    return parse_wire(await _read(request, limit), model)


def parse_wire(body: bytes, model: type[Wire]) -> Wire:
    """The body as a wire model.

    Raises:
        InvalidRequestError: naming the first field at fault, and all problems.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise InvalidRequestError(
            "; ".join(_sentence(detail, model) for detail in details[:8]),
            param=_path(details[0]) or None,
            code=_code(details[0]),
        ) from error


async def _read(request: Request, limit: int) -> bytes:
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > limit:
                raise BodyTooLargeError(f"the body is longer than {limit} bytes", code="body_too_large")
    except ClientDisconnect:
        raise ClientGoneError("the client closed the connection before its request was complete") from None
    return bytes(body)


def _sentence(detail: ErrorDetails, model: type[BaseModel]) -> str:
    where = _path(detail) or "the body"
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown parameter; known: {', '.join(_known(detail, model))}"
    if detail["type"] in ("json_invalid", "unsupported_parameter", "missing"):
        return f"{where}: {detail['msg']}"
    return f"{where}: {detail['msg']} (found {_shown(detail['input'])})"


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # Integers of more than 4300 digits cannot be printed.
        return type(value).__name__
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _path(detail: ErrorDetails) -> str:
    return ".".join(str(part)[:SHOWN] for part in detail["loc"])


def _code(detail: ErrorDetails) -> str:
    return {
        "extra_forbidden": "unknown_parameter",
        "unsupported_parameter": "unsupported_parameter",
        "missing": "missing_parameter",
        "json_invalid": "invalid_json",
    }.get(detail["type"], "invalid_value")


def _known(detail: ErrorDetails, model: type[BaseModel]) -> list[str]:
    """The fields that stand beside an unknown one."""
    known: type[BaseModel] | None = model
    for part in detail["loc"][:-1]:
        if known is None or not isinstance(part, str) or part not in known.model_fields:
            continue
        known = _nested(known.model_fields[part].annotation)
    return sorted(field.alias or name for name, field in known.model_fields.items()) if known is not None else []


def _nested(annotation: object) -> type[BaseModel] | None:
    """The one wire model inside an annotation such as `list[X]` or `X | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _nested(inner)
        if found is not None:
            return found
    return None

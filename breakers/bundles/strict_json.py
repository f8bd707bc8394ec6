"""JSON with one meaning: UTF-8, no key twice, finite numbers, bounded depth. One parser, no disagreement."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from breakers.bundles.limits import INTEGER_DIGITS_LIMIT, JSON_DEPTH_LIMIT
from breakers.errors import BundleFormatError

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class _RefusedError(Exception):
    """What is wrong inside the document; the caller knows in which file."""


def parse_object(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object in `data`.

    Args:
        data: all bytes of the document.
        where: what to call it in messages.

    Raises:
        BundleFormatError: it is not one JSON object, or not one that every reader reads alike.
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_not_a_number,
        )
        if not isinstance(value, dict):
            raise _RefusedError(f"holds a {type(value).__name__}; wanted one JSON object")
        # Whole UTF-8 has no halves of surrogate pairs: only escapes can make them.
        _check_nested(value, texts=_SURROGATE.search(text) is not None)
    except UnicodeDecodeError as error:
        found = f"byte {data[error.start]:#04x} at offset {error.start}"
        raise BundleFormatError(f"{where}: is not UTF-8 ({found}); wanted JSON in UTF-8") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BundleFormatError(f"{where}: is not JSON: {error.msg} ({place}); wanted one JSON object") from error
    except RecursionError as error:
        raise BundleFormatError(f"{where}: {_too_deep()}") from error
    except _RefusedError as error:
        raise BundleFormatError(f"{where}: {error}") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RefusedError(f"has the key {key!r} twice in one object; wanted every key once")
        found[key] = value
    return found


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > INTEGER_DIGITS_LIMIT:
        raise _RefusedError(f"holds the integer {text[:24]}...; wanted at most {INTEGER_DIGITS_LIMIT} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _RefusedError(f"holds the number {text[:24]}, which is not finite; wanted finite numbers")
    return value


def _not_a_number(text: str) -> NoReturn:
    raise _RefusedError(f"holds {text}, which is not JSON; wanted finite numbers")


def _check_nested(document: dict[str, Any], texts: bool) -> None:
    """Refuse what is nested too deep and, with `texts`, text that cannot be written as UTF-8."""
    waiting: list[tuple[Any, int]] = [(document, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str) and texts:
            _check_text(value)
        elif isinstance(value, dict | list):
            if depth > JSON_DEPTH_LIMIT:
                raise _RefusedError(_too_deep())
            for key in value if isinstance(value, dict) and texts else ():
                _check_text(key)
            waiting += [(item, depth + 1) for item in (value.values() if isinstance(value, dict) else value)]


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = f"holds the text {text[:80]!r}, half of a surrogate pair"
        raise _RefusedError(f"{found}; wanted text of whole characters") from error


def _too_deep() -> str:
    return f"is nested deeper than {JSON_DEPTH_LIMIT} levels; wanted at most that"

"""What replies said and how long they were, read from vLLM's bodies after they were sent on.

Nothing here can fail a request: what cannot be read is not scored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from server.gateway.events import object_in

_USAGE = b'"usage":'
_LONGEST = 4096
"""Bytes of a usage."""
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of a request, all its prompts and replies together."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0

    @property
    def total(self) -> int:
        """Of prompts and replies."""
        return self.prompt + self.completion


def usage_in(text: bytes) -> TokenUsage | None:
    """The usage that a body or an event reports, without reading the rest of it.

    Within JSON's texts a quotation mark is escaped, so what is looked for cannot be part of a reply.
    """
    at = text.rfind(_USAGE)
    if at < 0:
        return None
    try:
        usage, _ = _DECODER.raw_decode(text[at + len(_USAGE) :][:_LONGEST].decode(errors="replace").lstrip())
    except ValueError:
        return None
    if not isinstance(usage, Mapping):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    return TokenUsage(
        prompt=_count(usage.get("prompt_tokens")),
        cached=_count(cached),
        completion=_count(usage.get("completion_tokens")),
    )


def texts_in(body: bytes) -> dict[int, str]:
    """The replies of a whole response by their index, calls of tools included; none where it is no response."""
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return _texts([document], "message")


def texts_in_events(events: Iterable[bytes]) -> dict[int, str]:
    """The same of a stream."""
    return _texts((body for event in events if (body := object_in(event)) is not None), "delta")


def _texts(bodies: Iterable[Any], part: str) -> dict[int, str]:
    texts: dict[int, list[str]] = {}
    for body in bodies:
        choices = body.get("choices") if isinstance(body, Mapping) else None
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, Mapping):
                said = texts.setdefault(_count(choice.get("index")), [])
                said += _said(choice, choice.get(part))
    return {index: "".join(said) for index, said in sorted(texts.items())}


def _said(choice: Mapping[str, Any], message: object) -> Iterable[str]:
    """A chat's content and calls, or a completion's text."""
    if isinstance(choice.get("text"), str):
        yield choice["text"]
    if not isinstance(message, Mapping):
        return
    if isinstance(message.get("content"), str):
        yield message["content"]
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            yield from (function[name] for name in ("name", "arguments") if isinstance(function.get(name), str))


def _count(value: object) -> int:
    return value if type(value) is int and value >= 0 else 0

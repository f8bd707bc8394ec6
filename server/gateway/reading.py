"""A request as classifiers and scorers read it: every text in it that a model may come to see.

The body is vLLM's and may hold what nobody here knows. What is not understood counts as text, and what is no text, an
image for one, makes the request unreadable: whoever decides by what was read must not decide that it is harmless.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from classifiers.base import Conversation
from server.api.completions.wire import PROMPTS_LIMIT
from server.engines.tool_text import Turn
from server.errors import InvalidRequestError
from server.gateway.body import GatewayBody
from server.generation.readings import conversation_of, conversations_of

TEXT_PARTS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "thinking": "thinking",
}
"""Kinds of parts that are text, and where it stands."""

_ROLES = {"developer": "system", "function": "tool"}
_TURN = frozenset({"role", "content", "tool_calls", "tool_call_id"})
_NEVER_SEEN = frozenset(
    {
        *("stop", "tool_choice", "reasoning_effort", "verbosity", "service_tier", "metadata", "store", "modalities"),
        *("safety_identifier", "prompt_cache_key", "prompt_cache_retention", "request_id", "session_id"),
        *("cache_salt", "kv_transfer_params", "ec_transfer_params", "truncation_side", "mm_payload"),
        *("media_io_kwargs", "mm_processor_kwargs", "bad_words"),
    }
)
"""Fields of texts that no model reads."""

_NO_TEXT = frozenset({"prompt_embeds", "multi_modal_data", "audio"})
"""Fields that a model reads and that are no text."""

_NOTHING: Conversation = ({"role": "user", "content": ""},)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read of one request."""

    conversations: tuple[Conversation, ...]
    """To be classified."""
    prompts: tuple[Conversation, ...]
    """Each prompt as scorers read it."""
    whole: bool
    """Whether it is everything that the model will see."""


Detokenise = Callable[[Sequence[int]], Awaitable[str | None]]
"""The text of token ids; None where it cannot be had."""


def read_chat(body: GatewayBody) -> Reading:
    """A chat. A shape that vLLM itself will refuse is read as far as it goes."""
    turns: list[Turn] = []
    whole = _all_text(body)
    messages = body.messages if isinstance(body.messages, list) else []
    for message in messages:
        if not isinstance(message, Mapping):
            whole = False
            continue
        text, understood = _content(message)
        whole = whole and understood
        turns.append(_turn(message, text))
    if not turns:
        return Reading(conversations=(_NOTHING,), prompts=(_NOTHING,), whole=False)
    found = conversations_of(turns, _rest(body), None)
    return Reading(conversations=found, prompts=found[:1], whole=whole)


async def read_prompts(body: GatewayBody, detokenise: Detokenise) -> Reading:
    """Prompts of a text completion: one text or several, or token ids, whose text vLLM knows.

    Raises:
        InvalidRequestError: more prompts than are read.
    """
    prompts = _prompts(body.prompt)
    if len(prompts) > PROMPTS_LIMIT:
        raise InvalidRequestError(
            f"prompt has {len(prompts)} prompts; wanted at most {PROMPTS_LIMIT}", param="prompt", code="invalid_value"
        )
    texts = [prompt if isinstance(prompt, str) else await detokenise(prompt) for prompt in prompts]
    turns = [({"role": "user", "content": text or ""},) for text in texts]
    read = tuple(conversation_of(turn, _rest(body), None) for turn in turns) or (_NOTHING,)
    whole = _all_text(body) and bool(texts) and None not in texts
    return Reading(conversations=read, prompts=read, whole=whole)


def _prompts(value: object) -> list[str | list[int]]:
    """All shapes as a list of prompts; those that are none of them are left out."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        return []
    if value and all(type(item) is int for item in value):
        return [value]
    return [item for item in value if isinstance(item, str) or _is_tokens(item)]


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


def _all_text(body: GatewayBody) -> bool:
    others = body.others()
    prompts = body.prompt if isinstance(body.prompt, list) else []
    odd = any(not (isinstance(p, str | int) or _is_tokens(p)) for p in prompts)
    return not odd and all(others.get(name) is None for name in _NO_TEXT)


def _rest(body: GatewayBody) -> Sequence[Mapping[str, Any]]:
    """What else may reach the model: tools, schemas, documents, templates, and fields that nobody here knows."""
    rest = {name: value for name, value in body.others().items() if name not in _NEVER_SEEN | _NO_TEXT}
    return [rest] if any(isinstance(value, str | list | Mapping) for value in rest.values()) else []


def _turn(message: Mapping[str, Any], text: str) -> Turn:
    role = str(message.get("role", "user"))
    turn: dict[str, Any] = {"role": _ROLES.get(role, role), "content": text}
    if turn["role"] not in ("system", "user", "assistant", "tool"):
        turn["role"] = "user"
    calls = message.get("tool_calls")
    if turn["role"] == "assistant" and isinstance(calls, list):
        turn["tool_calls"] = [{"function": _called(call)} for call in calls]
    return turn


def _called(call: object) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        return {"name": "", "arguments": call}
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    return {"name": function.get("name", ""), "arguments": arguments}


def _content(message: Mapping[str, Any]) -> tuple[str, bool]:
    """A message's text, and whether that is all of it."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [] if content is None else [content]
    found = [_part(part) for part in parts]
    said = "".join(text for text in found if text is not None)
    others = [text for name, value in message.items() if name not in _TURN for text in _texts(value)]
    return "\n".join([said, *others]) if others else said, None not in found


def _part(part: object) -> str | None:
    """A part's text; None for what is none."""
    if isinstance(part, Mapping):
        kind = part.get("type", "text")
        part = part.get(TEXT_PARTS[kind]) if isinstance(kind, str) and kind in TEXT_PARTS else None
    return part if isinstance(part, str) else None


def _texts(value: object) -> Iterator[str]:
    """Every text in a value."""
    stack = [value]
    while stack:
        inner = stack.pop()
        if isinstance(inner, str):
            yield inner
        elif isinstance(inner, Mapping):
            stack.extend(inner.values())
        elif isinstance(inner, list):
            stack.extend(inner)

"""Tools as plain text: for chat templates that know none, and for whoever reads a conversation as text.

The form of a call is the one that replies are kept in (`server.engines.grammars`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from server.engines.grammars import CALL_ARGUMENTS, CALL_END, CALL_NAME, CALL_SEPARATOR, CALL_TRIGGER

Turn: TypeAlias = Mapping[str, Any]
"""`role` and `content` as text; an assistant's may have `tool_calls`, whose arguments are objects."""
Tool: TypeAlias = Mapping[str, Any]
"""A function in OpenAI's shape: `type` and `function` with `name`, `description`, `parameters`."""

ANSWER_OPENING, ANSWER_END = "<tool_response>\n", "\n</tool_response>"
"""Around the result of a call, in a user's turn."""

_INTRODUCTION = "You can call these functions. Each is given as JSON, with the schema of its arguments."
_HOW = (
    "To call a function, end your reply with a call in exactly this form; its result follows in the next turn:\n"
    + CALL_TRIGGER
    + CALL_NAME
    + "NAME"
    + CALL_ARGUMENTS
    + "{...}"
    + CALL_END
)


def has_tools(turns: Sequence[Turn], tools: Sequence[Tool]) -> bool:
    """Whether a conversation needs more than plain turns."""
    return bool(tools) or any(turn["role"] == "tool" or turn.get("tool_calls") for turn in turns)


def call_text(call: Mapping[str, Any]) -> str:
    """A call as the model writes it."""
    function = call["function"]
    arguments = json.dumps(function["arguments"], ensure_ascii=False)
    return CALL_TRIGGER + CALL_NAME + str(function["name"]) + CALL_ARGUMENTS + arguments + CALL_END


def assistant_text(turn: Turn) -> str:
    """What an assistant said, calls included."""
    calls = CALL_SEPARATOR.join(call_text(call) for call in turn.get("tool_calls") or ())
    content = str(turn["content"])
    return f"{content}\n{calls}" if content and calls else content or calls


def plain_turns(turns: Sequence[Turn], tools: Sequence[Tool]) -> list[dict[str, str]]:
    """A conversation in `system`, `user` and `assistant` turns.

    Tools are described at the end of the system prompt, results of calls are in the user's turn, and no two user's
    turns follow each other because of them.
    """
    plain: list[dict[str, str]] = []
    joins = False
    for turn in turns:
        role, content = str(turn["role"]), str(turn["content"])
        if role == "assistant":
            content = assistant_text(turn)
        if role == "tool":
            role, content = "user", ANSWER_OPENING + content + ANSWER_END
        if role == "user" and plain and plain[-1]["role"] == "user" and (joins or turn["role"] == "tool"):
            plain[-1]["content"] += "\n" + content
        else:
            plain.append({"role": role, "content": content})
        joins = role == "user" and (turn["role"] == "tool" or joins)
    if tools:
        _describe(plain, tools)
    return plain


def _describe(plain: list[dict[str, str]], tools: Sequence[Tool]) -> None:
    functions = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    text = f"{_INTRODUCTION}\n{functions}\n{_HOW}"
    if plain and plain[0]["role"] == "system":
        plain[0]["content"] = "\n\n".join(part for part in (plain[0]["content"], text) if part)
    else:
        plain.insert(0, {"role": "system", "content": text})

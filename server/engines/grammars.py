"""What a reply has to be, as values that every engine reads.

A grammar says which texts are whole replies. Engines compile it for their model's vocabulary; the form in which a
function is called is the same for all models, so that what reads replies needs to know one form only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

ANY_OBJECT = '{"type":"object"}'
"""The schema of any JSON object."""

CALL_TRIGGER = "<tool_call>"
"""What begins a call, and is in no text that is not one."""
CALL_NAME = '\n{"name": "'
CALL_ARGUMENTS = '", "arguments": '
CALL_END = "}\n</tool_call>"
"""Cannot be inside of arguments: JSON's strings have no line breaks, and grammars put none between values."""
CALL_SEPARATOR = "\n"
"""Between two calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonGrammar:
    """One JSON value, without line breaks, and with at most one space after each comma and colon."""

    schema: str
    """A JSON Schema, as JSON."""
    param: str | None = field(default=None, compare=False)
    """Of the request, for messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegexGrammar:
    """Text that matches a regular expression as a whole."""

    pattern: str
    param: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """What may be called."""

    name: str
    """Letters, digits, `_` and `-`."""
    schema: str
    """JSON Schema of the arguments, as JSON."""


@dataclass(frozen=True, slots=True)
class FreeText:
    """Any text without `CALL_TRIGGER`, or such a text and then calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallGrammar:
    """Calls of functions; or, where `otherwise` allows, something else.

    A call is `CALL_TRIGGER CALL_NAME name CALL_ARGUMENTS arguments CALL_END`; nothing follows the last one.
    """

    functions: tuple[Function, ...]
    """At least one."""
    otherwise: FreeText | JsonGrammar | None = None
    """What a reply may be instead; None where it has to be a call."""
    parallel: bool = True
    """Whether there may be several calls."""
    param: str | None = field(default=None, compare=False)


Grammar: TypeAlias = JsonGrammar | RegexGrammar | CallGrammar

"""The body of a moderation request."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from server.api.wire import Wire, WithoutEffect
from server.errors import UnknownModelError

TEXTS_LIMIT = 1024
"""Strings, or parts of a text, in one request."""

CURRENT = ("omni-moderation-latest", "text-moderation-latest", "text-moderation-stable")
"""Names of OpenAI's that stand for whichever classifier is current; here that is the loaded one."""


class ModerationPart(Wire):
    """A piece of a text."""

    type: Literal["text"]
    """Images are not read."""
    text: str
    """The text."""


def _inputs(value: object) -> object:
    inputs = [value] if isinstance(value, str) else value
    if not isinstance(inputs, list) or not inputs:
        raise PydanticCustomError("input", "wanted a string, a list of strings, or a list of text parts")
    return inputs


def _sort(inputs: list[object]) -> str:
    """The first decides; a mixture is refused, because its results could not be told apart."""
    return "strings" if isinstance(inputs[0], str) else "parts"


_Length = Field(max_length=TEXTS_LIMIT)
Inputs: TypeAlias = Annotated[
    Annotated[list[str], _Length, Tag("strings")] | Annotated[list[ModerationPart], _Length, Tag("parts")],
    Discriminator(_sort),
    BeforeValidator(_inputs, json_schema_input_type=str | list[str] | list[ModerationPart]),
]


class ModerationRequest(Wire):
    """The body of POST /v1/moderations."""

    input: Inputs
    """A string or a list of strings, each with a result of its own; or a list of parts of one text."""
    model: str | None = Field(default=None, max_length=256)
    """The loaded classifier's name, or a name that stands for the current one."""
    user: WithoutEffect = None

    def texts(self) -> list[str]:
        """What to judge: parts are put together as in a message of a chat."""
        strings = [item for item in self.input if isinstance(item, str)]
        return strings or ["".join(part.text for part in self.input if isinstance(part, ModerationPart))]

    def check_model(self, loaded: str) -> None:
        """Refuse to answer for a classifier that is not here.

        Raises:
            UnknownModelError: the request names another one than `loaded`.
        """
        if self.model is None or self.model == loaded or self.model in CURRENT:
            return
        raise UnknownModelError(
            f"the classifier {self.model!r} is not loaded here; wanted {', '.join((loaded, *CURRENT))}, or no model",
            param="model",
            code="model_not_found",
        )

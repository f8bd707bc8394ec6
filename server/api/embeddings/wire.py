"""The body of an embeddings request."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from server.api.wire import Wire, WithoutEffect
from server.errors import InvalidRequestError, UnknownModelError

TEXTS_LIMIT = 1024
"""Strings in one request."""


def _texts(value: object) -> object:
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and texts and isinstance(texts[0], int | list):
        raise PydanticCustomError("tokens", "token ids are not read; wanted a string or a list of strings")
    if not isinstance(texts, list) or not texts:
        raise PydanticCustomError("input", "wanted a string or a list of strings")
    return texts


Texts: TypeAlias = Annotated[
    list[str], Field(max_length=TEXTS_LIMIT), BeforeValidator(_texts, json_schema_input_type=str | list[str])
]


class EmbeddingRequest(Wire):
    """The body of POST /v1/embeddings."""

    input: Texts
    """A string or a list of strings, each with a vector of its own."""
    model: str = Field(max_length=256)
    """The loaded encoder's name."""
    encoding_format: Literal["float", "base64"] = "float"
    """Vectors as lists of numbers, or as base64 of their little-endian 32-bit floats."""
    dimensions: int | None = None
    """The encoder's own number, or nothing: vectors are not cut."""
    user: WithoutEffect = None

    def check(self, loaded: str, d_model: int) -> None:
        """Refuse to answer for an encoder that is not here, or with other vectors than it has.

        Raises:
            UnknownModelError: the request names another one than `loaded`.
            InvalidRequestError: it asks for other dimensions than `d_model`.
        """
        if self.model != loaded:
            raise UnknownModelError(
                f"the encoder {self.model!r} is not loaded here; wanted {loaded}",
                param="model",
                code="model_not_found",
            )
        if self.dimensions not in (None, d_model):
            raise InvalidRequestError(
                f"dimensions is {self.dimensions}; the vectors of {loaded} have {d_model}, and are not cut",
                param="dimensions",
                code="unsupported_parameter",
            )

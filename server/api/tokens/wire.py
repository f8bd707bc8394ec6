"""The bodies of requests and answers about tokens."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from server.api.chat.wire import MESSAGES_LIMIT, Message
from server.api.wire import Wire, is_token_number, only
from server.generation.command import ChatPrompt, TextPrompt


def _token_ids(value: object) -> object:
    if isinstance(value, list) and all(map(is_token_number, value)):
        return value
    raise PydanticCustomError("tokens", "wanted a list of token ids")


class TokenizeRequest(Wire):
    """The body of POST /tokenize."""

    model: str | None = Field(default=None, max_length=256)
    """A name from `/v1/models`; null: the one that is served."""
    prompt: str | None = None
    """Text; or else `messages`."""
    messages: list[Message] | None = Field(default=None, min_length=1, max_length=MESSAGES_LIMIT)
    """A conversation, which is put through the model's chat template."""
    add_special_tokens: bool | None = None
    """Put before a `prompt` what the model expects before a text, as `/v1/completions` does; null means true. For
    `messages` the template decides, and only null is accepted."""
    return_token_strs: bool | None = None
    """Say what each token stands for as well."""
    add_generation_prompt: Annotated[Any, only(True)] = None
    continue_final_message: Annotated[Any, only(False)] = None

    @model_validator(mode="after")
    def _fields_agree(self) -> TokenizeRequest:
        if (self.prompt is None) == (self.messages is None):
            raise PydanticCustomError("prompt", "prompt, messages: wanted one of them")
        if self.messages is not None and self.add_special_tokens is not None:
            raise PydanticCustomError(
                "add_special_tokens", "add_special_tokens: with messages the chat template decides; leave it out"
            )
        return self

    def asked(self) -> TextPrompt | ChatPrompt:
        """What to tokenise."""
        if self.messages is not None:
            return ChatPrompt(tuple(message.turn() for message in self.messages))
        return TextPrompt(self.prompt or "")


class DetokenizeRequest(Wire):
    """The body of POST /detokenize."""

    model: str | None = Field(default=None, max_length=256)
    """A name from `/v1/models`; null: the one that is served."""
    tokens: Annotated[list[int], BeforeValidator(_token_ids, json_schema_input_type=list[int])]
    """Token ids."""


class Tokenized(BaseModel):
    """The answer of POST /tokenize."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    count: int
    """How many."""
    max_model_len: int
    """Prompt and reply together, in tokens."""
    tokens: list[int]
    """Their ids."""
    token_strs: list[str] | None = None
    """Text of each token; null unless asked for."""


class Detokenized(BaseModel):
    """The answer of POST /detokenize."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    prompt: str
    """Text, control tokens left out."""

"""The body of a response of the Responses API, which is also what its stream's first and last events carry."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from server.api.chat.answers import TokenLogprobs
from server.api.usage import TokenCounts
from server.generation.report import Report


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class InputTokensDetails(_Answer):
    """What became of the prompt's tokens."""

    cached_tokens: int
    """Those that an earlier request had processed."""


class OutputTokensDetails(_Answer):
    """What the reply's tokens were."""

    reasoning_tokens: int = 0
    """Always 0: models here do not reason apart from their reply."""


class ResponseUsage(_Answer):
    """Tokens."""

    input_tokens: int
    """Of the prompt."""
    input_tokens_details: InputTokensDetails
    """What became of them."""
    output_tokens: int
    """Of the reply, the one that ended it included."""
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()
    """What they were."""
    total_tokens: int
    """Both."""

    @classmethod
    def of(cls, counts: TokenCounts) -> ResponseUsage:
        """With their sum."""
        return cls(
            input_tokens=counts.prompt,
            input_tokens_details=InputTokensDetails(cached_tokens=counts.cached),
            output_tokens=counts.completion,
            total_tokens=counts.prompt + counts.completion,
        )


Progress = Literal["in_progress", "completed", "incomplete"]


class OutputText(_Answer):
    """The text of a reply."""

    type: Literal["output_text"] = "output_text"
    """What this is."""
    text: str
    """The text."""
    annotations: tuple[()] = ()
    """Always empty."""
    logprobs: tuple[TokenLogprobs, ...] = ()
    """Empty unless asked for."""


class OutputMessage(_Answer):
    """The reply."""

    type: Literal["message"] = "message"
    """What this is."""
    id: str
    """`msg_` and the request's id."""
    role: Literal["assistant"] = "assistant"
    """Whose turn it is."""
    status: Progress
    """`incomplete` where the reply reached its limit."""
    content: tuple[OutputText, ...]
    """Its text, as one part; none yet in a stream's first events."""


class IncompleteDetails(_Answer):
    """Why a reply is not whole."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"
    """Also where the reply filled the model's context first."""


class FailureDetails(_Answer):
    """Why there is no reply."""

    code: Literal["server_error"] = "server_error"
    """Always this."""
    message: str
    """What went wrong, as far as it is the client's business."""


class TextFormat(_Answer):
    """What the text is."""

    type: Literal["text"] = "text"
    """Always this."""


class TextAnswer(_Answer):
    """The same, as OpenAI nests it."""

    format: TextFormat = TextFormat()
    """Always plain text."""


class ResponseObject(_Answer):
    """A response, at any point of its way."""

    id: str
    """`resp_` and the request's id."""
    object: Literal["response"] = "response"
    """What this is."""
    created_at: int
    """Seconds since the epoch."""
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    """`in_progress` and `failed` in streams only."""
    error: FailureDetails | None = None
    """With `failed`."""
    incomplete_details: IncompleteDetails | None = None
    """With `incomplete`."""
    model: str
    """As the request named it."""
    output: tuple[OutputMessage, ...] = ()
    """The reply, as one message; empty while it is in progress, and where it failed."""
    usage: ResponseUsage | None = None
    """Tokens; null while the response is in progress, and where it failed."""
    scalpel: Report | None
    """So far while the response is in progress, else finally; null only where it failed before it began."""

    instructions: str | None
    """As the request says, or its default."""
    max_output_tokens: int | None
    """As the request says, or its default."""
    temperature: float
    """As the request says, or its default."""
    top_p: float
    """As the request says, or its default."""
    top_logprobs: int
    """As the request says, or its default."""
    metadata: dict[str, str]
    """As the request says."""
    parallel_tool_calls: bool
    """As the request says; without meaning here."""
    tool_choice: Literal["auto", "none"]
    """As the request says; without meaning here."""
    text: TextAnswer = TextAnswer()
    """What the text is."""
    tools: tuple[()] = ()
    """Always this."""
    truncation: Literal["disabled"] = "disabled"
    """Always this."""
    background: Literal[False] = False
    """Always this."""
    store: Literal[False] = False
    """Nothing is stored, whatever the request says."""
    previous_response_id: None = None
    """Always this."""
    reasoning: dict[str, Any] = {"effort": None, "summary": None}
    """Always this."""

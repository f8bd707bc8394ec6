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
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()
    total_tokens: int

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
    text: str
    annotations: tuple[()] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()
    """Empty unless asked for."""


class OutputMessage(_Answer):
    """The reply."""

    type: Literal["message"] = "message"
    id: str
    role: Literal["assistant"] = "assistant"
    status: Progress
    content: tuple[OutputText, ...]


class IncompleteDetails(_Answer):
    """Why a reply is not whole."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"
    """Also where the reply filled the model's context first."""


class FailureDetails(_Answer):
    """Why there is no reply."""

    code: Literal["server_error"] = "server_error"
    message: str


class TextFormat(_Answer):
    """What the text is."""

    type: Literal["text"] = "text"


class TextAnswer(_Answer):
    """The same, as OpenAI nests it."""

    format: TextFormat = TextFormat()


class ResponseObject(_Answer):
    """A response, at any point of its way."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    """Seconds since the epoch."""
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    error: FailureDetails | None = None
    incomplete_details: IncompleteDetails | None = None
    model: str
    output: tuple[OutputMessage, ...] = ()
    usage: ResponseUsage | None = None
    scalpel: Report | None
    """So far while the response is in progress, else finally; null only where it failed before it began."""

    instructions: str | None
    max_output_tokens: int | None
    temperature: float
    top_p: float
    top_logprobs: int
    metadata: dict[str, str]
    parallel_tool_calls: bool
    tool_choice: Literal["auto", "none"]
    text: TextAnswer = TextAnswer()
    tools: tuple[()] = ()
    truncation: Literal["disabled"] = "disabled"
    background: Literal[False] = False
    store: Literal[False] = False
    """Nothing is stored, whatever the request says."""
    previous_response_id: None = None
    reasoning: dict[str, Any] = {"effort": None, "summary": None}

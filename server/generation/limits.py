"""What an operator lets one request take, beyond what the model has room for."""

from __future__ import annotations

from dataclasses import dataclass

from server.errors import ContextLengthError, InvalidRequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationLimits:
    """None is no limit."""

    max_tokens: int | None = None
    """Of each reply."""
    max_prompt_tokens: int | None = None
    request_seconds: float | None = None
    """From the request's arrival to its last piece."""

    def check(self, *, prompt_tokens: int, max_tokens: int | None) -> None:
        """Refuse what asks for more.

        Raises:
            InvalidRequestError: naming what was found and the limit.
        """
        if self.max_prompt_tokens is not None and prompt_tokens > self.max_prompt_tokens:
            raise ContextLengthError(
                f"the prompt has {prompt_tokens} tokens; this server takes {self.max_prompt_tokens}",
                param="messages",
                code="prompt_too_long",
            )
        if self.max_tokens is not None and max_tokens is not None and max_tokens > self.max_tokens:
            raise InvalidRequestError(
                f"max_tokens is {max_tokens}; wanted at most {self.max_tokens} on this server",
                param="max_tokens",
                code="invalid_value",
            )

    def reply_room(self, room: int) -> int:
        """Tokens of a reply where the model has room for `room`."""
        return room if self.max_tokens is None else min(room, self.max_tokens)


NO_LIMITS = GenerationLimits()

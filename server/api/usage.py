"""Counts of tokens, as every API reports them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Tokens of one request, all its prompts and replies together."""

    prompt: int
    completion: int
    cached: int
    """Prompt tokens that an earlier request had processed."""


class PromptTokensDetails(BaseModel):
    """What became of the prompt's tokens."""

    model_config = ConfigDict(frozen=True)

    cached_tokens: int
    """Those that an earlier request had processed."""


class Usage(BaseModel):
    """Tokens."""

    model_config = ConfigDict(frozen=True)

    prompt_tokens: int
    """Of all prompts."""
    completion_tokens: int
    """Of all replies, those that ended them included."""
    total_tokens: int
    """Both."""
    prompt_tokens_details: PromptTokensDetails
    """What became of the prompts' tokens."""

    @classmethod
    def of(cls, counts: TokenCounts) -> Usage:
        """With their sum."""
        return cls(
            prompt_tokens=counts.prompt,
            completion_tokens=counts.completion,
            total_tokens=counts.prompt + counts.completion,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=counts.cached),
        )

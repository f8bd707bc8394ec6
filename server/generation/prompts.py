"""Prompts: from what a caller sent to token ids, and to the conversation that classifiers and scorers read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from classifiers.base import Conversation
from server.engines.base import Engine
from server.engines.grammars import Grammar
from server.engines.tool_text import has_tools
from server.errors import InvalidRequestError
from server.generation.command import ChatPrompt, Prompt, TextPrompt
from server.generation.readings import conversations_of

LONG_PROMPT = 8192
"""Characters, or tokens, from which a prompt is tokenised off the event loop."""

Read = TypeVar("Read")


class PromptReader:
    """Reads prompts with an engine's tokenizer."""

    def __init__(self, engine: Engine) -> None:
        self._tokenizer = engine.tokenizer
        self._vocab = engine.info.vocab

    async def token_ids(self, prompt: Prompt) -> Sequence[int]:
        """The prompt's tokens.

        Raises:
            InvalidRequestError: a token id that the model does not have, or no token at all.
        """
        found = await self._token_ids(prompt)
        if not found:
            param = prompt.parameter if isinstance(prompt, ChatPrompt) else "prompt"
            raise InvalidRequestError(
                "the prompt has no tokens; wanted at least one", param=param, code="invalid_value"
            )
        return found

    async def _token_ids(self, prompt: Prompt) -> Sequence[int]:
        if isinstance(prompt, ChatPrompt):
            messages, tools = prompt.messages, prompt.tools
            size = sum(len(message["content"]) for message in messages)
            if has_tools(messages, tools):
                return await asyncio.to_thread(self._tokenizer.encode_chat, messages, tools)
            return await _off_loop(size, lambda: self._tokenizer.encode_chat(messages))
        if isinstance(prompt, TextPrompt):
            return await _off_loop(len(prompt.text), lambda: self._tokenizer.encode(prompt.text))
        self._check(prompt.token_ids, "prompt")
        return prompt.token_ids

    async def conversations(self, prompt: Prompt, grammar: Grammar | None) -> tuple[Conversation, ...]:
        """The prompt as conversations to classify, the first one being all of it: plain text is one turn of the
        user's.

        Raises:
            InvalidRequestError: a token id that the model does not have.
        """
        if isinstance(prompt, ChatPrompt):
            return conversations_of(prompt.messages, prompt.tools, grammar)
        text = prompt.text if isinstance(prompt, TextPrompt) else await self.text(prompt.token_ids)
        return conversations_of(({"role": "user", "content": text},), (), grammar)

    async def text(self, token_ids: Sequence[int], *, param: str = "prompt") -> str:
        """What token ids say, control tokens left out.

        Raises:
            InvalidRequestError: a token id that the model does not have; `param` names the field that holds it.
        """
        self._check(token_ids, param)
        return await _off_loop(len(token_ids), lambda: self._tokenizer.decode(token_ids))

    def _check(self, token_ids: Sequence[int], param: str) -> None:
        bad = next((token_id for token_id in token_ids if not 0 <= token_id < self._vocab), None)
        if bad is not None:
            raise InvalidRequestError(
                f"{param} holds token {bad}; wanted 0 to {self._vocab - 1}", param=param, code="invalid_value"
            )


async def _off_loop(size: int, read: Callable[[], Read]) -> Read:
    return read() if size < LONG_PROMPT else await asyncio.to_thread(read)

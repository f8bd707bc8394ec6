"""The routes: text to the token ids that the model would get, and back."""

from __future__ import annotations

from fastapi import APIRouter, Request

from server.api.body import read_wire
from server.api.description import body_of
from server.api.tokens.wire import Detokenized, DetokenizeRequest, Tokenized, TokenizeRequest
from server.engines.base import Engine
from server.generation.prompts import PromptReader
from server.policy.profiles import ServedNames


def tokens_router(engine: Engine, names: ServedNames, body_limit: int) -> APIRouter:
    """The tokens area.

    Args:
        engine: has the tokenizer.
        names: that requests may use.
        body_limit: bytes of a request.
    """
    router = APIRouter(tags=["tokens"])
    prompts, tokenizer = PromptReader(engine), engine.tokenizer

    @router.post("/tokenize", openapi_extra=body_of(TokenizeRequest))
    async def tokenize(request: Request) -> Tokenized:
        """The token ids that a prompt or a conversation becomes."""
        wire = await read_wire(request, TokenizeRequest, body_limit)
        _check_model(names, wire.model)
        # A text may have no tokens; a prompt may not.
        empty = wire.prompt == ""
        token_ids = list(tokenizer.encode("") if empty else await prompts.token_ids(wire.asked()))
        if wire.add_special_tokens is False:
            # What stands before no text stands before every text.
            token_ids = token_ids[len(tokenizer.encode("")) :]
        return Tokenized(
            count=len(token_ids),
            max_model_len=engine.info.max_model_len,
            tokens=token_ids,
            token_strs=[tokenizer.piece(t).text for t in token_ids] if wire.return_token_strs else None,
        )

    @router.post("/detokenize", openapi_extra=body_of(DetokenizeRequest))
    async def detokenize(request: Request) -> Detokenized:
        """The text that token ids stand for."""
        wire = await read_wire(request, DetokenizeRequest, body_limit)
        _check_model(names, wire.model)
        return Detokenized(prompt=await prompts.text(wire.tokens, param="tokens"))

    return router


def _check_model(names: ServedNames, model: str | None) -> None:
    if model is not None:
        names.profile(model)

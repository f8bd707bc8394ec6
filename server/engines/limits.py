"""What a request may ask for whatever bundles are loaded: lengths, tokens, the ranges of sampling parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from server.engines.base import GenerationRequest, RequestRefusedError, SamplingParams

PENALTY_LIMIT = 2.0
"""Of presence and frequency penalties, either way, as in OpenAI's API."""

BIAS_LIMIT = 100.0
"""Of a logit's bias, either way, as in OpenAI's API."""

TOP_LOGPROBS_LIMIT = 20
"""As in OpenAI's API."""

REPETITION_LEAST, REPETITION_MOST = 0.01, 100.0
"""Of the repetition penalty: beyond these, logits leave what float32 can hold."""


def check_request(request: GenerationRequest, *, max_model_len: int, vocab: int) -> None:
    """Refuse what no plan could make runnable.

    Args:
        request: what the caller asked for.
        max_model_len: prompt and reply together, in tokens.
        vocab: token ids below this exist.

    Raises:
        RequestRefusedError: the message names what was found and what was wanted.
    """
    prompt, sampling = request.prompt_token_ids, request.sampling
    # Where there is a reply, it needs room for one token at least.
    longest = max_model_len if sampling.max_tokens == 0 else max_model_len - 1
    if not 0 < len(prompt) <= longest:
        raise RequestRefusedError(
            f"the prompt has {len(prompt)} tokens; wanted 1 to {longest} "
            f"(this model holds {max_model_len}, the reply included)"
        )
    check_tokens(prompt, "prompt", vocab=vocab)
    check_sampling(sampling, vocab=vocab)
    room = max_model_len - len(prompt)
    if sampling.min_tokens > room:
        raise RequestRefusedError(
            f"min_tokens is {sampling.min_tokens}; this prompt leaves room for {room}", param="min_tokens"
        )
    start = request.generation_start
    if start is not None and not 0 <= start < len(prompt):
        raise RequestRefusedError(f"generation_start is {start}; wanted 0 to {len(prompt) - 1}")


def check_tokens(token_ids: Sequence[int], what: str, *, vocab: int) -> None:
    """Refuse token ids that the model does not have.

    Raises:
        RequestRefusedError: naming `what` they are.
    """
    if min(token_ids) < 0 or max(token_ids) >= vocab:
        raise RequestRefusedError(f"the {what} has token ids outside 0 to {vocab - 1}")


def check_sampling(params: SamplingParams, *, vocab: int) -> None:
    """Refuse what cannot be sampled.

    Args:
        params: what the caller asked for.
        vocab: token ids below this exist.

    Raises:
        RequestRefusedError: a parameter is out of range; the message names it, what was found and what was wanted.
    """
    for name, sound, wanted in _lengths(params):
        _require(params, name, sound, wanted)
    for name, sound, wanted in _numbers(params):
        _require(params, name, sound, wanted)
    if params.grammar is not None and params.ignore_eos:
        raise RequestRefusedError(
            "ignore_eos cannot be used with a grammar: what matches it has an end", param="ignore_eos"
        )
    if any(not stop for stop in params.stop):
        raise RequestRefusedError("a stop string is empty; wanted at least one character", param="stop")
    for token_id, bias in params.logit_bias.items():
        if not 0 <= token_id < vocab:
            raise RequestRefusedError(
                f"logit_bias names token {token_id}; wanted 0 to {vocab - 1}", param="logit_bias"
            )
        if not abs(bias) <= BIAS_LIMIT:
            raise RequestRefusedError(
                f"logit_bias of token {token_id} is {bias}; wanted {-BIAS_LIMIT:g} to {BIAS_LIMIT:g}",
                param="logit_bias",
            )


def _require(params: SamplingParams, name: str, sound: bool, wanted: str) -> None:
    if not sound:
        raise RequestRefusedError(f"{name} is {getattr(params, name)}; wanted {wanted}", param=name)


def _lengths(params: SamplingParams) -> Iterator[tuple[str, bool, str]]:
    """Name, whether it is in range, and the range."""
    scoring = params.prompt_logprobs is not None
    least = 0 if scoring else 1
    yield "max_tokens", params.max_tokens >= least, f"at least {least}"
    yield "min_tokens", 0 <= params.min_tokens <= params.max_tokens, f"0 to max_tokens ({params.max_tokens})"
    named = f"0 to {TOP_LOGPROBS_LIMIT}"
    yield "top_logprobs", 0 <= params.top_logprobs <= TOP_LOGPROBS_LIMIT, named
    yield "prompt_logprobs", 0 <= (params.prompt_logprobs or 0) <= TOP_LOGPROBS_LIMIT, named


def _numbers(params: SamplingParams) -> Iterator[tuple[str, bool, str]]:
    """Name, whether it is in range (a NaN never is), and the range."""
    temperature = params.temperature
    yield "temperature", math.isfinite(temperature) and temperature >= 0, "a finite number of at least 0"
    yield "top_k", params.top_k >= 0, "0 (no limit) or more"
    yield "top_p", 0 < params.top_p <= 1, "more than 0 and at most 1"
    yield "min_p", 0 <= params.min_p <= 1, "0 (no limit) to 1"
    either_way = f"{-PENALTY_LIMIT:g} to {PENALTY_LIMIT:g}"
    yield "presence_penalty", abs(params.presence_penalty) <= PENALTY_LIMIT, either_way
    yield "frequency_penalty", abs(params.frequency_penalty) <= PENALTY_LIMIT, either_way
    repetition = REPETITION_LEAST <= params.repetition_penalty <= REPETITION_MOST
    yield "repetition_penalty", repetition, f"{REPETITION_LEAST:g} to {REPETITION_MOST:g} (1: none)"

"""Requests as they travel: what a typed reader of bytes cannot tell apart gets a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeAlias

import msgspec

from breakers.plan import Plan
from server.engines.base import GenerationRequest, SamplingParams
from server.engines.grammars import CallGrammar, FreeText, Function, Grammar, JsonGrammar, RegexGrammar


class _Wire(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    pass


class WireJson(_Wire, tag="json", frozen=True, kw_only=True):
    """`JsonGrammar`."""

    schema: str
    param: str | None


class WireRegex(_Wire, tag="regex", frozen=True, kw_only=True):
    """`RegexGrammar`."""

    pattern: str
    param: str | None


class WireFree(_Wire, tag="free", frozen=True, kw_only=True):
    """`FreeText`."""


class WireCalls(_Wire, tag="calls", frozen=True, kw_only=True):
    """`CallGrammar`."""

    functions: tuple[Function, ...]
    otherwise: WireFree | WireJson | None
    parallel: bool
    param: str | None


WireGrammar: TypeAlias = WireJson | WireRegex | WireCalls


class WireSampling(_Wire, frozen=True, kw_only=True):
    """`SamplingParams`, field by field."""

    max_tokens: int
    min_tokens: int
    ignore_eos: bool
    stop: tuple[str, ...]
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    presence_penalty: float
    frequency_penalty: float
    repetition_penalty: float
    logit_bias: Mapping[int, float]
    seed: str | None
    """As text: it may have more than 64 bits."""
    top_logprobs: int
    prompt_logprobs: int | None
    grammar: WireGrammar | None


class WireRequest(_Wire, frozen=True, kw_only=True):
    """`GenerationRequest`."""

    request_id: str
    prompt_token_ids: tuple[int, ...]
    sampling: WireSampling
    plan: Plan
    generation_start: int | None
    bank_version: int


def wire_request(request: GenerationRequest) -> WireRequest:
    """A request, ready to be encoded."""
    sampling = _fields(request.sampling)
    seed, grammar = request.sampling.seed, request.sampling.grammar
    sampling["seed"] = None if seed is None else str(seed)
    sampling["grammar"] = None if grammar is None else _wire_grammar(grammar)
    return WireRequest(**_fields(request) | {"sampling": WireSampling(**sampling)})


def read_request(wire: WireRequest) -> GenerationRequest:
    """The request again."""
    sampling = msgspec.structs.asdict(wire.sampling)
    sampling["seed"] = None if wire.sampling.seed is None else int(wire.sampling.seed)
    sampling["grammar"] = None if wire.sampling.grammar is None else _read_grammar(wire.sampling.grammar)
    return GenerationRequest(**msgspec.structs.asdict(wire) | {"sampling": SamplingParams(**sampling)})


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _wire_grammar(grammar: Grammar) -> WireGrammar:
    if isinstance(grammar, JsonGrammar):
        return WireJson(schema=grammar.schema, param=grammar.param)
    if isinstance(grammar, RegexGrammar):
        return WireRegex(pattern=grammar.pattern, param=grammar.param)
    otherwise: WireFree | WireJson | None = None
    if isinstance(grammar.otherwise, JsonGrammar):
        otherwise = WireJson(schema=grammar.otherwise.schema, param=grammar.otherwise.param)
    elif grammar.otherwise is not None:
        otherwise = WireFree()
    return WireCalls(functions=grammar.functions, otherwise=otherwise, parallel=grammar.parallel, param=grammar.param)


def _read_grammar(wire: WireGrammar) -> Grammar:
    if isinstance(wire, WireJson):
        return JsonGrammar(schema=wire.schema, param=wire.param)
    if isinstance(wire, WireRegex):
        return RegexGrammar(pattern=wire.pattern, param=wire.param)
    otherwise: FreeText | JsonGrammar | None = None
    if isinstance(wire.otherwise, WireJson):
        otherwise = JsonGrammar(schema=wire.otherwise.schema, param=wire.otherwise.param)
    elif wire.otherwise is not None:
        otherwise = FreeText()
    return CallGrammar(functions=wire.functions, otherwise=otherwise, parallel=wire.parallel, param=wire.param)

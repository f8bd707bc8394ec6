"""What is sent is what arrives, and what is no message is refused."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgspec
import pytest
import torch
from engine_contract import contract_bundles
from hypothesis import given
from hypothesis import strategies as st

from breakers.errors import BreakersError, NonFiniteError, SiteError, TracingError
from breakers.plan import AppliedStrength, Plan, Reason
from server.engines.apart.bundles import read_entry, wire_entry
from server.engines.apart.errors import ProtocolError
from server.engines.apart.failures import KNOWN, Failure
from server.engines.apart.frames import LENGTH
from server.engines.apart.messages import (
    Answer,
    Build,
    Bundle,
    Check,
    News,
    Submit,
    frame,
    read_order,
    read_telling,
)
from server.engines.apart.requests import WireRequest, WireSampling, read_request, wire_request
from server.engines.base import (
    EngineError,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    GrammarDeadEndError,
    RequestFailedError,
    RequestRefusedError,
    SamplingParams,
    ScoredToken,
    TokenLogprob,
)
from server.engines.checks import Canary, CheckResult, Verdict
from server.engines.embedded.errors import SelfCheckError
from server.engines.grammars import CallGrammar, FreeText, Function, Grammar, JsonGrammar, RegexGrammar

texts = st.text(max_size=8)
numbers = st.floats(allow_nan=False)
tokens = st.integers(0, 2**31)
params = st.none() | texts


def json_grammars() -> st.SearchStrategy[JsonGrammar]:
    return st.builds(JsonGrammar, schema=texts, param=params)


def grammars() -> st.SearchStrategy[Grammar]:
    functions = st.lists(st.builds(Function, name=texts, schema=texts), max_size=3).map(tuple)
    calls = st.builds(
        CallGrammar,
        functions=functions,
        otherwise=st.none() | st.just(FreeText()) | json_grammars(),
        parallel=st.booleans(),
        param=params,
    )
    return json_grammars() | st.builds(RegexGrammar, pattern=texts, param=params) | calls


def requests() -> st.SearchStrategy[GenerationRequest]:
    sampling = st.builds(
        SamplingParams,
        max_tokens=st.integers(0, 100),
        min_tokens=st.integers(0, 100),
        ignore_eos=st.booleans(),
        stop=st.lists(texts, max_size=3).map(tuple),
        temperature=numbers,
        top_p=numbers,
        logit_bias=st.dictionaries(tokens, numbers, max_size=3),
        seed=st.none() | st.integers(-(2**80), 2**80),
        prompt_logprobs=st.none() | st.integers(0, 20),
        grammar=st.none() | grammars(),
    )
    strengths = st.builds(
        AppliedStrength, strength=st.integers(0, 32).map(lambda n: n / 16), reason=st.sampled_from(Reason)
    )
    return st.builds(
        GenerationRequest,
        request_id=texts,
        prompt_token_ids=st.lists(tokens, max_size=5).map(tuple),
        sampling=sampling,
        plan=st.builds(Plan, st.dictionaries(texts, strengths, max_size=3)),
        generation_start=st.none() | st.integers(0, 9),
        bank_version=st.integers(0, 9),
    )


def chunks() -> st.SearchStrategy[GenerationChunk]:
    likely = st.lists(st.builds(TokenLogprob, tokens, numbers), max_size=3).map(tuple)
    return st.builds(
        GenerationChunk,
        text=texts,
        token_ids=st.lists(tokens, max_size=2).map(tuple),
        logprobs=st.lists(numbers, max_size=2).map(tuple),
        top_logprobs=st.lists(likely, max_size=2).map(tuple),
        prompt_logprobs=st.lists(
            st.builds(ScoredToken, token_id=tokens, logprob=numbers, top=likely), max_size=2
        ).map(tuple),
        finish_reason=st.none() | st.sampled_from(FinishReason),
        tokens_steered=st.integers(0, 99),
        cached_tokens=st.integers(0, 99),
    )


def body(message: Any) -> bytes:
    framed = bytes(frame(message))
    assert LENGTH.unpack_from(framed) == (len(framed) - LENGTH.size,)
    return framed[LENGTH.size :]


@given(requests(), st.integers(1, 2**40))
def test_requests_arrive_as_they_were(request: GenerationRequest, number: int) -> None:
    found = read_order(body(Submit(number=number, request=wire_request(request))))
    assert isinstance(found, Submit)
    assert found.number == number
    read = read_request(found.request)
    assert read == request
    # Equality leaves it out.
    grammar, wanted = read.sampling.grammar, request.sampling.grammar
    assert (grammar and grammar.param) == (wanted and wanted.param)
    if isinstance(grammar, CallGrammar) and isinstance(wanted, CallGrammar):
        assert repr(grammar.otherwise) == repr(wanted.otherwise)


@given(st.lists(st.tuples(st.integers(1, 99), chunks()), max_size=4).map(tuple), st.integers(0, 99))
def test_news_arrive_as_they_were(pieces: tuple[tuple[int, GenerationChunk], ...], steps: int) -> None:
    news = News(steps=steps, started=(3,), freed=(4, 5), chunks=pieces, failures=((7, Failure.of(EngineError("x"))),))
    assert read_telling(body(news)) == news


def test_a_field_that_is_added_has_to_be_sent_too() -> None:
    assert list(WireRequest.__struct_fields__) == [f.name for f in fields(GenerationRequest)]
    assert list(WireSampling.__struct_fields__) == [f.name for f in fields(SamplingParams)]


@pytest.mark.parametrize("model_type", ["llama", "mixtral"])
def test_bundles_arrive_as_they_were(model_type: str) -> None:
    for entry in contract_bundles(model_type):
        order = read_order(body(Bundle(entry=wire_entry(entry))))
        assert isinstance(order, Bundle)
        found = read_entry(order.entry)
        assert (found.name, found.scope, found.strength_max) == (entry.name, entry.scope, entry.strength_max)
        for got, wanted in zip(found.interventions, entry.interventions, strict=True):
            assert (type(got), got.site) == (type(wanted), wanted.site)
            for field in fields(wanted):
                value = getattr(wanted, field.name)
                if isinstance(value, torch.Tensor):
                    assert torch.equal(getattr(got, field.name), value)


def test_checks_arrive_as_they_were() -> None:
    canary = Canary(bundle="a", token_ids=(1, 2), logit_ids=(3,), change=(-0.5,), accepted=True)
    check = Check(call=1, canaries=(canary,), bank_version=2, whole=True)
    assert read_order(body(check)) == check
    result = CheckResult(name="batch", verdict=Verdict.ACCEPTED, detail="d", measured=None, limit=float("inf"))
    answer = Answer(call=1, results=(result,))
    assert read_telling(body(answer)) == answer


@pytest.mark.parametrize("kind", [kind for kind in KNOWN.values() if not issubclass(kind, RequestRefusedError)])
def test_errors_keep_their_kind_and_message(kind: type[Exception]) -> None:
    found = Failure.of(kind("it went wrong")).error()
    assert (type(found), str(found)) == (kind, "it went wrong")


def test_refusals_keep_their_parameter_and_what_is_unknown_its_name() -> None:
    for kind in (RequestRefusedError, GrammarDeadEndError):
        found = Failure.of(kind("no", param="top_k")).engine_error()
        assert (type(found), str(found), found.param) == (kind, "no", "top_k")
    assert type(Failure.of(NonFiniteError("layer 1", 3)).error()) is TracingError
    assert str(Failure.of(MemoryError("no room")).error()) == "MemoryError: no room"
    assert isinstance(Failure.of(SiteError("layer 9")).error(), BreakersError)
    # What no request can raise is its failure all the same.
    failed = Failure.of(SelfCheckError("differs")).engine_error()
    assert (type(failed), str(failed)) == (RequestFailedError, "SelfCheckError: differs")
    assert type(Failure(kind="os.system", message="x").error()) is EngineError


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode(["Nonsense", 1]),
        msgspec.msgpack.encode(["Cancel", "one"]),
        msgspec.msgpack.encode(["Cancel", 1, 2]),
        msgspec.msgpack.encode(["Cancel"]),
        msgspec.msgpack.encode(["Beat"]),
        msgspec.msgpack.encode({"Cancel": 1}),
        body(Build(settings={}, bundles=0)) + b"\x00",
    ],
)
def test_what_is_no_order_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="not a message to the engine"):
        read_order(data)


def test_a_strength_that_is_no_multiple_is_refused() -> None:
    request = GenerationRequest(
        request_id="a",
        prompt_token_ids=(1,),
        sampling=SamplingParams(max_tokens=1),
        plan=Plan({"heads": AppliedStrength(strength=0.5, reason=Reason.GATE)}),
    )
    order = body(Submit(number=1, request=wire_request(request)))
    with pytest.raises(ProtocolError, match=r"strength is 0\.3"):
        read_order(order.replace(msgspec.msgpack.encode(0.5), msgspec.msgpack.encode(0.3)))

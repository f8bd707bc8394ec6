"""The engine in a process of its own keeps the contracts that the one in this process keeps.

One child runs all engines of this file, one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from apart_engines import BuildsApart, engine_in, saved_tiny_model
from apart_engines import KeptProcess as Kept
from engine_contract import (
    PLANS,
    EngineContract,
    assert_same,
    contract_bundles,
    prompt,
    replies,
    reply,
    request,
    running,
)
from sampling_contract import SamplingContract
from selftest_contract import SelfTestContract

from server.engines.apart.spawning import ChildProcess
from server.engines.embedded import EmbeddedEngineConfig, load_embedded_engine
from server.engines.grammars import RegexGrammar

pytestmark = pytest.mark.xdist_group("apart")


@pytest.fixture(scope="module")
def child() -> Iterator[ChildProcess]:
    started = ChildProcess()
    yield started
    assert started.close().startswith("the engine's process ended with exit status 0")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(autouse=True)
def ready(request: pytest.FixtureRequest, child: ChildProcess, directory: Path) -> None:
    if request.cls is not None:
        request.cls.child, request.cls.directory = child, directory


class TestApartEngine(BuildsApart, EngineContract):
    steps_to_hear = 60
    """A message has to arrive first, and tiny models are fast. The reply would take a hundred."""


class TestApartSampling(BuildsApart, SamplingContract):
    pass


class TestApartSelfTest(BuildsApart, SelfTestContract):
    pass


@pytest.mark.parametrize("model_type", ["llama", "mixtral"])
async def test_deterministic_replies_are_those_of_the_same_process(
    model_type: str, child: ChildProcess, directory: Path
) -> None:
    bundles = contract_bundles(model_type)
    wanted = [
        request(prompt(4 + 9 * i), p, max_tokens=12, temperature=i % 2, seed=i, top_logprobs=3)
        for i, p in enumerate(PLANS)
    ]
    settings = {"bundles": bundles, "deterministic": True, "slots": 4}
    path = saved_tiny_model(model_type, directory)
    async with running(engine_in(Kept(child), path, **settings)) as engine:
        apart = await replies(engine, wanted)
        chunks = [c async for c in engine.generate(wanted[1])]
    here = load_embedded_engine(
        EmbeddedEngineConfig(model=path, threads=1, drain_seconds=0.0, deterministic_chunk=16, **settings)
    )
    async with running(here) as engine:
        for found, own in zip(apart, await replies(engine, wanted), strict=True):
            assert_same(found, own, bitwise=True)
        assert chunks == [c async for c in engine.generate(wanted[1])]


async def test_grammars_and_scores_of_prompts_travel(child: ChildProcess, directory: Path) -> None:
    grammar = RegexGrammar(pattern="[a-c]{2,5}!")
    path = saved_tiny_model("llama", directory)
    asked = [
        request(prompt(9), max_tokens=60, temperature=1.0, seed=2, grammar=grammar),
        request(prompt(20), max_tokens=3, prompt_logprobs=2),
    ]
    async with running(engine_in(Kept(child), path, deterministic=True)) as engine:
        found = [[c async for c in engine.generate(r)] for r in asked]
        assert re.fullmatch(grammar.pattern, (await reply(engine, asked[0])).text)
    here = EmbeddedEngineConfig(model=path, threads=1, drain_seconds=0.0, deterministic=True, deterministic_chunk=16)
    async with running(load_embedded_engine(here)) as engine:
        assert found == [[c async for c in engine.generate(r)] for r in asked]

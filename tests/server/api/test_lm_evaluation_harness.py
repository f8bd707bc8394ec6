"""lm-evaluation-harness against the demo model, over a real socket: what it computes is what the engine says."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving.live import Live, live

from breakers.plan import Plan
from server.composition import build_server
from server.config import ServerConfig
from server.engines.base import GenerationRequest, SamplingParams
from server.policy.planner import Wishes
from server.policy.profiles import Profile

HARNESS = Path(__file__).parents[2] / "harness"
DOCUMENTS = [json.loads(line) for line in (HARNESS / "choices.jsonl").read_text(encoding="utf-8").splitlines()]
CHOICES, REPLIES = "made_up_choices", "made_up_replies"
TOLERANCE = 2e-3
"""Of a sum of log-probabilities: the engine scores token by token, an echo is one prefill."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="lm-eval is not installed"),
]


@pytest.fixture(scope="module")
def demo() -> Iterator[Live]:
    from breakers.demo import model_path

    try:
        model_path()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    with live(build_server(ServerConfig())) as running:
        yield running


@pytest.fixture(scope="module")
def runs(demo: Live, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each run of the harness got."""
    from breakers.demo import model_path

    folder = tmp_path_factory.mktemp("harness")
    result = folder / "runs.json"
    done = subprocess.run(
        [sys.executable, "run_harness.py", f"{demo.url}/v1", str(model_path()), str(result)],
        cwd=HARNESS,
        env=os.environ | {"HF_HOME": str(folder), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(result.read_text(encoding="utf-8"))


def loglikelihoods(run: dict[str, Any]) -> list[float]:
    return [float(option[0][0]) for document in run[CHOICES] for option in document]


def scores(demo: Live, profile: Profile) -> list[float]:
    """The engine's own, of every option after its question."""
    from transformers import AutoTokenizer

    from breakers.demo import model_path

    tokenizer = AutoTokenizer.from_pretrained(str(model_path()))
    planner = demo.state.deployments.current.planner
    plan = planner.plan(Wishes(profile=profile), dict.fromkeys(planner.gated_categories, 0.0))

    async def score_all() -> list[float]:
        return [
            await score(demo, plan, tokenizer, document["question"], option)
            for document in DOCUMENTS
            for option in document["options"]
        ]

    return asyncio.run(score_all())


async def score(demo: Live, plan: Plan, tokenizer: Any, context: str, continuation: str) -> float:
    prompt = tokenizer.encode(context, add_special_tokens=False)
    whole = tokenizer.encode(context + continuation, add_special_tokens=False)
    assert whole[: len(prompt)] == prompt
    request = GenerationRequest(
        request_id="score", prompt_token_ids=tuple(prompt), sampling=SamplingParams(max_tokens=1), plan=plan
    )
    return sum(await demo.state.engine.score(request, whole[len(prompt) :]))


def test_loglikelihoods_are_the_engines_scores(demo: Live, runs: dict[str, Any]) -> None:
    expected = scores(demo, Profile.OFF)
    assert len(expected) == 12
    assert loglikelihoods(runs["off"]) == pytest.approx(expected, abs=TOLERANCE)
    assert loglikelihoods(runs["off_in_batches"]) == pytest.approx(expected, abs=TOLERANCE)


def test_breakers_act_on_what_is_scored_where_the_client_says_where_it_begins(
    demo: Live, runs: dict[str, Any]
) -> None:
    """The demo's bundles act from `generation_start` on: by default the last token of the whole prompt."""
    off, steered = scores(demo, Profile.OFF), scores(demo, Profile.STRICT)
    assert max(abs(a - b) for a, b in zip(off, steered, strict=True)) > 1
    assert loglikelihoods(runs["strict"]) == pytest.approx(off, abs=TOLERANCE)
    assert loglikelihoods(runs["strict_steered"]) == pytest.approx(steered, abs=TOLERANCE)


@pytest.mark.parametrize("run", ["off", "off_in_batches"])
def test_replies_are_those_of_the_route(demo: Live, runs: dict[str, Any], run: str) -> None:
    prompts = [document["question"] for document in DOCUMENTS]
    body = {"model": "scalpel-demo@off", "max_tokens": 12, "temperature": 0, "stop": ["\n\n"]}
    expected = [
        httpx.post(f"{demo.url}/v1/completions", json=body | {"prompt": prompt}).json()["choices"][0]["text"]
        for prompt in prompts
    ]
    assert [document[0][0] for document in runs[run][REPLIES]] == expected
    assert all(expected)


def test_chat_replies_are_those_of_the_route(demo: Live, runs: dict[str, Any]) -> None:
    body = {"model": "scalpel-demo@off", "max_tokens": 12, "temperature": 0, "stop": ["\n\n"]}
    expected = []
    for document in DOCUMENTS:
        messages = [{"role": "user", "content": document["question"]}]
        reply = httpx.post(f"{demo.url}/v1/chat/completions", json=body | {"messages": messages}).json()
        expected.append(reply["choices"][0]["message"]["content"])
    assert [document[0][0] for document in runs["chat"][REPLIES]] == expected
    assert all(expected)

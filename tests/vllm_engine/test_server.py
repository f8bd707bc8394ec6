"""vLLM's own server, as an operator starts it: front end, engine core and worker in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from engine_contract import TOLERANCE, prompt
from vllm_engines import Wanted
from vllm_models import Served, serve_tiny
from vllm_servers import vllm_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return serve_tiny("llama", tmp_path_factory.mktemp("llama"), tokenizer=True)


@pytest.fixture(scope="module")
def client(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        vllm_server(served, tmp_path_factory.mktemp("log") / "vllm.log") as url,
        httpx.Client(base_url=url, timeout=120) as client,
    ):
        yield client


def complete(client: httpx.Client, wanted: Wanted, **fields: Any) -> httpx.Response:
    body = {
        "model": "tiny",
        "prompt": list(wanted.prompt),
        "max_tokens": wanted.reply,
        "temperature": 0,
        "logprobs": 0,
        "ignore_eos": True,
        "return_token_ids": True,
        "vllm_xargs": wanted.extra_args,
        **fields,
    }
    return client.post("/v1/completions", json=body)


def test_every_plan_over_http(served: Served, client: httpx.Client) -> None:
    for n, strengths in enumerate(served.plans):
        wanted = Wanted(prompt=prompt(20 + 9 * n), strengths=strengths)
        answer = complete(client, wanted)
        assert answer.status_code == 200, answer.text
        (choice,) = answer.json()["choices"]
        chosen, logprobs = served.logprobs(wanted.prompt, choice["token_ids"], strengths)
        assert choice["token_ids"] == chosen
        assert choice["logprobs"]["token_logprobs"] == pytest.approx(logprobs, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ('{"strengths": {"unheard_of": 1.0}}', "bundle 'unheard_of' is not loaded; loaded: heads, mlp, mask, steer"),
        ('{"strengths": {"steer": 1.0}, "generation_start": 5}', "generation_start is 5; wanted 0 to 4"),
        ("steer", "is not JSON"),
        (1, "is int; wanted a plan as JSON text"),
    ],
)
def test_a_plan_that_cannot_be_applied_is_answered_with_400(
    client: httpx.Client, message: object, words: str
) -> None:
    answer = complete(client, Wanted(prompt=prompt(5), strengths={}), vllm_xargs={"scalpel": message})
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert complete(client, Wanted(prompt=prompt(5), strengths={"steer": 1.0})).status_code == 200


def test_a_beam_search_with_a_plan_is_answered_with_400(client: httpx.Client) -> None:
    answer = complete(client, Wanted(prompt=prompt(5), strengths={"steer": 1.0}), use_beam_search=True, n=2)
    assert answer.status_code == 400
    assert "a plan cannot be applied to a beam search" in answer.json()["error"]["message"]

"""The gateway in front of vLLM's own server: what it reports is what the reference computes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from engine_contract import TOLERANCE, prompt
from prometheus_client.parser import text_string_to_metric_families
from serving.gateways import LiveGateway, address_of, gateway, proved
from serving.live import wait_until
from vllm_models import Served, serve_tiny
from vllm_servers import NAME, vllm_server

from breakers.bundles import Bundle, open_bundle
from server.gateway.errors import UnprovenError
from server.gateway.proof import WantedUpstream

pytestmark = pytest.mark.slow

CHATS, TEXTS = "/v1/chat/completions", "/v1/completions"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return serve_tiny("llama", tmp_path_factory.mktemp("llama"), tokenizer=True)


@pytest.fixture(scope="module")
def bundles(served: Served) -> list[Bundle]:
    return [open_bundle(str(path)) for path in served.bundles]


@pytest.fixture(scope="module")
def upstream(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with vllm_server(served, tmp_path_factory.mktemp("log") / "vllm.log") as url:
        yield url


@pytest.fixture(scope="module")
def live(upstream: str, bundles: list[Bundle]) -> Iterator[LiveGateway]:
    with gateway(upstream, bundles) as found:
        yield found


@pytest.fixture(scope="module")
def http(live: LiveGateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url, timeout=120) as client:
        yield client


def text_body(tokens: tuple[int, ...], strengths: dict[str, float], **fields: Any) -> dict[str, Any]:
    return {
        "model": NAME,
        "prompt": list(tokens),
        "max_tokens": 10,
        "temperature": 0,
        "logprobs": 0,
        "ignore_eos": True,
        "return_token_ids": True,
        "scalpel": {"breakers": strengths},
        **fields,
    }


def chat_body(text: str, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": NAME, "messages": messages, "max_tokens": 12, "temperature": 0, "ignore_eos": True, **fields}


def test_what_is_reported_is_what_the_reference_computes(served: Served, http: httpx.Client) -> None:
    for n, strengths in enumerate(served.plans):
        tokens = prompt(20 + 9 * n)
        answer = http.post(TEXTS, json=text_body(tokens, strengths))
        assert answer.status_code == 200, answer.text
        report = answer.json()["scalpel"]
        assert {name: one["strength"] for name, one in report["applied"].items() if one["strength"]} == strengths
        (choice,) = answer.json()["choices"]
        chosen, logprobs = served.logprobs(tokens, choice["token_ids"], strengths)
        assert choice["token_ids"] == chosen
        assert choice["logprobs"]["token_logprobs"] == pytest.approx(logprobs, abs=TOLERANCE)


def test_a_reply_is_vllms_own(upstream: str, http: httpx.Client) -> None:
    """Everything but the report, which vLLM does not know, and what differs from one request to the next."""
    body = chat_body("hi", n=2, logprobs=True, top_logprobs=2, prompt_logprobs=1, seed=1, temperature=1)
    answers = [httpx.post(f"{upstream}{CHATS}", json=body, timeout=120), http.post(CHATS, json=body)]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    theirs, ours = (answer.json() for answer in answers)
    assert ours.pop("scalpel")["applied"]
    assert list(ours) == list(theirs)
    for name in ("id", "created"):
        del ours[name], theirs[name]
    assert ours == theirs


def test_a_stream_is_the_whole_reply_in_pieces(http: httpx.Client) -> None:
    body = chat_body("hi", scalpel={"breakers": {"steer": 1.0}})
    whole = http.post(CHATS, json=body).json()
    options = {"stream": True, "stream_options": {"include_usage": True}}
    with http.stream("POST", CHATS, json=body | options) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    events = [json.loads(line) for line in lines]
    assert events[0]["scalpel"] == whole["scalpel"]
    assert all("scalpel" not in event for event in events[1:])
    said = "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])
    assert said == whole["choices"][0]["message"]["content"]
    assert events[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"] == 12


def test_a_plan_changes_the_reply_and_a_profile_takes_it_away(http: httpx.Client) -> None:
    def said(**fields: Any) -> str:
        return str(http.post(CHATS, json=chat_body("hi") | fields).json()["choices"][0]["message"]["content"])

    plain = said()
    assert said(scalpel={"breakers": {"steer": 1.0}}) != plain
    assert said(model=f"{NAME}@off") == plain


def test_structured_output_is_vllms(http: httpx.Client) -> None:
    body = chat_body("hi", structured_outputs={"choice": ["yes", "no"]}, ignore_eos=False)
    answer = http.post(CHATS, json=body | {"scalpel": {"breakers": {"mask": 1.0}}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] in ("yes", "no")


def test_prompts_of_token_ids_are_read(http: httpx.Client) -> None:
    tokens = http.post("/tokenize", json={"model": NAME, "prompt": "toxicity"}).json()["tokens"]
    answer = http.post(TEXTS, json=text_body(tuple(tokens), {}))
    assert answer.json()["scalpel"]["harm_potential"] == {"gender_bias": 0.02, "toxicity": 0.95}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"use_beam_search": True, "n": 2}, "a plan cannot be applied to a beam search"),
        ({"top_p": 7}, "top_p"),
    ],
)
def test_what_vllm_refuses_is_told_in_its_words(http: httpx.Client, fields: dict[str, Any], words: str) -> None:
    answer = http.post(CHATS, json=chat_body("hi", scalpel={"breakers": {"steer": 1.0}}) | fields)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_a_position_behind_the_prompt_is_the_clients_mistake(http: httpx.Client) -> None:
    body = text_body(prompt(5), {"steer": 1.0})
    body["scalpel"]["generation_start"] = 5
    answer = http.post(TEXTS, json=body)
    assert answer.status_code == 400
    assert "generation_start is 5; wanted 0 to 4" in answer.json()["error"]["message"]


def test_the_metrics_of_both_are_one_document(http: httpx.Client) -> None:
    text = http.get("/metrics").text
    names = [family.name for family in text_string_to_metric_families(text)]
    assert len(names) == len(set(names))
    assert {"vllm:num_requests_running", "scalpel_requests", "scalpel_upstream_up"} <= set(names)


def test_clients_that_leave_take_nothing_with_them(live: LiveGateway, http: httpx.Client) -> None:
    """Cancelled in every state: waiting, before the first token, in the middle."""
    body = chat_body("hi", stream=True, max_tokens=450, scalpel={"breakers": {"steer": 1.0}})

    def leave(n: int) -> None:
        with (
            httpx.Client(base_url=live.url, timeout=120) as client,
            client.stream("POST", CHATS, json=body) as response,
        ):
            pieces = response.iter_raw()
            for _ in range(n % 4):
                next(pieces)

    for _ in range(3):
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(leave, range(16)))
    wait_until(lambda: live.state.accounts.running == 0)
    wait_until(lambda: _running(http) == 0, 60)
    assert live.state.deployments.held == 0
    assert http.post(CHATS, json=body | {"stream": False, "max_tokens": 3}).status_code == 200


def _running(http: httpx.Client) -> float:
    """Requests that vLLM has, running and waiting."""
    families = text_string_to_metric_families(http.get("/metrics").text)
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting")
    return sum(sample.value for family in families for sample in family.samples if sample.name in names)


def test_another_bank_is_found_out(upstream: str, bundles: list[Bundle]) -> None:
    with pytest.raises(UnprovenError, match=r"has bank [0-9a-f]{12}; wanted [0-9a-f]{12}"):
        proved(address_of(upstream), WantedUpstream(bundles=bundles[:2]))


def test_a_vllm_without_the_plugin_is_found_out(served: Served, bundles: list[Bundle], tmp_path: Path) -> None:
    """It takes the same configuration and the same plans, and steers nothing."""
    with vllm_server(served, tmp_path / "vllm.log", VLLM_PLUGINS="") as url:
        plain = httpx.post(
            f"{url}{TEXTS}",
            json={"model": NAME, "prompt": [5], "max_tokens": 1, "vllm_xargs": {"scalpel": "no plan at all"}},
            timeout=120,
        )
        assert plain.status_code == 200
        with pytest.raises(UnprovenError, match="has not got SCALPEL's plugin and would serve unsteered"):
            proved(address_of(url), WantedUpstream(bundles=bundles))

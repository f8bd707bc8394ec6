"""Tokens and the version, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from serving.live import Live, live
from serving.tiny_server import tiny_state
from tiny_tokenizer import tiny_tokenizer

from server.engines.embedded.tokenizer import HuggingFaceTokenizer

TOKENIZER = HuggingFaceTokenizer(tiny_tokenizer())
MESSAGES = [{"role": "user", "content": "hi there"}]


@pytest.fixture(scope="module")
def server() -> Iterator[Live]:
    with live(tiny_state()) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.mark.parametrize("text", ["", "hello", "— café 😀", "<|end|>", "\x00\n\t"])
def test_there_and_back(http: httpx.Client, text: str) -> None:
    found = http.post("/tokenize", json={"prompt": text}).json()
    assert found == {
        "count": len(TOKENIZER.encode(text)),
        "max_model_len": 256,
        "tokens": TOKENIZER.encode(text),
        "token_strs": None,
    }
    assert http.post("/detokenize", json={"tokens": found["tokens"]}).json() == {"prompt": text}


def test_a_conversation_is_what_chat_processes(http: httpx.Client) -> None:
    found = http.post("/tokenize", json={"messages": MESSAGES, "model": "scalpel-demo@off"}).json()
    assert found["tokens"] == TOKENIZER.encode_chat(MESSAGES)
    body = {"model": "scalpel-demo", "messages": MESSAGES, "max_tokens": 1}
    usage = http.post("/v1/chat/completions", json=body).json()["usage"]
    assert usage["prompt_tokens"] == found["count"]


def test_what_stands_before_a_text_can_be_left_out(http: httpx.Client) -> None:
    plain = http.post("/tokenize", json={"prompt": "hi", "add_special_tokens": False}).json()["tokens"]
    whole = http.post("/tokenize", json={"prompt": "hi", "add_special_tokens": True}).json()["tokens"]
    assert whole == TOKENIZER.encode("") + plain
    assert len(plain) == 2


def test_each_token_says_what_it_stands_for(http: httpx.Client) -> None:
    body = {"prompt": "hi", "return_token_strs": True, "add_special_tokens": False}
    assert http.post("/tokenize", json=body).json()["token_strs"] == ["h", "i"]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/tokenize", {}, "prompt, messages: wanted one of them"),
        ("/tokenize", {"prompt": "x", "messages": MESSAGES}, "prompt, messages: wanted one of them"),
        ("/tokenize", {"messages": MESSAGES, "add_special_tokens": False}, "the chat template decides"),
        (
            "/tokenize",
            {"messages": MESSAGES, "add_generation_prompt": False},
            "add_generation_prompt: this",
        ),
        ("/tokenize", {"prompt": ["x"]}, "prompt: Input should be a valid string"),
        ("/tokenize", {"prompt": "x", "colour": 1}, "colour: unknown parameter; known: add_generation_prompt"),
        ("/detokenize", {"tokens": "x"}, "tokens: wanted a list of token ids"),
        ("/detokenize", {"tokens": [1.5]}, "tokens: wanted a list of token ids"),
        ("/detokenize", {"tokens": [True]}, "tokens: wanted a list of token ids"),
        ("/detokenize", {"tokens": [270]}, "tokens holds token 270; wanted 0 to 269"),
        ("/detokenize", {}, "tokens: Field required"),
    ],
)
def test_refusals_name_the_field(http: httpx.Client, path: str, body: dict[str, Any], said: str) -> None:
    response = http.post(path, json=body)
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
def test_another_model_is_a_404(http: httpx.Client, path: str) -> None:
    body = {"model": "other", "prompt": "x"} if path == "/tokenize" else {"model": "other", "tokens": []}
    assert http.post(path, json=body).status_code == 404


def test_the_version_is_the_one_of_the_api_description(http: httpx.Client) -> None:
    version = http.get("/version").json()["version"]
    assert version == http.get("/openapi.json").json()["info"]["version"]

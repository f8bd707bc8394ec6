"""The remote member against a real socket: what it asks, how often, how long, and what it takes for an answer."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from tiny_members import RemoteGuard, harm, moderation_answer, remote_config, remote_guard, write, write_config

from classifiers import build_classifier
from classifiers.errors import ClassifierError, MemberConfigError, RemoteError
from classifiers.remote import RemoteClassifier
from classifiers.remote.cache import VerdictCache

CLOWN = "you are a clown"


def user(*turns: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": turn} for turn in turns]


@pytest.fixture
def guard() -> Iterator[RemoteGuard]:
    with remote_guard() as running:
        yield running


def member(path: Path, guard: RemoteGuard, **changes: Any) -> RemoteClassifier:
    built = build_classifier("remote", path=write_config(path, "remote", remote_config(guard.url, **changes)))
    assert isinstance(built, RemoteClassifier)
    guard.asking.append(built)
    return built


def chat(path: Path, guard: RemoteGuard, **changes: Any) -> RemoteClassifier:
    config = {
        "kind": "chat",
        "url": guard.url.replace("moderations", "chat/completions"),
        "model": "guard-8b",
        "codes": {"S1": "violence", "S10": "hate", "S14": None},
        "retries": {"attempts": 2, "backoff_seconds": 0.001},
    }
    built = build_classifier("remote", path=write_config(path, "remote", config | changes))
    assert isinstance(built, RemoteClassifier)
    guard.asking.append(built)
    return built


def said(content: str, likely: dict[str, float] | None = None) -> tuple[int, dict[str, Any]]:
    choice: dict[str, Any] = {"message": {"role": "assistant", "content": content}}
    if likely is not None:
        top = [{"token": token, "logprob": value} for token, value in likely.items()]
        first = {"token": content.split("\n")[0], "logprob": -0.1, "top_logprobs": top}
        choice["logprobs"] = {"content": [{"token": "\n\n", "logprob": 0.0, "top_logprobs": []}, first]}
    return 200, {"choices": [choice]}


def test_texts_are_asked_about_together_and_mapped(guard: RemoteGuard, tmp_path: Path) -> None:
    found = member(tmp_path, guard, model="moderation-1").score([user(CLOWN), user("hello"), user(CLOWN)])
    assert guard.bodies == [{"input": [CLOWN, "hello"], "model": "moderation-1"}]
    assert found[0] == found[2] == pytest.approx({"toxicity": 0.9, "violence": 0.45})
    assert found[1] == pytest.approx({"toxicity": harm("hello"), "violence": harm("hello") / 2})


def test_many_texts_are_asked_about_in_batches(guard: RemoteGuard, tmp_path: Path) -> None:
    texts = [f"text number {n}" for n in range(10)]
    found = member(tmp_path, guard, batch=4, readings=False).score([user(text) for text in texts])
    assert [len(body["input"]) for body in guard.bodies] == [4, 4, 2]
    assert [scores["toxicity"] for scores in found] == pytest.approx([harm(text) for text in texts])


def test_several_of_their_categories_are_one_of_ours_by_the_highest(guard: RemoteGuard, tmp_path: Path) -> None:
    built = member(tmp_path, guard, categories={"harassment": "harm", "violence": "harm"})
    assert built.categories == ("harm",)
    assert built.score([user(CLOWN)])[0] == pytest.approx({"harm": 0.9})


def test_the_key_comes_from_the_environment(
    guard: RemoteGuard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARD_TEST_KEY", "k-123")
    member(tmp_path, guard, api_key_env="GUARD_TEST_KEY").score([user(CLOWN)])
    assert guard.headers[0]["authorization"] == "Bearer k-123"
    member(tmp_path, guard).score([user(CLOWN)])
    assert "authorization" not in guard.headers[1]
    monkeypatch.delenv("GUARD_TEST_KEY")
    with pytest.raises(MemberConfigError, match="GUARD_TEST_KEY is not set"):
        member(tmp_path, guard, api_key_env="GUARD_TEST_KEY")


def test_a_verdict_is_remembered_for_its_time(guard: RemoteGuard, tmp_path: Path) -> None:
    built = member(tmp_path, guard)
    first = built.score([user(CLOWN)])
    assert built.score([user(CLOWN)]) == first
    assert len(guard.bodies) == 1
    brief = member(tmp_path, guard, cache={"entries": 8, "seconds": 0.05})
    brief.score([user(CLOWN)])
    time.sleep(0.1)
    brief.score([user(CLOWN)])
    assert len(guard.bodies) == 3


def test_the_cache_is_bounded_in_number_and_age_and_holds_no_text() -> None:
    now = [0.0]
    cache = VerdictCache(entries=2, seconds=10.0, clock=lambda: now[0])
    for text in ("a", "b"):
        cache.put(text, {"toxicity": 0.5})
    assert cache.get("a") == {"toxicity": 0.5}
    cache.put("c", {"toxicity": 0.1})
    assert (cache.get("b"), len(cache)) == (None, 2)
    now[0] = 10.0
    assert cache.get("a") is not None
    now[0] = 10.1
    assert cache.get("a") is None
    assert len(cache) == 1
    cache.put("a secret of somebody's", {"toxicity": 0.5})
    assert "secret" not in repr(vars(cache))
    nothing = VerdictCache(entries=0, seconds=10.0)
    nothing.put("a", {})
    assert nothing.get("a") is None


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(guard: RemoteGuard, tmp_path: Path, status: int) -> None:
    guard.replies = [(status, "later"), (status, "later")]
    assert member(tmp_path, guard).score([user(CLOWN)])[0]["toxicity"] == pytest.approx(0.9)
    assert len(guard.bodies) == 3


def test_it_is_not_tried_for_ever(guard: RemoteGuard, tmp_path: Path) -> None:
    guard.replies = [(500, "broken")] * 5
    with pytest.raises(RemoteError, match=r"status 500 \(attempt 3\)"):
        member(tmp_path, guard).score([user(CLOWN)])
    assert len(guard.bodies) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 301])
def test_a_refusal_is_final(guard: RemoteGuard, tmp_path: Path, status: int) -> None:
    guard.replies = [(status, "no such key")]
    with pytest.raises(RemoteError, match=f"status {status}; wanted 200: no such key"):
        member(tmp_path, guard).score([user(CLOWN)])
    assert len(guard.bodies) == 1


def test_a_connection_that_breaks_is_tried_again(guard: RemoteGuard, tmp_path: Path) -> None:
    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.connection.close()

    guard.replies = [hang_up]
    assert member(tmp_path, guard).score([user(CLOWN)])[0]["toxicity"] == pytest.approx(0.9)
    assert len(guard.bodies) == 2


def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    with remote_guard() as gone:
        url = gone.url
    with remote_guard() as guard, pytest.raises(RemoteError, match=r"the connection failed.*attempt 3"):
        member(tmp_path, guard, url=url).score([user(CLOWN)])


def test_back_off_doubles_and_heeds_retry_after(guard: RemoteGuard, tmp_path: Path) -> None:
    def soon(handler: BaseHTTPRequestHandler) -> None:
        write(handler, 429, "slow down", retry_after="60")

    retries = {"attempts": 3, "backoff_seconds": 0.05, "backoff_limit_seconds": 0.2}
    guard.replies = [(500, ""), (500, "")]
    began = time.monotonic()
    member(tmp_path, guard, retries=retries).score([user(CLOWN)])
    assert time.monotonic() - began >= 0.15
    guard.replies = [soon]
    began = time.monotonic()
    member(tmp_path, guard, retries=retries).score([user(CLOWN)])
    assert 0.2 <= time.monotonic() - began < 30


def test_a_stall_ends_in_time_however_it_trickles(guard: RemoteGuard, tmp_path: Path) -> None:
    released = threading.Event()

    def stall(_: BaseHTTPRequestHandler) -> None:
        released.wait(30)

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "100000")
        handler.end_headers()
        while not released.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    built = member(tmp_path, guard, timeout_seconds=0.2)
    try:
        for reply in (stall, trickle):
            guard.replies = [reply]
            began = time.monotonic()
            with pytest.raises(RemoteError, match=r"within 0\.2 s"):
                built.score([user(CLOWN)])
            assert time.monotonic() - began < 10
    finally:
        released.set()


def test_attempts_share_one_time_limit(guard: RemoteGuard, tmp_path: Path) -> None:
    guard.replies = [(503, "")] * 10
    retries = {"attempts": 10, "backoff_seconds": 0.2, "backoff_limit_seconds": 0.2}
    with pytest.raises(RemoteError, match="status 503"):
        member(tmp_path, guard, timeout_seconds=0.5, retries=retries).score([user(CLOWN)])
    assert len(guard.bodies) <= 3


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("no json", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ([], "results are NoneType"),
        ({"results": {}}, "results are dict"),
        ({"results": []}, "results are 0; wanted a list of 1"),
        ({"results": [5]}, "no category_scores"),
        ({"results": [{"category_scores": {"harassment": 0.5}}]}, "'violence' is None"),
        ({"results": [{"category_scores": {"harassment": True, "violence": 0}}]}, "'harassment' is True"),
        ({"results": [{"category_scores": {"harassment": "0.5", "violence": 0}}]}, "'harassment' is '0.5'"),
        (moderation_answer([1.5]), r"1\.5; wanted a number in \[0, 1\]"),
        (moderation_answer([-0.1]), r"wanted a number in \[0, 1\]"),
        (moderation_answer([math.nan]), "nan; wanted"),
        (moderation_answer([math.inf]), "inf; wanted"),
        (moderation_answer([0.1, 0.2]), "results are 2; wanted a list of 1"),
    ],
)
def test_what_is_no_answer_is_an_error(guard: RemoteGuard, tmp_path: Path, answer: object, message: str) -> None:
    guard.replies = [(200, answer)]
    built = member(tmp_path, guard)
    with pytest.raises(RemoteError, match=message):
        built.score([user(CLOWN)])
    # Nothing of it was remembered.
    assert built.score([user(CLOWN)])[0]["toxicity"] == pytest.approx(0.9)


def test_an_endless_answer_is_an_error(guard: RemoteGuard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("classifiers.remote.client.ANSWER_LIMIT", 1000)
    guard.replies = [(200, " " * 2000)]
    with pytest.raises(RemoteError, match="longer than 1000 bytes"):
        member(tmp_path, guard).score([user(CLOWN)])


def test_certain_verdicts_stay_finite(guard: RemoteGuard, tmp_path: Path) -> None:
    guard.replies = [(200, moderation_answer([1.0])), (200, moderation_answer([0.0]))]
    built = member(tmp_path, guard, cache={"entries": 0})
    assert built.score([user("hello")])[0]["toxicity"] == pytest.approx(1, abs=1e-5)
    assert built.score([user("hello")])[0]["toxicity"] == pytest.approx(0, abs=1e-5)


def test_a_text_over_the_limit_is_refused_and_not_cut(guard: RemoteGuard, tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match="has 11 characters; wanted at most 10"):
        member(tmp_path, guard, text_limit=10).score([user("x" * 11)])
    assert guard.bodies == []


def test_a_guard_that_chats_is_asked_and_understood(guard: RemoteGuard, tmp_path: Path) -> None:
    built = chat(tmp_path, guard, prompt="Judge: {text}")
    assert built.categories == ("violence", "hate")
    guard.replies = [said("\n\nsafe"), said("unsafe\nS1"), said("unsafe\nS14"), said("Unsafe\nS10, S1")]
    found = [built.score([user(text)])[0] for text in ("one", "two", "three", "four")]
    low, high = pytest.approx(0.02), pytest.approx(0.98)
    assert found == [
        {"violence": low, "hate": low},
        {"violence": high, "hate": low},
        {"violence": low, "hate": low},
        {"violence": high, "hate": high},
    ]
    assert guard.bodies[0] == {
        "model": "guard-8b",
        "messages": [{"role": "user", "content": "Judge: one"}],
        "max_tokens": 64,
        "temperature": 0,
    }


def test_a_guard_with_log_probabilities_is_as_sure_as_they_are(guard: RemoteGuard, tmp_path: Path) -> None:
    built = chat(tmp_path, guard, logprobs=True)
    likely = {"safe": math.log(0.2), "unsafe": math.log(0.6), "maybe": math.log(0.2)}
    guard.replies = [said("unsafe\nS1", likely), said("safe", {"safe": math.log(0.6), " unsafe": math.log(0.2)})]
    assert built.score([user("one")])[0] == pytest.approx({"violence": 0.75, "hate": 0.02})
    assert built.score([user("two")])[0] == pytest.approx({"violence": 0.25, "hate": 0.25})
    assert (guard.bodies[0]["logprobs"], guard.bodies[0]["top_logprobs"]) == (True, 20)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (said(""), "the guard said ''"),
        (said("I cannot help with that."), "wanted 'safe' or 'unsafe'"),
        (said("unsafe"), "codes none"),
        (said("unsafe\nS99"), "codes S99; wanted some of S1, S10, S14"),
        ((200, {"choices": []}), "no choices"),
        ((200, {"choices": [{"message": {"content": None}}]}), "no content"),
    ],
)
def test_a_guard_that_says_something_else_is_an_error(
    guard: RemoteGuard, tmp_path: Path, reply: tuple[int, object], message: str
) -> None:
    guard.replies = [reply]
    with pytest.raises(RemoteError, match=message):
        chat(tmp_path, guard).score([user("one")])


@pytest.mark.parametrize("likely", [None, {}, {"maybe": -0.1}])
def test_log_probabilities_that_were_asked_for_must_come(
    guard: RemoteGuard, tmp_path: Path, likely: dict[str, float] | None
) -> None:
    guard.replies = [said("safe", likely)]
    with pytest.raises(RemoteError, match=r"log-probabilities|likely first token"):
        chat(tmp_path, guard, logprobs=True).score([user("one")])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "ftp://example.org"}, "wanted http"),
        ({"url": "http://me:secret@example.org/x"}, "without a user"),
        ({"categories": {}}, "categories"),
        ({"api_key_env": "not a name"}, "api_key_env"),
        ({"api_key": "k-123"}, "api_key"),
        ({"kind": "oracle"}, "wanted moderations or chat"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"retries": {"attempts": 0}}, "attempts"),
        ({"calibration": {"other": {"kind": "temperature"}}}, "calibrations of other"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(
    guard: RemoteGuard, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(MemberConfigError, match=message):
        member(tmp_path, guard, **changes)


def test_the_name_stands_for_what_decides_verdicts(guard: RemoteGuard, tmp_path: Path) -> None:
    names = {
        member(tmp_path, guard, **changes).name
        for changes in ({}, {"timeout_seconds": 1.0}, {"cache": {"entries": 1}}, {"retries": {"attempts": 1}})
    }
    assert len(names) == 1
    assert member(tmp_path, guard, model="another").name not in names

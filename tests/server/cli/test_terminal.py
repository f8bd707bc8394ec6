"""The terminal chat with piped input, against a server of stubs."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from serving.live import live, stub_state
from serving.stubs import StubEngine

from server.cli.client import ServerClient
from server.cli.terminal import Terminal
from server.engines.base import RequestFailedError


@dataclass(frozen=True)
class Chat:
    """A server, and how to talk to it."""

    engine: StubEngine
    say: Callable[..., tuple[list[str], str]]


@pytest.fixture
def chat() -> Iterator[Chat]:
    engine = StubEngine(bundles=("toxicity", "gender_bias", "myth_mask"))
    with live(stub_state(engine=engine)) as server, ServerClient(server.url) as client:

        def say(*lines: str, system: str | None = None) -> tuple[list[str], str]:
            out, problems = io.StringIO(), io.StringIO()
            terminal = Terminal(
                client,
                model="scalpel-demo",
                system=system,
                temperature=0.0,
                max_tokens=20,
                out=out,
                problems=problems,
            )
            terminal.run(io.StringIO("".join(f"{line}\n" for line in lines)))
            return out.getvalue().splitlines()[1:], problems.getvalue()

        yield Chat(engine=engine, say=say)


def strengths(chat: Chat) -> list[dict[str, float]]:
    return [request.plan.strengths() for request in chat.engine.requests]


def test_a_turn_shows_the_reply_and_what_was_applied(chat: Chat) -> None:
    out, problems = chat.say("show me toxicity")
    assert out == [
        "Hello you",
        "[harm potential: gender_bias 0.02, toxicity 0.95 | applied: toxicity 1 (gate), gender_bias 0 (gate), "
        "myth_mask 0 (off) | 9 tokens steered]",
    ]
    assert problems == ""


def test_breakers_and_profiles_are_switched_between_turns(chat: Chat) -> None:
    chat.say(
        "toxicity",
        "/breaker toxicity off",
        "toxicity",
        "/breaker toxicity 0.5",
        "toxicity",
        "/breaker toxicity default",
        "/breaker myth_mask on",
        "hello",
        "/breaker myth_mask default",
        "/reset",
        "/profile strict",
        "hello",
        "/profile off",
        "toxicity",
    )
    assert strengths(chat) == [
        {"toxicity": 1.0},
        {},
        {"toxicity": 0.5},
        {"myth_mask": 1.0},
        {"toxicity": 1.0, "gender_bias": 1.0},
        {},
    ]


def test_the_conversation_is_kept_until_reset(chat: Chat) -> None:
    chat.say("one", "two", "/reset", "three", system="S")
    texts = [chat.engine.tokenizer.decode(request.prompt_token_ids) for request in chat.engine.requests]
    assert texts == ["Sone>", "SoneHello youtwo>", "Sthree>"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/braker toxicity off", "unknown command /braker; known: /breaker, /breakers, /profile"),
        ("/breaker", "wanted /breaker NAME off|on|STRENGTH|default"),
        ("/breaker toxic off", "no breaker 'toxic' is loaded; loaded: gender_bias, myth_mask, toxicity"),
        ("/breaker toxicity 1.5", "wanted off, on, default or a number in [0, 1]"),
        ("/breaker toxicity nan", "wanted off, on, default or a number in [0, 1]"),
        ("/breaker toxicity maybe", "strength is 'maybe'"),
        ("/profile loud", "wanted /profile default|off|strict"),
        ("/reset now", "/reset takes no arguments"),
    ],
)
def test_a_mistake_is_said_and_the_chat_goes_on(chat: Chat, line: str, said: str) -> None:
    out, problems = chat.say(line, "hello")
    assert said in problems
    assert out[0] == "Hello you"


def test_a_failed_turn_is_said_and_forgotten(chat: Chat) -> None:
    chat.engine.failure = RequestFailedError("NaN in the logits")
    _, problems = chat.say("one")
    assert "NaN in the logits" in problems
    chat.engine.failure = None
    chat.say("two")
    assert chat.engine.tokenizer.decode(chat.engine.requests[-1].prompt_token_ids) == "two>"


def test_quit_ends_and_help_lists(chat: Chat) -> None:
    out, _ = chat.say("/help", "/breakers", "/quit", "never")
    assert not chat.engine.requests
    assert any(line.startswith("/breaker NAME") for line in out)
    assert any(line.startswith("myth_mask  mask  default (off)") for line in out)

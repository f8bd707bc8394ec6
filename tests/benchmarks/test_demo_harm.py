"""The demo benchmark's figures by hand, and its way over HTTP against a stub server."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from benchmarks import demo_harm
from benchmarks.demo_arms import JudgedKind, behaviour_figures, elsewhere_figures, skill_figures
from benchmarks.demo_harm import ARMS, Options, measure
from benchmarks.errors import ServedModelError
from benchmarks.results import targets_path
from benchmarks.served import ChatRequest, ask_all, served
from benchmarks.targets import load_targets
from breakers.demo.corpus import BEHAVIOURS, KINDS, heldout

PROMPTS = 16


def kind(harmful: list[int], correct: list[int], strength: float = 0.0) -> JudgedKind:
    verdicts = np.array(harmful, dtype=bool)
    return JudgedKind(
        harmful={"toxicity": verdicts},
        harmful_demo={"toxicity": verdicts},
        correct=np.array(correct, dtype=bool),
        fluent=np.ones(len(correct), dtype=bool),
        steered=np.full(len(correct), strength > 0),
    )


JUDGED = {
    "off": {"toxicity": kind([1, 1, 1, 1, 0] * 4, [1, 1, 1, 1, 0] * 4)},
    "on": {"toxicity": kind([1] * 13 + [0] * 7, [1, 1, 1, 0, 0] * 4, 1.0)},
}


def test_reductions_and_drops_by_hand() -> None:
    figures = behaviour_figures(JUDGED, "toxicity", "toxicity", "toxicity")
    assert figures["harm.toxicity.off"] == pytest.approx(0.8)
    assert figures["reduction.toxicity.on"] == pytest.approx(3 / 16)
    assert figures["reduction.toxicity.on.low"] < 3 / 16 < figures["reduction.toxicity.on.high"]
    # Of the first 13 prompts 11 are harmful in both arms and 2 only on; of the last 7, 5 only off.
    # Mid-p of 2 of 7 is 2 * (1 + 7 + 21) / 128 - 21 / 128.
    assert figures["reduction.toxicity.on.p"] == pytest.approx(37 / 128)
    assert figures["steered.toxicity.on"] == 1.0
    skill = skill_figures(JUDGED, "toxicity")
    assert skill["drop.toxicity.on"] == pytest.approx(20.0)
    assert skill["skill.toxicity.off.n"] == 20
    elsewhere = elsewhere_figures(JUDGED, ("toxicity",), ("toxicity", "toxicity"))
    assert elsewhere["elsewhere.toxicity.on.n"] == 40


def test_too_little_harm_to_reduce_gives_no_reduction() -> None:
    judged = {arm: {"toxicity": kind([1] * 15 + [0] * 9, [1] * 24)} for arm in ("off", "on")}
    assert "reduction.toxicity.on" not in behaviour_figures(judged, "toxicity", "toxicity", "toxicity")


class Corpus(BaseHTTPRequestHandler):
    """Answers with the corpus' own replies: harmful with `@off`, neutral otherwise; counts what is in flight."""

    replies: dict[str, tuple[str, str]]
    bodies: list[dict]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.bodies.append(body)
        harmful, neutral = self.replies[json.dumps(body["messages"])]
        off = body["model"].endswith("@off")
        answer = {
            "choices": [{"message": {"content": harmful if off else neutral}}],
            "scalpel": {"applied": {"toxicity": {"strength": 0.0 if off else 1.0}}},
        }
        data = json.dumps(answer).encode()
        self.send_response(200 if body["max_tokens"] > 1 else 400)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def stub():
    examples = [e for k in KINDS for e in heldout(k, PROMPTS, demo_harm.CORPUS_SEED)]
    handler = type(
        "Handler",
        (Corpus,),
        {
            "replies": {
                json.dumps(e.messages): (e.harmful_reply or e.reply, e.neutral_reply or e.reply) for e in examples
            },
            "bodies": [],
        },
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_removes_all_harm_meets_every_target(stub) -> None:
    base_url, handler = stub
    figures = measure(base_url, Options(limit=PROMPTS, sampled=2, concurrency=4))
    declared = load_targets(targets_path())["demo_harm"].targets
    assert set(declared) <= set(figures)
    for name, target in declared.items():
        assert target.met(figures[name]), name
    for behaviour in BEHAVIOURS:
        assert figures[f"harm.{behaviour}.off"] == 1.0
        assert figures[f"harm.{behaviour}.on"] == 0.0
        assert figures[f"t1.harm.{behaviour}.off.n"] == 2
    assert len(handler.bodies) == len(ARMS) * (PROMPTS * len(KINDS) + 2 * len(BEHAVIOURS))
    assert {b["model"] for b in handler.bodies} == {"scalpel-demo", "scalpel-demo@off", "scalpel-demo@strict"}
    assert all(("seed" in b) == (b["temperature"] > 0) for b in handler.bodies)


def test_a_refused_request_ends_the_measurement(stub) -> None:
    base_url, _ = stub
    [example] = heldout("facts", 1, demo_harm.CORPUS_SEED)
    request = ChatRequest(model="scalpel-demo", messages=example.messages, max_tokens=1)
    with pytest.raises(ServedModelError, match="status 400"):
        asyncio.run(ask_all(base_url, [request], concurrency=2))


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(ServedModelError, match=r"status 2(?s:.)*no-such-folder"), served(["no-such-folder"]):
        pass

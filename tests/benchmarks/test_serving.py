"""The serving benchmark: its arithmetic by hand, its client against a stub server, and all of it on a tiny model."""

import asyncio
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.errors import ServedModelError
from benchmarks.processes import cpu_seconds
from benchmarks.serving.__main__ import Options, is_whole, measure, parse_options
from benchmarks.serving.client import run_load
from benchmarks.serving.contenders import CONTENDERS, NONE, OFF, PLANS
from benchmarks.serving.figures import Round, better_peer, figures_of
from benchmarks.serving.models import SPECS, Answer, Job, ModelShape, ModelSpec, reply_lengths
from benchmarks.serving.timing import shares, turns


def rounds(*seconds: float, tokens: int = 60) -> list[Round]:
    return [Round(tokens=tokens, seconds=s, first_token_ms=10 * s, cpu_seconds=s / 2) for s in seconds]


def test_figures_by_hand() -> None:
    found = {
        (16, "ours-none"): rounds(1.0, 2.0, 4.0),
        (16, "ours-off"): rounds(2.0, 2.0, 2.0),
        (16, "ours-plans"): rounds(2.0, 4.0, 16.0),
        (16, "transformers"): rounds(9.0, 9.0, 9.0),
        (16, "transformers-cb"): rounds(3.0, 4.0, 8.0),
    }
    figures = figures_of("demo", found)
    # 60 tokens in 1, 2 and 4 seconds.
    assert figures["tokens_per_second.demo.16.ours-none"] == 30.0
    assert figures["tokens_per_second.demo.16.ours-none.low"] == 15.0
    assert figures["tokens_per_second.demo.16.ours-none.high"] == 60.0
    assert figures["first_token_ms.demo.16.ours-none"] == 20.0
    assert figures["cpu_ms_per_token.demo.16.ours-none"] == pytest.approx(1000 / 60)
    # Round by round: 1/2, 2/2, 4/2; a ratio of medians would give 1 as well, but not these ends.
    assert figures["ratio.demo.16.ours-off.ours-none"] == 1.0
    assert figures["ratio.demo.16.ours-off.ours-none.low"] == 0.5
    assert figures["ratio.demo.16.ours-off.ours-none.high"] == 2.0
    # 1/2, 2/4, 4/16.
    assert figures["ratio.demo.16.ours-plans.ours-none"] == 0.5
    # The better peer batches: 3/2, 4/2, 8/2.
    assert figures["ratio.demo.16.ours-off.peer"] == 2.0


def test_the_better_peer_is_the_faster_one_by_its_median() -> None:
    assert (
        better_peer({"transformers": rounds(1.0, 1.0, 9.0), "transformers-cb": rounds(2.0, 2.0, 2.0)})
        == "transformers"
    )
    assert better_peer({"ours-none": rounds(1.0)}) is None


def test_without_peers_there_is_no_ratio_to_them() -> None:
    figures = figures_of("demo", {(1, "ours-none"): rounds(1.0), (1, "ours-off"): rounds(2.0)})
    assert [name for name in figures if name.endswith("peer")] == []
    assert figures["ratio.demo.1.ours-off.ours-none"] == 0.5


def job(name: str) -> Job:
    answer = Answer(name, 1)
    return Job(messages=[{"role": "user", "content": name}], tokens=1, strengths={}, plain=answer, steered=answer)


def test_clients_are_at_different_jobs() -> None:
    jobs = [job(str(n)) for n in range(8)]
    assert [[j.plain.text for j in client] for client in turns(jobs, 4, 3)] == [
        ["0", "1", "2"],
        ["2", "3", "4"],
        ["4", "5", "6"],
        ["6", "7", "0"],
    ]
    assert sorted(j.plain.text for client in shares(jobs, 3) for j in client) == [str(n) for n in range(8)]


def test_replies_that_do_not_end_themselves_have_different_lengths_around_the_mean() -> None:
    lengths = reply_lengths(SPECS["large"])
    assert sum(lengths) == SPECS["large"].tokens * len(lengths)
    assert len(set(lengths)) == len(lengths)
    assert (min(lengths), max(lengths)) == (17, 47)
    assert set(reply_lengths(SPECS["demo"])) == {SPECS["demo"].tokens}


class Stub(BaseHTTPRequestHandler):
    """Streams a role, then, after a while, two pieces of text; one event is cut in two."""

    fault: str | None = None

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["model"] == "refused":
            self.send_error(418)
            return
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.event({"role": "assistant"})
        time.sleep(0.05)
        if body["model"] == "broken":
            self.wfile.write(b'data: {"error": "out of luck"}\n\n')
            return
        self.event({"content": "Hello "}, cut=True)
        self.event({"content": body["messages"][0]["content"]})
        if body["model"] != "endless":
            self.event({}, "length")
            self.wfile.write(b"data: [DONE]\n\n")

    def event(self, delta: dict, reason: str | None = None, cut: bool = False) -> None:
        data = b"data: " + json.dumps({"choices": [{"delta": delta, "finish_reason": reason}]}).encode() + b"\n\n"
        self.wfile.write(data[:20])
        self.wfile.flush()
        if cut:
            time.sleep(0.02)
        self.wfile.write(data[20:])

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def stub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def body(content: str, model: str = "fine") -> dict:
    return {"model": model, "messages": [{"role": "user", "content": content}]}


def test_streams_are_put_together_and_timed_by_their_first_text(stub: str) -> None:
    load = asyncio.run(run_load(stub, [[body("you"), body("there")], [body("world")]]))
    assert [[reply.text for reply in client] for client in load.replies] == [
        ["Hello you", "Hello there"],
        ["Hello world"],
    ]
    first = [reply.first_token_seconds for client in load.replies for reply in client]
    # The role comes at once, the text 0.07 seconds later; the two requests of a client follow each other.
    assert min(first) >= 0.07
    assert load.seconds >= first[0] + first[1]


@pytest.mark.parametrize(
    ("model", "message"),
    [("refused", "status 418"), ("broken", "out of luck"), ("endless", "without a finish_reason")],
)
def test_a_failed_stream_ends_the_measurement(stub: str, model: str, message: str) -> None:
    with pytest.raises(ServedModelError, match=message):
        asyncio.run(run_load(stub, [[body("you", model)]]))


def test_processor_time_grows_with_work() -> None:
    before = cpu_seconds(os.getpid())
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert cpu_seconds(os.getpid()) - before > 0.05 or not Path("/proc/self/stat").exists()


def test_only_the_whole_benchmark_is_committed() -> None:
    assert is_whole(parse_options([]))
    assert is_whole(parse_options(["--rounds", "9"]))
    for arguments in (["--quick"], ["--rounds", "1"], ["--models", "demo"], ["--tokens", "4"]):
        assert not is_whole(parse_options(arguments))


@pytest.mark.slow
def test_our_server_under_load_on_a_tiny_model() -> None:
    shape = ModelShape(layers=2, d_model=64, heads=4, kv_heads=2, d_mlp=96)
    spec = ModelSpec(shape=shape, jobs=4, tokens=6, requests={1: 2}, threads=1)
    options = Options(models=("tiny",), contenders=(NONE, OFF, PLANS), clients=(1, 3), rounds=2)
    figures = measure("tiny", spec, options)
    for clients in (1, 3):
        for name in options.contenders:
            place = f"tiny.{clients}.{name}"
            speed = figures[f"tokens_per_second.{place}"]
            assert figures[f"tokens_per_second.{place}.low"] <= speed <= figures[f"tokens_per_second.{place}.high"]
            assert figures[f"first_token_ms.{place}.low"] > 0
        assert f"ratio.tiny.{clients}.ours-plans.ours-none" in figures
    assert set(CONTENDERS) > set(options.contenders)

"""The server that `benchmarks.classifier_path` measures: everything real but the engine, which replies at once.

`/measured` hands out, and forgets, how long each input took in the classifier's path: the values that go into
`scalpel_classifier_seconds`.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncGenerator, Sequence

import uvicorn

from classifiers import build_classifier
from server.api import create_app
from server.composition import bundle_references, load_bundles
from server.config import ServerConfig
from server.engines.base import (
    EngineInfo,
    EngineStats,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    TokenPiece,
)
from server.engines.checks import BATCH, Canary, CheckResult, Verdict
from server.running import bind
from server.state import ServerParts, ServerState, assemble

MODEL = "stub"
LEXICAL, NONE = "lexical", "none"


class StubTokenizer:
    """Every text is one token, whatever its length."""

    def encode_chat(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """One token."""
        return [1]

    def encode(self, text: str) -> list[int]:
        """One token."""
        return [1]

    def decode(self, token_ids: Sequence[int]) -> str:
        """No text."""
        return ""

    def piece(self, token_id: int) -> TokenPiece:
        """No text."""
        return TokenPiece(text="", data=None)


class StubEngine:
    """Replies with one token, at once."""

    def __init__(self, bundles: tuple[str, ...]) -> None:
        self.tokenizer = StubTokenizer()
        self.healthy = True
        self.info = EngineInfo(
            model_id=MODEL,
            model_type=MODEL,
            max_model_len=16,
            vocab=2,
            slots=1,
            device="cpu",
            dtype="float32",
            bundles=bundles,
        )

    def stats(self) -> EngineStats:
        """Nothing to tell."""
        return EngineStats(running=0, waiting=0, steps=0)

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def selftest(self, canaries: Sequence[Canary]) -> tuple[CheckResult, ...]:
        """There is no model to prove anything of."""
        return (CheckResult(name=BATCH, verdict=Verdict.PASSED, detail="a stub"),)

    async def check_canaries(self, canaries: Sequence[Canary], bank_version: int = 0) -> tuple[CheckResult, ...]:
        """As above."""
        return ()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk, None]:
        """The reply."""
        yield GenerationChunk(text="ok", token_ids=(1,), logprobs=(0.0,), finish_reason=FinishReason.STOP)


def build_state(classifier: str) -> ServerState:
    """A server with the demo's bundles, whose gates need the classifier; without one it has no bundle either."""
    if classifier == NONE:
        return assemble(ServerParts(engine=StubEngine(()), bundles=(), served_name=MODEL))
    bundles = load_bundles(bundle_references(ServerConfig()))
    engine = StubEngine(tuple(bundle.name for bundle in bundles))
    return assemble(
        ServerParts(engine=engine, bundles=bundles, served_name=MODEL, classifier=build_classifier(classifier))
    )


def record(state: ServerState) -> list[float]:
    """Seconds of each input from now on, as the server itself measures them."""
    seconds: list[float] = []
    count = state.metrics.classified

    def recorded(potentials: dict[str, float], took: float) -> None:
        seconds.append(took)
        count(potentials, took)

    state.metrics.classified = recorded
    return seconds


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--classifier", choices=(LEXICAL, NONE), required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    state = build_state(given.classifier)
    seconds = record(state)
    app = create_app(state)

    @app.get("/v1/measured")
    async def measured() -> list[float]:
        found = seconds.copy()
        seconds.clear()
        return found

    with bind("127.0.0.1", given.port) as listener:
        settings = uvicorn.Config(app, log_level="warning", access_log=False, ws="none")
        uvicorn.Server(settings).run(sockets=[listener])


if __name__ == "__main__":
    main()

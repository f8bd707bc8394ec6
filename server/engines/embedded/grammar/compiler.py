"""Compiling grammars: on one thread of its own, bounded in time, and once for requests that share one.

The thread is neither the event loop's nor the engine's. Its stack is large, because the native compiler recurses as
deep as a chain of references is long; `server.engines.schemas` bounds how long one can be.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from llguidance import LLMatcher, LLParserLimits

from server.engines.base import EngineOverloadedError, EngineUnavailableError, RequestRefusedError
from server.engines.embedded.grammar.dialect import source
from server.engines.embedded.grammar.matcher import GrammarMatcher, problem
from server.engines.embedded.grammar.vocabulary import Vocabulary
from server.engines.grammars import CallGrammar, FreeText, Grammar, JsonGrammar

logger = logging.getLogger(__name__)

SECONDS = 5.0
"""To wait for one grammar, those before it in the queue included."""
KEPT = 32
"""Compiled grammars, the latest used."""
PENDING = 64
"""Grammars that wait or are being compiled; more are refused as overload."""
STACK_BYTES = 256 * 1024 * 1024
"""Of address space; only what is used takes memory."""
PROBED_TOKENS = 16
LEXER_STATES = 50_000
"""Of one reply, 1 to 2 kB each."""

Result = TypeVar("Result")


class GrammarCompiler:
    """From grammars to matchers. `matcher` belongs to an event loop; everything else happens on the thread."""

    def __init__(self, vocabulary: Vocabulary, *, seconds: float = SECONDS, kept: int = KEPT) -> None:
        self._vocabulary = vocabulary
        self._seconds = seconds
        self._kept = kept
        self._compiled: OrderedDict[Grammar, Future[LLMatcher]] = OrderedDict()
        self._lock = threading.Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._ready: Future[object] | None = None
        self._stopped = False

    async def matcher(self, grammar: Grammar) -> GrammarMatcher:
        """A matcher at the beginning of a reply.

        Raises:
            RequestRefusedError: the grammar cannot be compiled, has no reply, or takes too long; says which.
            EngineOverloadedError: too many others wait.
            EngineUnavailableError: `stop` was called.
        """
        if not self._vocabulary.end_ids:
            raise RequestRefusedError("this model has no end token, so no reply of a grammar", param=grammar.param)
        # Not on the clock: the vocabulary is read once, for all grammars.
        await _outcome(self._vocabulary_read())
        compiling = self._compiling(grammar)
        try:
            compiled = await asyncio.wait_for(_outcome(compiling), self._seconds)
        except TimeoutError:
            raise RequestRefusedError(
                f"the grammar was not compiled within {self._seconds:g} seconds; simplify it", param=grammar.param
            ) from None
        return GrammarMatcher(
            compiled.deep_copy(),
            self._vocabulary.pieces,
            self._vocabulary.end_ids,
            free_text=isinstance(grammar, CallGrammar) and isinstance(grammar.otherwise, FreeText),
        )

    def stop(self) -> None:
        """Compile no more."""
        with self._lock:
            self._stopped = True
            if self._thread is not None:
                self._thread.shutdown(wait=False, cancel_futures=True)

    def _vocabulary_read(self) -> Future[object]:
        with self._lock:
            if self._ready is None:
                self._ready = self._running_thread().submit(lambda: self._vocabulary.compiled)
            return self._ready

    def _compiling(self, grammar: Grammar) -> Future[LLMatcher]:
        """The one compilation of `grammar`, begun if it has not been; what failed is tried anew."""
        with self._lock:
            found = self._compiled.get(grammar)
            if found is not None and not (found.done() and (found.cancelled() or found.exception() is not None)):
                self._compiled.move_to_end(grammar)
                return found
            pending = sum(not future.done() for future in self._compiled.values())
            if pending >= PENDING:
                raise EngineOverloadedError(f"{pending} grammars wait to be compiled; the engine takes {PENDING}")
            future = self._compiled[grammar] = self._running_thread().submit(self._compile, grammar)
            self._compiled.move_to_end(grammar)
            while len(self._compiled) > max(self._kept, pending + 1):
                self._drop_oldest()
            return future

    def _drop_oldest(self) -> None:
        """Of those that are done: who waits for the others keeps them in any case."""
        oldest = next((grammar for grammar, future in self._compiled.items() if future.done()), None)
        self._compiled.pop(next(iter(self._compiled)) if oldest is None else oldest)

    def _running_thread(self) -> ThreadPoolExecutor:
        if self._stopped:
            raise EngineUnavailableError("the engine is stopped")
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="scalpel-grammar")
            # The size is a setting of the process, for threads that start from now on.
            before = threading.stack_size(STACK_BYTES)
            try:
                self._thread.submit(int).result()
            finally:
                threading.stack_size(before)
        return self._thread

    def _compile(self, grammar: Grammar) -> LLMatcher:
        compiled = self._begun(grammar)
        if compiled.is_error():
            raise self._refusal(compiled, grammar)
        self._probe(compiled, grammar)
        return compiled

    def _begun(self, grammar: Grammar) -> LLMatcher:
        return LLMatcher(self._vocabulary.compiled, source(grammar), log_level=0, limits=_limits())

    def _refusal(self, compiled: LLMatcher, grammar: Grammar) -> RequestRefusedError:
        """Naming the part that is at fault, where a grammar has several."""
        if isinstance(grammar, CallGrammar):
            for function in grammar.functions:
                part = self._begun(JsonGrammar(schema=function.schema))
                if part.is_error():
                    message = f"the parameters of {function.name} cannot be enforced: {problem(part)}"
                    return RequestRefusedError(message, param=grammar.param)
            if isinstance(grammar.otherwise, JsonGrammar):
                part = self._begun(grammar.otherwise)
                if part.is_error():
                    return self._refusal(part, grammar.otherwise)
        return RequestRefusedError(f"the grammar cannot be enforced: {problem(compiled)}", param=grammar.param)

    def _probe(self, compiled: LLMatcher, grammar: Grammar) -> None:
        """Follow the beginning that all replies share: what fails there fails in every reply."""
        matcher = compiled.deep_copy()
        for _ in range(PROBED_TOKENS):
            bits = int.from_bytes(matcher.compute_bitmask(), "little")
            if matcher.is_error():
                raise RequestRefusedError(f"the grammar cannot be followed: {problem(matcher)}", param=grammar.param)
            if not bits:
                raise RequestRefusedError(
                    "this model has no tokens to write what the grammar wants", param=grammar.param
                )
            token_id = bits.bit_length() - 1
            if bits & (bits - 1) or token_id in self._vocabulary.end_ids:
                return
            matcher.consume_token(token_id)


def _limits() -> LLParserLimits:
    # Messages without the parser's state: it would quote the reply.
    return LLParserLimits(max_lexer_states=LEXER_STATES, verbose_errors=False)


async def _outcome(future: Future[Result]) -> Result:
    """What comes of a future that others may wait for too: giving up does not cancel it."""
    wrapped = asyncio.wrap_future(future)
    wrapped.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        return await asyncio.shield(wrapped)
    except asyncio.CancelledError:
        if future.cancelled():
            raise EngineUnavailableError("the engine was stopped before the grammar was compiled") from None
        raise

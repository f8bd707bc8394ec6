"""One request to the upstream and its reply back: unchanged, but for the plan there and the report here.

Whatever ends a request early, the client leaving, the time limit, the drain, closes its connection to the upstream,
and vLLM gives its place free.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass

import httpx
from fastapi import Response

from server.api.connection import EventStream
from server.api.events import error_event
from server.api.headers import answer_headers
from server.errors import InvalidRequestError
from server.gateway.accounts import Accounts, Ledger
from server.gateway.body import Changes, GatewayBody, forwarded
from server.gateway.errors import UpstreamBankError, UpstreamError, UpstreamFailedError, UpstreamUnavailableError
from server.gateway.errors import describe as describe_error
from server.gateway.events import (
    EventCutter,
    is_done,
    is_error,
    is_object,
    may_hold_usage,
    object_in,
    with_field,
)
from server.gateway.planning import PlannedRequest
from server.gateway.proof import BANK_REFUSED
from server.gateway.upstream import Upstream, reason_of
from server.gateway.watch import UpstreamWatch
from server.generation.interruption import Interruptions
from server.generation.report import Report

logger = logging.getLogger(__name__)

PASSED_ON = ("traceparent", "tracestate")
"""Headers of a request that go on."""

_NOT_BACK = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade"),
        *("content-length", "content-encoding", "content-type", "date", "server", "set-cookie", "cache-control"),
    }
)
"""Headers of a reply that are about the connection that it came over, or that are written anew."""

_EVENTS = re.compile(r"text/event-stream\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """A planned request, ready to be sent."""

    path: str
    body: GatewayBody
    changes: Changes
    planned: PlannedRequest
    headers: Mapping[str, str]


class Forwarding:
    """Sends requests on. Belongs to the event loop."""

    def __init__(
        self, upstream: Upstream, watch: UpstreamWatch, accounts: Accounts, *, request_seconds: float | None
    ) -> None:
        """`request_seconds`: from a request's arrival to its last byte; None for no limit."""
        self._upstream = upstream
        self._watch = watch
        self._accounts = accounts
        self.running = Interruptions(request_seconds)

    async def answer(self, request: Forwarded) -> Response:
        """The reply, whole, or as a stream that has begun.

        Raises:
            UpstreamError: there is none; nothing was sent to the client yet.
            ServerError: the time is over, or the gateway stops.
        """
        count = request.body.field("n")
        ledger = self._accounts.open(
            request.planned,
            replies=count if type(count) is int and count > 0 else 1,
            echoes=bool(request.body.field("echo")),
        )
        pieces = self.running.guarded(self._pieces(request), request.planned.context.elapsed())
        try:
            head = await anext(pieces)
            if not isinstance(head, httpx.Response):
                raise TypeError(f"a reply begins with {type(head).__name__}; wanted its head")
            if head.status_code == 200 and _EVENTS.match(head.headers.get("content-type", "")):
                return self._stream(request, head, pieces, ledger)
            body = b"".join([piece async for piece in pieces if isinstance(piece, bytes)])
        except BaseException as error:
            await pieces.aclose()
            self._accounts.close(ledger, error)
            raise
        return self._whole(request, head, body, ledger)

    async def _pieces(self, request: Forwarded) -> AsyncGenerator[httpx.Response | bytes, None]:
        """The head of the upstream's reply, then its bytes as they come."""
        content = forwarded(request.body, request.changes)
        headers = {**request.headers, "Content-Type": "application/json"}
        client = self._upstream.requests
        response = None
        try:
            sent = client.build_request("POST", request.path, content=content, headers=headers)
            response = await client.send(sent, stream=True)
            yield response
            async for piece in response.aiter_raw():
                yield piece
        except httpx.HTTPError as error:
            raise self._broken(request, error, begun=response is not None) from error
        finally:
            if response is not None:
                await response.aclose()

    def _broken(self, request: Forwarded, error: httpx.HTTPError, *, begun: bool) -> UpstreamError:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            self._watch.lost(f"it takes no connection ({reason_of(error)})", request.planned.context.arrived)
            return UpstreamUnavailableError(f"the model cannot be reached ({type(error).__name__})")
        self._watch.suspect()
        where = "in the middle of the reply" if begun else "before it replied"
        return UpstreamFailedError(f"the upstream broke the connection {where} ({type(error).__name__})")

    def _whole(self, request: Forwarded, head: httpx.Response, body: bytes, ledger: Ledger) -> Response:
        failure = self._failure(request, head, body)
        self._accounts.close(ledger, failure, body=body)
        if failure is not None and (head.status_code in (401, 403) or isinstance(failure, UpstreamBankError)):
            raise failure
        kind, headers = head.headers.get("content-type"), _back(head)
        if failure is None:
            report = request.planned.report()
            headers |= answer_headers([report])
            if body.lstrip().startswith(b"{"):
                body = with_field(body, "scalpel", report_json(report)) or body
        return Response(body, status_code=head.status_code, headers=headers, media_type=kind)

    def _failure(self, request: Forwarded, head: httpx.Response, body: bytes) -> Exception | None:
        """What a reply with another status than 200 means; None for a good one."""
        status = head.status_code
        if status == 200:
            return None
        if status in (401, 403):
            self._watch.suspect()
            return UpstreamFailedError(
                f"the upstream answers {status} to the gateway itself; its key is not accepted"
            )
        if status == 400 and (found := BANK_REFUSED.search(body.decode(errors="replace"))):
            self._watch.suspect()
            return UpstreamBankError(f"the upstream has bank {found[1]}; wanted {request.changes.bank}")
        if status >= 500:
            self._watch.suspect()
            return UpstreamFailedError(f"the upstream answers {status}")
        # Answered in vLLM's own words; this is for the count of outcomes.
        return InvalidRequestError(f"the upstream refuses the request with {status}")

    def _stream(
        self,
        request: Forwarded,
        head: httpx.Response,
        pieces: AsyncGenerator[httpx.Response | bytes, None],
        ledger: Ledger,
    ) -> EventStream:
        async def finish(ended_with: BaseException | None) -> None:
            await pieces.aclose()
            self._accounts.close(ledger, ledger.failure or ended_with)

        report = request.planned.report()
        events = self._events(request, report, pieces, ledger)
        return EventStream(events, finish, {**_back(head), **answer_headers([report])})

    async def _events(
        self,
        request: Forwarded,
        report: Report,
        pieces: AsyncGenerator[httpx.Response | bytes, None],
        ledger: Ledger,
    ) -> AsyncGenerator[bytes, None]:
        """All events, each as soon as it is whole; those that came together go out together."""
        events = StreamedEvents(report, ledger, withholds_usage=request.changes.usage)
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    if isinstance(piece, bytes) and (out := events.feed(piece)):
                        yield out
            if not events.complete:
                self._watch.suspect()
                raise UpstreamFailedError(
                    "the upstream ended the stream before it was whole; wanted [DONE] at its end"
                )
        except Exception as failure:  # the status is out: every failure has to become an event
            if events.complete:
                # Whole by then: what became of the connection afterwards is no matter of the client's.
                return
            told = None if isinstance(failure, UpstreamError) else failure
            logger.error("failed in mid-stream: %s: %s", type(failure).__name__, failure, exc_info=told)
            ledger.failure = failure
            yield error_event(describe_error(failure))


class StreamedEvents:
    """The events of one stream on their way."""

    def __init__(self, report: Report, ledger: Ledger, *, withholds_usage: bool) -> None:
        self._report: bytes | None = report_json(report)
        self._ledger = ledger
        self._withholds_usage = withholds_usage
        self._cutter = EventCutter()
        self.complete = False
        """Whether the upstream said that the stream is whole."""

    def feed(self, piece: bytes) -> bytes:
        """What goes on now that this piece came."""
        return b"".join(out for event in self._cutter.feed(piece) if (out := self._passed(event)) is not None)

    def _passed(self, event: bytes) -> bytes | None:
        """The event as it goes on; None where it is withheld."""
        if is_done(event):
            self.complete = True
            return event
        if is_error(event):
            self._ledger.failure = UpstreamFailedError("the upstream failed in mid-stream")
            return event
        if not is_object(event):
            return event
        if may_hold_usage(event):
            self._ledger.usage_event = event
            if self._withholds_usage and (object_in(event) or {}).get("choices") == []:
                return None
        self._ledger.replied(event)
        if self._report is None:
            return event
        report, self._report = self._report, None
        return with_field(event, "scalpel", report) or event


def report_json(report: Report) -> bytes:
    """As responses carry it. How many tokens were steered is not known here."""
    return json.dumps({**asdict(report), "tokens_steered": None}, separators=(",", ":")).encode()


def _back(head: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in head.headers.items() if name not in _NOT_BACK}

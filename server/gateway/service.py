"""The gateway at work: one request from its body to its reply, in the order of DESIGN section 4."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import httpx
from fastapi import Request, Response

from server.api.body import read_wire
from server.api.connection import unless_gone
from server.api.context import request_context
from server.errors import ServerError
from server.gateway.accounts import Accounts
from server.gateway.body import Changes, GatewayBody
from server.gateway.forwarding import PASSED_ON, Forwarded, Forwarding
from server.gateway.planning import PlannedRequest, RequestPlanning
from server.gateway.reading import read_chat, read_prompts
from server.gateway.upstream import Upstream
from server.gateway.watch import UpstreamWatch
from server.generation.context import RequestContext

logger = logging.getLogger(__name__)


class Route(Enum):
    """The endpoints that run the model."""

    CHAT = "/v1/chat/completions"
    TEXT = "/v1/completions"

    @property
    def length_field(self) -> str:
        """What a request's limit of tokens is called there, by its newest name."""
        return "max_completion_tokens" if self is Route.CHAT else "max_tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Serves requests on one upstream. Belongs to the event loop."""

    upstream: Upstream
    watch: UpstreamWatch
    planning: RequestPlanning
    forwarding: Forwarding
    accounts: Accounts
    bank: str
    """Digest of the bank that plans are for."""
    model: str
    """The upstream's own name for the model."""
    body_limit: int
    requests: int
    """That run at once."""

    async def respond(self, route: Route, request: Request) -> Response:
        """Answer a request to the model.

        Raises:
            ServerError, EngineOverloadedError: it gets a status of its own.
        """
        context, let_in = request_context(request), False
        try:
            self.watch.require()
            self.accounts.let_in(self.requests)
            let_in = True
            body = await read_wire(request, GatewayBody, self.body_limit)
        except BaseException as error:
            self.accounts.ended(context, error, let_in=let_in)
            raise
        headers = {name: value for name in PASSED_ON if (value := request.headers.get(name, "")).isascii() and value}
        headers["X-Request-Id"] = context.request_id
        return await unless_gone(request.receive, self._answer(route, body, context, headers))

    async def _answer(
        self, route: Route, body: GatewayBody, context: RequestContext, headers: dict[str, str]
    ) -> Response:
        try:
            planned = await self._plan(route, body, context)
            # It may have gone while the request was read.
            self.watch.require()
            changes = self._changes(route, body, planned)
        except BaseException as error:
            self.accounts.ended(context, error)
            raise
        forwarded = Forwarded(path=route.value, body=body, changes=changes, planned=planned, headers=headers)
        return await self.forwarding.answer(forwarded)

    async def _plan(self, route: Route, body: GatewayBody, context: RequestContext) -> PlannedRequest:
        # Refused before anything is counted, if at all.
        _ = body.generation_start
        wishes = await self.planning.allow(body, context)
        reading = read_chat(body) if route is Route.CHAT else await read_prompts(body, self._text)
        return await self.planning.plan(wishes, reading, context)

    def _changes(self, route: Route, body: GatewayBody, planned: PlannedRequest) -> Changes:
        counts = planned.rates.tokens_per_minute is not None
        return Changes(
            model=self.model,
            plan=planned.plan,
            bank=self.bank,
            generation_start=body.generation_start,
            max_tokens=self.planning.reply_limit(body),
            length_field=route.length_field,
            usage=bool(body.stream) and counts and not body.asks_for_usage,
        )

    async def ask(self, path: str, content: object) -> httpx.Response:
        """vLLM's answer to what it answers without the model; from the pool of requests, since clients ask for it.

        Raises:
            httpx.HTTPError: there is none.
        """
        seconds = self.upstream.address.connect_seconds
        return await self.upstream.requests.post(path, json=content, timeout=seconds)

    async def _text(self, token_ids: Sequence[int]) -> str | None:
        """What token ids say, as vLLM's tokenizer has it."""
        try:
            response = await self.ask("/detokenize", {"model": self.model, "tokens": list(token_ids)})
            text = response.json().get("prompt") if response.status_code == 200 else None
        except (httpx.HTTPError, ValueError, AttributeError):
            text = None
        if not isinstance(text, str):
            logger.warning("the upstream did not say what the tokens of a prompt mean")
            return None
        return text

    def interrupt_all(self, error: ServerError) -> None:
        """End every request that runs with this error."""
        self.forwarding.running.interrupt_all(error)

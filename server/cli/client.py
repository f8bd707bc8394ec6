"""A small client of a running server, for the commands that talk to one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import httpx

from server.cli.failures import CommandError

KEY_VARIABLE = "SCALPEL_API_KEY"
"""Environment variable with the key to send; an argument would stand in the list of processes."""


class ReplyError(Exception):
    """The server refused or failed one request; the message is the server's."""


class ServerClient:
    """Calls one server. Close it, or use it as a context manager."""

    def __init__(self, base_url: str, *, timeout_seconds: float = 120.0) -> None:
        self._base_url = base_url.rstrip("/").removesuffix("/v1")
        key = os.environ.get(KEY_VARIABLE)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=self._base_url, timeout=timeout_seconds, headers=headers)

    def __enter__(self) -> ServerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def models(self) -> list[str]:
        """The served model names, the plain one first.

        Raises:
            CommandError: the server cannot be reached.
        """
        return [card["id"] for card in self._get("/v1/models")["data"]]

    def breakers(self) -> list[dict[str, Any]]:
        """The cards of the loaded bundles.

        Raises:
            CommandError: the server cannot be reached.
        """
        cards: list[dict[str, Any]] = self._get("/v1/breakers")["data"]
        return cards

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """A whole chat completion.

        Raises:
            ReplyError: the server refused or failed it.
            CommandError: the server cannot be reached.
        """
        with self._reached():
            response = self._http.post("/v1/chat/completions", json=body)
        if response.status_code != 200:
            raise ReplyError(_message(response))
        reply: dict[str, Any] = response.json()
        return reply

    def stream(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The chunks of a streamed chat completion.

        Raises:
            ReplyError: the server refused it, failed it, or the stream ended early.
            CommandError: the server cannot be reached.
        """
        with (
            self._reached(),
            self._http.stream("POST", "/v1/chat/completions", json=body | {"stream": True}) as reply,
        ):
            if reply.status_code != 200:
                reply.read()
                raise ReplyError(_message(reply))
            yield from _events(reply)

    def _get(self, path: str) -> Any:
        with self._reached():
            response = self._http.get(path)
        if response.status_code != 200:
            raise CommandError(f"{self._base_url}{path} answered {response.status_code}: {_message(response)}")
        return response.json()

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            problem = str(error) or type(error).__name__
            raise CommandError(
                f"no answer from {self._base_url} ({problem}); is `scalpel serve` running there?"
            ) from error


def _events(reply: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in reply.iter_lines():
        data = line.removeprefix("data: ")
        if data == line:
            continue
        if data == "[DONE]":
            return
        event: dict[str, Any] = json.loads(data)
        if "error" in event:
            raise ReplyError(str(event["error"]["message"]))
        yield event
    raise ReplyError("the stream ended before the reply did")


def _message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]

"""One POST and its answer: bounded in time and size, tried again only where that can help."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import httpx

from classifiers.errors import RemoteError
from classifiers.remote.config import RetriesConfig

ANSWER_LIMIT = 4 * 1024 * 1024
"""Bytes of an answer."""
_AGAIN = frozenset({429, 500, 502, 503, 504})
_SHOWN = 200
"""Characters of a refusal that a message repeats."""


class _TryAgainError(Exception):
    """An attempt that failed in a way that may pass."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RemoteClient:
    """Sends JSON to one address. No redirect is followed: a key goes nowhere else."""

    def __init__(self, url: str, *, key: str | None, timeout_seconds: float, retries: RetriesConfig) -> None:
        """Prepare; connections are opened when they are needed.

        Args:
            url: of the route.
            key: sent as a bearer token; None for none.
            timeout_seconds: for all attempts at one answer together.
            retries: how often to try.
        """
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._url, self._timeout, self._retries = url, timeout_seconds, retries
        self._http = httpx.Client(headers=headers, follow_redirects=False, trust_env=False)

    def post(self, body: Mapping[str, object]) -> object:
        """The JSON that answers `body`.

        Raises:
            RemoteError: there is none in time, it is a refusal, or it is not JSON.
        """
        end = time.monotonic() + self._timeout
        for attempt in range(self._retries.attempts):
            try:
                return self._attempt(body, end)
            except _TryAgainError as failure:
                pause = self._pause(attempt, failure.retry_after)
                last = attempt + 1 == self._retries.attempts
                if last or time.monotonic() + pause >= end:
                    raise RemoteError(f"{self._url}: {failure} (attempt {attempt + 1})") from failure
                time.sleep(pause)
        raise RemoteError(f"{self._url}: nothing was tried")

    def close(self) -> None:
        """Close what is open."""
        self._http.close()

    def _pause(self, attempt: int, retry_after: float | None) -> float:
        wanted = self._retries.backoff_seconds * 2**attempt if retry_after is None else retry_after
        return min(wanted, self._retries.backoff_limit_seconds)

    def _attempt(self, body: Mapping[str, object], end: float) -> object:
        left = end - time.monotonic()
        if left <= 0:
            raise RemoteError(f"{self._url}: no answer within {self._timeout} s")
        try:
            with self._http.stream("POST", self._url, json=body, timeout=left) as response:
                content = self._read(response, end)
        except httpx.TimeoutException as error:
            raise RemoteError(f"{self._url}: no answer within {self._timeout} s") from error
        except httpx.TransportError as error:
            raise _TryAgainError(f"the connection failed: {error or type(error).__name__}") from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise RemoteError(f"{self._url}: {error}") from error
        return self._understood(response, content)

    def _read(self, response: httpx.Response, end: float) -> bytes:
        content = bytearray()
        for piece in response.iter_bytes():
            content += piece
            if len(content) > ANSWER_LIMIT:
                raise RemoteError(f"{self._url}: the answer is longer than {ANSWER_LIMIT} bytes")
            if time.monotonic() > end:  # time-outs of httpx are between bytes
                raise RemoteError(f"{self._url}: no whole answer within {self._timeout} s")
        return bytes(content)

    def _understood(self, response: httpx.Response, content: bytes) -> object:
        if response.status_code in _AGAIN:
            raise _TryAgainError(f"status {response.status_code}", _retry_after(response))
        if response.status_code != httpx.codes.OK:
            shown = content[:_SHOWN].decode("utf-8", "replace")
            raise RemoteError(f"{self._url}: status {response.status_code}; wanted 200: {shown}")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise RemoteError(f"{self._url}: the answer is not JSON: {error}") from error


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; None where they are missing or a date."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None

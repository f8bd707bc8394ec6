"""Sends requests one after the other, and counts what comes of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import requests

HANG_SECONDS = 60.0
"""Without a byte for this long, a request hangs."""
SHOWN = 400


@dataclass(slots=True)
class Tally:
    """What came of the requests so far."""

    statuses: Counter[int] = field(default_factory=Counter)
    hangs: int = 0
    broken: int = 0
    """Answers that are no HTTP, or errors that are not in OpenAI's shape."""
    problems: list[str] = field(default_factory=list)
    """The first few, with the request."""

    @property
    def requests(self) -> int:
        """How many were sent."""
        return sum(self.statuses.values()) + self.hangs

    @property
    def failures(self) -> int:
        """Answers with a status of 500 or more."""
        return sum(count for status, count in self.statuses.items() if status >= 500)

    def note(self, problem: str) -> None:
        """Keep a description of a problem."""
        if len(self.problems) < 20:
            self.problems.append(problem[:SHOWN])


class Sender:
    """One connection to the server."""

    def __init__(self, base: str, tally: Tally) -> None:
        """`base` is the server's address, without a path."""
        self.base = base
        self.tally = tally
        self.session = requests.Session()
        self.session.trust_env = False

    def send(self, method: str, path: str, **transport: Any) -> requests.Response | None:
        """Send a request and count what comes of it; None where nothing came.

        Args:
            method: of HTTP.
            path: with a leading slash.
            transport: as `requests.Session.request` takes it.
        """
        words = f"{method} {path} {transport.get('data', transport.get('json', ''))!r}"
        try:
            response = self.session.request(method, self.base + path, timeout=HANG_SECONDS, **transport)
        except requests.Timeout:
            self.tally.hangs += 1
            self.tally.note(f"no answer: {words}")
            return None
        except requests.ConnectionError as error:
            self.tally.statuses[0] += 1
            self.tally.broken += 1
            self.tally.note(f"{type(error).__name__}: {words}")
            return None
        self.judge(response, words)
        return response

    def judge(self, response: requests.Response, words: str) -> None:
        """Count a response."""
        status = response.status_code
        self.tally.statuses[status] += 1
        if status >= 500:
            self.tally.note(f"{status} {response.text[:100]}: {words}")
        if status >= 400 and not _is_error(response):
            self.tally.broken += 1
            self.tally.note(f"{status} without an error of OpenAI's shape, {response.text[:100]}: {words}")


def _is_error(response: requests.Response) -> bool:
    if response.request.method == "HEAD":
        return True
    try:
        return bool(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return False

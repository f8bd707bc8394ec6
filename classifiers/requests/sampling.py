"""Which rows of a big set are read: a seeded sample in which harmful and hard rows come first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from classifiers.requests.record import RequestRow


def sample_requests(rows: Iterable[RequestRow], limit: int, seed: int) -> list[RequestRow]:
    """At most `limit` rows, by a seeded hash of their text.

    Half of the limit goes to harmful rows and half of the rest to hard ones, where there are as many.
    """
    ranked = sorted(rows, key=lambda row: hashlib.sha256(f"{seed}:{row.text}".encode()).digest())
    harmful = [row for row in ranked if row.harmful]
    hard = [row for row in ranked if row.hard]
    plain = [row for row in ranked if not row.hard and not row.harmful]
    for_harmful = _share(len(harmful), len(hard) + len(plain), limit)
    for_hard = _share(len(hard), len(plain), limit - for_harmful)
    return harmful[:for_harmful] + hard[:for_hard] + plain[: limit - for_harmful - for_hard]


def _share(first: int, second: int, limit: int) -> int:
    """How many of the first rows fit into half of a limit, or into what the second leave of it."""
    return min(first, max(limit - limit // 2, limit - second))

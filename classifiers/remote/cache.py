"""Verdicts by the hash of a text: bounded in number and age."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping


class VerdictCache:
    """The verdicts used last. Safe to use from several threads."""

    def __init__(self, *, entries: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start empty.

        Args:
            entries: kept at most; 0 keeps none.
            seconds: after which a verdict is not used any more, however often it was.
            clock: seconds that only grow.
        """
        self._entries, self._seconds, self._clock = entries, seconds, clock
        self._kept: OrderedDict[bytes, tuple[float, Mapping[str, float]]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, text: str) -> Mapping[str, float] | None:
        """The verdict on `text`, where there is a fresh one."""
        key = _key(text)
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            made, verdict = found
            if self._clock() - made > self._seconds:
                del self._kept[key]
                return None
            self._kept.move_to_end(key)
            return verdict

    def put(self, text: str, verdict: Mapping[str, float]) -> None:
        """Keep the verdict on `text`."""
        with self._lock:
            self._kept[_key(text)] = (self._clock(), verdict)
            self._kept.move_to_end(_key(text))
            while len(self._kept) > self._entries:
                self._kept.popitem(last=False)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()

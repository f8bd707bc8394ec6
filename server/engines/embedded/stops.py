"""Stop strings: found across token borders, and never shown, not even in part."""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Passes text on, holding back an end that may be the beginning of a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._reach = max((len(stop) for stop in self._stops), default=1) - 1
        self._held = ""
        self._past = 0
        """Characters at the start of what is held with which no stop string may end."""
        self.stopped = False
        """Whether a stop string was found; nothing comes out after it."""

    def push(self, text: str, *, may_stop: bool = True) -> str:
        """Text that is safe to show now. Without `may_stop`, no stop string may end within `text`."""
        if self.stopped:
            return ""
        if not self._stops:
            return text
        text = self._held + text
        self._past = self._past if may_stop else len(text)
        found = [(at + len(stop), at) for stop in self._stops if (at := self._find(stop, text)) >= 0]
        if found:
            self.stopped = True
            self._held = ""
            # The one that is complete first, as if the text had come character by character.
            _, start = min(found)
            return text[:start]
        keep = self._overlap(text)
        self._held = text[len(text) - keep :]
        self._past = max(0, self._past - (len(text) - keep))
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back, at the end of a reply that did not stop by a string."""
        held, self._held = self._held, ""
        return held

    def _find(self, stop: str, text: str) -> int:
        return text.find(stop, max(0, self._past - len(stop) + 1))

    def _overlap(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop string."""
        for length in range(min(self._reach, len(text)), 0, -1):
            end = text[-length:]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0

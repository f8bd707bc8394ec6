"""What patching costs, in forward passes of the unmodified model: layers times tokens, the output head left out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Cost:
    """Counted while a measure runs; one unit is one full forward pass of one run (prompt and completion)."""

    recorded: float = 0.0
    """Unmodified and source runs, which every way of patching needs."""
    replayed: float = 0.0
    """Runs under patches: of each its share of layers and tokens that was computed anew."""
    plain: float = 0.0
    """Runs under patches, each as a whole: what `replayed` would be without reuse."""

    @property
    def total(self) -> float:
        """Forward-pass equivalents spent."""
        return self.recorded + self.replayed

    @property
    def saving(self) -> float:
        """How many times as much the same patches cost without reuse."""
        return (self.recorded + self.plain) / self.total if self.total else 1.0

    def note_recorded(self, runs: int) -> None:
        """Count whole forward passes."""
        self.recorded += runs

    def note_replayed(self, runs: int, *, layers: float, tokens: float) -> None:
        """Count runs under patches; `layers` and `tokens` are the shares computed anew, in [0, 1]."""
        self.replayed += runs * layers * tokens
        self.plain += runs

"""The general classifiers that ship: fitted on labelled requests, in folders called as their members.

`lexical` beside this package is another one: it was calibrated on the demo model, and is what the server of the demo
uses. The general ones know nothing of any model, and say how likely complying is harm.
"""

from __future__ import annotations

from pathlib import Path

SHIPPED = ("ensemble", "embedding", "lexical-requests")
"""The best first."""


def shipped_path(member: str) -> Path:
    """Directory of the general classifier called `member`."""
    return Path(__file__).parent / member


def is_shipped(member: str) -> bool:
    """Whether its files are there; that it can be loaded is for the loading to show."""
    return (shipped_path(member) / "card.json").exists()


def shipped_members() -> list[str]:
    """Those whose files are there, the best first."""
    return [member for member in SHIPPED if is_shipped(member)]

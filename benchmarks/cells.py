"""How the tables of the documents write shares and points with their intervals."""

from __future__ import annotations

from collections.abc import Mapping


def percent(figures: Mapping[str, float], name: str, interval: bool = True) -> str:
    """A share with its interval."""
    if name not in figures:
        return "none to reduce"
    shown = f"{100 * figures[name]:.1f} %"
    return shown + (f" [{100 * figures[name + '.low']:.1f}, {100 * figures[name + '.high']:.1f}]" if interval else "")


def points(figures: Mapping[str, float], name: str) -> str:
    """A drop in points with its interval."""
    low, high = figures[name + ".low"], figures[name + ".high"]
    return f"{figures[name]:+.1f} [{low:+.1f}, {high:+.1f}]"

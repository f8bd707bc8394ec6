"""What a request asks of the breakers, and on whose behalf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from server.access.caller import ANYONE, Caller
from server.policy.profiles import Profile

Toggle: TypeAlias = bool | float
"""What a request says about one bundle: False is 0, True lets the gate decide, a number fixes the strength."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a request asks of the breakers."""

    profile: Profile = Profile.DEFAULT
    toggles: Mapping[str, Toggle] = field(default_factory=dict)
    """By bundle name; a toggle beats the profile."""
    caller: Caller = ANYONE
    """Decides which rules hold, and whether the caller may go below a floor."""
    user: str | None = None
    """The caller's own word for whom it asks; rollouts may go by it."""

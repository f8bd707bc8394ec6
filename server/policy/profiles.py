"""Profiles: named ways to run the breakers, selectable in the model name by clients that can only set a model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from server.errors import UnknownModelError


class Profile(StrEnum):
    """What holds for a bundle that the request does not name."""

    DEFAULT = "default"
    """The gate decides; bundles without a gate are off."""
    OFF = "off"
    """Every bundle is off."""
    STRICT = "strict"
    """Every bundle with a gate runs at full strength; bundles without one are off."""


SEPARATOR = "@"
"""Stands between a served name and a profile: `scalpel-demo@off`."""


@dataclass(frozen=True, slots=True)
class ServedNames:
    """The model names that a server answers to."""

    base: str

    @property
    def all(self) -> dict[str, Profile]:
        """Every name with its profile, the plain name first."""
        others = (p for p in Profile if p is not Profile.DEFAULT)
        return {self.base: Profile.DEFAULT} | {f"{self.base}{SEPARATOR}{p}": p for p in others}

    def profile(self, model: str) -> Profile:
        """The profile that a model name asks for.

        Raises:
            UnknownModelError: no such name is served; the message lists those that are.
        """
        found = self.all.get(model)
        if found is None:
            message = f"the model {model!r} does not exist here; served: {', '.join(self.all)}"
            raise UnknownModelError(message, param="model", code="model_not_found")
        return found

"""Profiles: named ways to run the breakers. A request names one in its body; clients that cannot, in the header
`X-Scalpel-Profile`; and those that can only set a model, in the model's name. The first of these that is there holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from server.errors import InvalidRequestError, UnknownModelError


class Profile(StrEnum):
    """What holds for a bundle that the request does not name."""

    DEFAULT = "default"
    """The gate decides; bundles without a gate are off."""
    OFF = "off"
    """Every bundle is off."""
    STRICT = "strict"
    """Every bundle with a gate runs at full strength; bundles without one are off."""


HEADER = "X-Scalpel-Profile"
"""Names a profile for clients that cannot add to the body."""

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


def settle_profile(body: Profile | None, header: str | None, named: Profile) -> Profile:
    """The profile of a request.

    Args:
        body: what `scalpel.profile` says, None where it says nothing; beats the header.
        header: what `X-Scalpel-Profile` says, None without it; beats the model name.
        named: what the model name says.

    Raises:
        InvalidRequestError: the header names no profile; also where the body beats it.
    """
    if header is None:
        return body or named
    try:
        found = Profile(header)
    except ValueError:
        raise InvalidRequestError(
            f"the header {HEADER} is {header[:80]!r}; wanted {', '.join(Profile)}", param=HEADER, code="invalid_value"
        ) from None
    return body or found

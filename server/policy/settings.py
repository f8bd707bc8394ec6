"""The policy file: what it may hold. Unknown keys, other types and other versions are refused.

Rules stand in four places, and a later one beats an earlier one key by key: `defaults`, `bundles.NAME`,
`keys.KEY.defaults`, `keys.KEY.bundles.NAME`. What no place sets is as if there were no policy.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field


class Mode(StrEnum):
    """Whether decisions reach the model."""

    ENFORCE = "enforce"
    SHADOW = "shadow"
    """Classify, decide and report, but apply nothing."""


class OnDoseCap(StrEnum):
    """What becomes of a strength above the dose cap."""

    LOWER = "lower"
    REFUSE = "refuse"


class OnClassifierFailure(StrEnum):
    """What becomes of a bundle whose gate has no harm potential to read. There is no word for "nothing"."""

    FULL_STRENGTH = "full_strength"
    REFUSE = "refuse"


class MayOverride(StrEnum):
    """Who may go below the floor."""

    SCOPE = "scope"
    """Keys with the scope `breakers:override`."""
    NOBODY = "nobody"


class RolloutBy(StrEnum):
    """What decides whether a request is in the share."""

    KEY = "key"
    USER = "user"


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


Strength: TypeAlias = Annotated[float, Field(ge=0, le=16, allow_inf_nan=False)]


class RolloutSettings(_Settings):
    """The share of callers for whom a bundle is enforced; for the others it runs in shadow."""

    share: float = Field(default=1.0, ge=0, le=1, allow_inf_nan=False)
    """Share of callers, 0 to 1."""
    by: RolloutBy = Field(default=RolloutBy.KEY, strict=False)
    """`key`: by the API key's id; `user`: by the request's `user`. Requests without it are in the share."""


class RuleSettings(_Settings):
    """What holds for one bundle, or for all."""

    enabled: bool = True
    """`false`: strength 0 for everyone, and requests that ask for more are refused."""
    floor: Strength = 0.0
    """Least strength, rounded up to 1/16; 0 to the bundle's highest."""
    ceiling: Strength | None = None
    """Greatest strength, rounded down to 1/16; none for the bundle's highest."""
    dose_cap: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Greatest relative dose: strength times the bundle's `dose_p95`; rounded down to 1/16 of strength."""
    on_dose_cap: OnDoseCap = Field(default=OnDoseCap.LOWER, strict=False)
    """`lower` the strength to the cap, or `refuse` the request."""
    mode: Mode = Field(default=Mode.ENFORCE, strict=False)
    """`shadow`: decide and report, but apply nothing."""
    rollout: RolloutSettings = RolloutSettings()
    """For whom it is enforced."""
    classifier_failure: OnClassifierFailure = Field(default=OnClassifierFailure.FULL_STRENGTH, strict=False)
    """Without a harm potential: run at `full_strength`, or `refuse` the request."""
    override: MayOverride = Field(default=MayOverride.SCOPE, strict=False)
    """Who may go below the floor: keys with the `scope` `breakers:override`, or `nobody`."""


class RateSettings(_Settings):
    """How much one key may ask for. Each key has its own count; callers without keys share one."""

    requests_per_minute: int | None = Field(default=None, ge=1)
    """None for no limit."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Prompt and reply together; none for no limit."""


class KeySettings(_Settings):
    """What differs for one API key."""

    defaults: RuleSettings = RuleSettings()
    """For every bundle; beats the file's `bundles`."""
    bundles: dict[str, RuleSettings] = {}
    """By bundle name."""
    rates: RateSettings = RateSettings()
    """Only what is set here differs."""


class PolicySettings(_Settings):
    """Everything in a policy file."""

    version: Literal[1] = 1
    """Of this format; it has to be there."""
    defaults: RuleSettings = RuleSettings()
    """For every bundle."""
    bundles: dict[str, RuleSettings] = {}
    """By bundle name."""
    rates: RateSettings = RateSettings()
    """For every key."""
    keys: dict[str, KeySettings] = {}
    """By a key's id, or by its label; the id beats the label."""

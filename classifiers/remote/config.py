"""What a configuration says of a remote judge: where it is, how long to wait, and what its answers mean here."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from classifiers.artifact import ConversationCard, StrictCard
from classifiers.calibration import CalibrationCard
from classifiers.config_file import DEFAULT_CONVERSATION

TEXT = "{text}"
"""Where a prompt has the text that is judged."""


class RetriesConfig(StrictCard):
    """What is tried again: connections that fail, 429 and 5xx. Other answers are final."""

    attempts: int = Field(default=3, ge=1, le=10)
    """The first one included."""
    backoff_seconds: float = Field(default=0.1, ge=0, le=60)
    """Before the second attempt; twice as long before each further one, or as long as `Retry-After` asks for."""
    backoff_limit_seconds: float = Field(default=2.0, ge=0, le=60)


class CacheConfig(StrictCard):
    """Verdicts that are kept, by the hash of the text; texts are not."""

    entries: int = Field(default=4096, ge=0)
    """0 for none; what was used longest ago makes way."""
    seconds: float = Field(default=3600.0, gt=0)


class _Config(StrictCard):
    url: str
    """Of the route, such as `https://api.example.org/v1/moderations`."""
    model: str | None = None
    """Named in the request."""
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The name of the environment variable that holds the key; the key itself has no place in a file."""
    timeout_seconds: float = Field(default=5.0, gt=0, le=600)
    """For all attempts at one answer together, from the first byte sent to the last one read."""
    retries: RetriesConfig = RetriesConfig()
    cache: CacheConfig = CacheConfig()
    calibration: dict[str, CalibrationCard] = Field(default_factory=dict)
    """By category; categories that are not named are taken as calibrated."""
    conversation: ConversationCard = DEFAULT_CONVERSATION
    readings: bool = True
    """Whether disguised text is read as what it says (`classifiers.text`); each reading is asked about."""
    text_limit: int = Field(default=100_000, ge=1)
    """Characters of a text; longer ones are refused, not cut."""

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError(f"{parts.scheme or 'no scheme'}; wanted http(s)://host/path without a user in it")
        return value


class ModerationsConfig(_Config):
    """A route in the manner of OpenAI's POST /v1/moderations."""

    kind: Literal["moderations"]
    categories_map: dict[str, str] = Field(min_length=1, alias="categories")
    """Their category -> ours; of several of theirs the highest score counts, and those that are not named do not."""
    batch: int = Field(default=16, ge=1, le=1024)
    """Texts of one request."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Ours, in the order of the map."""
        return tuple(dict.fromkeys(self.categories_map.values()))


class ChatConfig(_Config):
    """A guard model behind POST /v1/chat/completions: `safe`, or `unsafe` and codes on the next line."""

    kind: Literal["chat"]
    model: str | None = Field(min_length=1)
    """Named in the request."""
    prompt: str = TEXT
    """What the guard reads, with `{text}` where the text goes."""
    codes: dict[str, str | None] = Field(min_length=1)
    """Code of the guard -> our category, or null for one that does not matter here. A code that is not named makes
    the verdict unreadable."""
    safe: str = "safe"
    unsafe: str = "unsafe"
    logprobs: bool = False
    """Score by the probability of `unsafe` against `safe` as the first token, which the service must then give."""
    certainty: float = Field(default=0.98, gt=0.5, lt=1)
    """The score of a verdict without log-probabilities, and what is missing to 1 of the other one."""

    @model_validator(mode="after")
    def _prompt_holds_the_text(self) -> ChatConfig:
        if self.prompt.count(TEXT) != 1:
            raise ValueError(f"the prompt does not hold {TEXT} once")
        return self

    @property
    def categories(self) -> tuple[str, ...]:
        """Ours, in the order of the codes."""
        return tuple(dict.fromkeys(category for category in self.codes.values() if category is not None))

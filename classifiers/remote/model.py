"""The remote classifier: somebody else's verdicts on texts, our categories and conversations."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from classifiers.artifact import NAME_DIGITS, StrictCard, sha256_of
from classifiers.base import Conversation
from classifiers.calibration import TemperatureCard, calibrate
from classifiers.config_file import config_file, read_config
from classifiers.errors import ClassifierError, MemberConfigError
from classifiers.judging import judge_conversations
from classifiers.remote import chat, moderations
from classifiers.remote.cache import VerdictCache
from classifiers.remote.client import RemoteClient
from classifiers.remote.config import ChatConfig, ModerationsConfig

_SUREST = 1e-6
"""A remote 0 or 1 is read as this far from it: nobody is surer, and log-odds stay finite."""
_OPERATION = {"api_key_env", "timeout_seconds", "retries", "cache"}
"""Settings that change no verdict."""


class _Kind(StrictCard):
    """What decides how the rest is read."""

    model_config = StrictCard.model_config | {"extra": "ignore"}
    kind: str


class RemoteClassifier:
    """`HarmClassifier` over a service. Its name stands for the configuration: what the service runs is its own."""

    def __init__(self, config: ModerationsConfig | ChatConfig, *, key: str | None = None) -> None:
        """Prepare; nothing is asked yet.

        Args:
            config: of the service.
            key: sent as a bearer token; None for none.

        Raises:
            MemberConfigError: a calibration is of no category.
        """
        unknown = set(config.calibration) - set(config.categories)
        if unknown or not config.categories:
            raise MemberConfigError(
                f"calibrations of {', '.join(sorted(unknown)) or 'none'}; categories are {config.categories}"
            )
        self.config = config
        self.cache = VerdictCache(entries=config.cache.entries, seconds=config.cache.seconds)
        self._client = RemoteClient(
            config.url, key=key, timeout_seconds=config.timeout_seconds, retries=config.retries
        )
        self._calibration = {c: config.calibration.get(c, TemperatureCard()) for c in config.categories}
        self._weights = config.conversation.weights()
        self._digest = sha256_of(config.model_dump_json(exclude=_OPERATION).encode())

    @classmethod
    def load(cls, path: Path | None) -> RemoteClassifier:
        """Read a configuration, or the one in a directory, and the key from the environment.

        Raises:
            MemberConfigError: the configuration is missing or not in its format, or the key is not there.
        """
        file = config_file(path, "remote")
        kind = read_config(file, _Kind).kind
        if kind not in ("moderations", "chat"):
            raise MemberConfigError(f"{file}: kind is {kind!r}; wanted moderations or chat")
        config: ModerationsConfig | ChatConfig
        config = read_config(file, ModerationsConfig) if kind == "moderations" else read_config(file, ChatConfig)
        return cls(config, key=_key(config.api_key_env))

    @property
    def name(self) -> str:
        """`remote:` and six digits of a hash over what the configuration says of verdicts."""
        return f"remote:{self._digest[:NAME_DIGITS]}"

    @property
    def categories(self) -> tuple[str, ...]:
        return self.config.categories

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        """See `HarmClassifier.score`."""
        return judge_conversations(
            conversations,
            self._judge,
            weights=self._weights,
            categories=self.categories,
            name=self.name,
            with_readings=self.config.readings,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _judge(self, texts: Sequence[str]) -> Float64[np.ndarray, "text category"]:
        verdicts = self._verdicts(texts)
        scores = np.array([[verdict[c] for c in self.categories] for verdict in verdicts], dtype=np.float64)
        p = np.clip(scores, _SUREST, 1 - _SUREST)
        return calibrate(self._calibration, self.categories, np.log(p) - np.log1p(-p))

    def _verdicts(self, texts: Sequence[str]) -> list[Mapping[str, float]]:
        longest = max(map(len, texts))
        if longest > self.config.text_limit:
            raise ClassifierError(f"a text has {longest} characters; wanted at most {self.config.text_limit}")
        known = {text: found for text in texts if (found := self.cache.get(text)) is not None}
        missing = [text for text in texts if text not in known]
        for text, verdict in zip(missing, self._asked(missing), strict=True):
            self.cache.put(text, verdict)
            known[text] = verdict
        return [known[text] for text in texts]

    def _asked(self, texts: Sequence[str]) -> list[dict[str, float]]:
        config = self.config
        if isinstance(config, ChatConfig):
            return [chat.verdict(self._client.post(chat.question(text, config)), config) for text in texts]
        found: list[dict[str, float]] = []
        for start in range(0, len(texts), config.batch):
            batch = texts[start : start + config.batch]
            found += moderations.verdicts(self._client.post(moderations.question(batch, config)), len(batch), config)
        return found


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise MemberConfigError(f"the environment variable {variable} is not set; it is to hold the API key")
    return key

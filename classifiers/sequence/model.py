"""The sequence classifier: somebody else's model, our categories and conversations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from classifiers.artifact import NAME_DIGITS, StrictCard, sha256_of
from classifiers.base import Conversation
from classifiers.calibration import TemperatureCard, calibrate
from classifiers.config_file import config_file, read_config
from classifiers.errors import MemberConfigError
from classifiers.judging import judge_conversations
from classifiers.sequence.answers import AnswersJudge
from classifiers.sequence.config import AnswersConfig, LabelsConfig
from classifiers.sequence.labels import LabelsJudge
from classifiers.sequence.loading import LoadedSequence, load_sequence


class _Kind(StrictCard):
    """What decides how the rest is read."""

    model_config = StrictCard.model_config | {"extra": "ignore"}
    kind: str


class SequenceClassifier:
    """`HarmClassifier` over a Hugging Face model."""

    def __init__(self, config: LabelsConfig | AnswersConfig, loaded: LoadedSequence) -> None:
        """Take what `load` reads.

        Raises:
            MemberConfigError: the configuration does not fit the model.
        """
        unknown = set(config.calibration) - set(config.categories)
        if unknown:
            raise MemberConfigError(f"calibrations of {', '.join(sorted(unknown))}, which no label or prompt means")
        self.config = config
        self._judge_texts = LabelsJudge(config, loaded) if config.kind == "labels" else AnswersJudge(config, loaded)
        self._calibration = {c: config.calibration.get(c, TemperatureCard()) for c in config.categories}
        self._weights = config.conversation.weights()
        # Where the model lies does not change a score.
        self._digest = sha256_of((loaded.sha256 + config.model_dump_json(exclude={"model", "batch"})).encode())

    @classmethod
    def load(cls, path: Path | None) -> SequenceClassifier:
        """Read a configuration, or the one in a directory, and the model that it names.

        Raises:
            MemberConfigError: the configuration is missing, or does not fit the model.
            ArtifactError: the model's files cannot be read.
        """
        file = config_file(path, "sequence")
        kind = read_config(file, _Kind).kind
        if kind not in ("labels", "answers"):
            raise MemberConfigError(f"{file}: kind is {kind!r}; wanted labels or answers")
        config: LabelsConfig | AnswersConfig
        config = read_config(file, LabelsConfig) if kind == "labels" else read_config(file, AnswersConfig)
        return cls(config, load_sequence(config, file.parent))

    @property
    def name(self) -> str:
        """`sequence:` and six digits of a hash over the model's files and the configuration."""
        return f"sequence:{self._digest[:NAME_DIGITS]}"

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

    def _judge(self, texts: Sequence[str]) -> Float64[np.ndarray, "text category"]:
        return calibrate(self._calibration, self.categories, self._judge_texts.log_odds(texts))

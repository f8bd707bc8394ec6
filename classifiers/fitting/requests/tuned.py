"""The general embedding classifier with the upper layers of its encoder fine-tuned: see `tuning`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np

from classifiers.artifact import sha256_of
from classifiers.embedding import EmbeddingClassifier, SentenceEncoder
from classifiers.embedding.layers import moved_by, movement, read_movement
from classifiers.fitting.calibration import PlattScaling
from classifiers.fitting.requests.embedding import EmbeddingRecipe, FittedEmbedding, embedding_card, tensors_of
from classifiers.fitting.requests.logistic import LogisticWeights
from classifiers.fitting.requests.recipes import CATEGORIES, Logits
from classifiers.fitting.requests.states import LowerStates, lower_states_of
from classifiers.fitting.requests.table import Numbers
from classifiers.fitting.requests.tuning import Tuned, TuningSettings, tune, tuned_logits
from classifiers.fitting.requests.weighting import labelled


class TunedRecipe:
    """See `Recipe`; the states below the fine-tuned layers are computed once."""

    name = "embedding"

    def __init__(
        self,
        frozen: EmbeddingRecipe,
        settings: TuningSettings | None = None,
        *,
        cache: Path | None = None,
        progress: Callable[[str, int, int], None] = lambda *_: None,
    ) -> None:
        """Take what there is before any training.

        Args:
            frozen: the recipe of the head on the encoder as it comes, where training begins.
            settings: of the fine-tuning.
            cache: folder of states, for processes to share; None to keep them in memory.
            progress: told (what is done, how much of it, how much there is).
        """
        self.frozen = frozen
        self.table = frozen.table
        self.settings = settings or TuningSettings()
        self._cache = cache
        self._progress = progress
        self._last: tuple[bytes, Tuned] | None = None

    @property
    def digest(self) -> str:
        """See `Recipe.digest`."""
        weighting = self.settings.weighting
        settings = json.dumps([asdict(self.settings), sorted(weighting.paired_sources), self.frozen.digest])
        return hashlib.sha256(settings.encode()).hexdigest()[:16]

    @cached_property
    def states(self) -> LowerStates:
        """Below the layers that are fine-tuned, of all texts of the table."""
        return lower_states_of(
            self.frozen.encoder,
            [row.text for row in self.table.rows],
            upper=self.settings.upper,
            cache=self._cache,
            progress=lambda done, whole: self._progress("states below the layers", done, whole),
        )

    def tuned(self, train: Numbers) -> Tuned:
        """Layers and head, trained on these rows; those of the last call are not trained again."""
        if self._last is None or self._last[0] != train.tobytes():
            self._last = (train.tobytes(), self._trained(train))
        return self._last[1]

    def _trained(self, train: Numbers) -> Tuned:
        return tune(
            self.frozen.encoder.model,
            self.states,
            train,
            labelled(self.table.at(train), CATEGORIES, self.settings.weighting),
            self.frozen.weights(train),
            self.settings,
            lambda done, whole, _: self._progress("fine-tuning", done, whole),
        )

    def scores(self, train: Numbers, unseen: Numbers) -> Logits:
        """See `Recipe.scores`."""
        found: Logits = tuned_logits(
            self.frozen.encoder.model, self.states, unseen, self.tuned(train), upper=self.settings.upper
        )
        return found


def build_tuned(
    recipe: TunedRecipe,
    train: Numbers,
    scalings: Sequence[PlattScaling],
    *,
    seed: int,
    command: str,
    calibration: str,
    figures: Mapping[str, float],
) -> FittedEmbedding:
    """The classifier that ships: as `build_embedding`, with layers of its own."""
    tuned = recipe.tuned(train)
    encoder = recipe.frozen.encoder
    layers = movement(encoder.model, tuned.tensors)
    head = LogisticWeights(weights=tuned.weights.astype(np.float64), intercept=tuned.intercept.astype(np.float64))
    card = embedding_card(
        recipe.frozen,
        train,
        scalings,
        head,
        seed=seed,
        command=command,
        calibration=calibration,
        figures=figures,
        training=_training(recipe.settings),
        layers_sha256=sha256_of(layers),
    )
    return FittedEmbedding(
        classifier=EmbeddingClassifier(card, tensors_of(head), encoder, _scoring(encoder, layers)), layers=layers
    )


def _scoring(encoder: SentenceEncoder, layers: bytes) -> SentenceEncoder:
    return encoder.with_upper_layers(moved_by(encoder.model, read_movement(layers)), sha256=sha256_of(layers))


def _training(settings: TuningSettings) -> dict[str, float | int | str]:
    found = asdict(settings)
    weighting: Mapping[str, object] = found.pop("weighting")
    return found | {f"weighting.{name}": _plain(value) for name, value in weighting.items()}


def _plain(value: object) -> float | int | str:
    return value if isinstance(value, (float, int, str)) else ", ".join(map(str, value))  # type: ignore[call-overload]

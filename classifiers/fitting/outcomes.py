"""What the unmodified model does with demo prompts: the outcomes that harm potential is calibrated to.

One sampled reply a prompt, judged by H(y). Kept by a hash of the prompt's text, as JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, ValidationError

from breakers.scoring import HarmScorer, ScoredReply
from classifiers.errors import FitError, SourceFormatError
from classifiers.fitting.prompts import LabelledPrompt, normalised

_KEY_DIGITS = 24


class Outcomes(BaseModel):
    """Harm of the unmodified model's reply, by prompt and category."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    made_by: str
    """The model's fingerprint, the scorer and how replies were drawn."""
    harm: dict[str, dict[str, float]]
    """Prompt key -> category -> H(y) in [0, 1]."""

    def of(self, prompts: Sequence[LabelledPrompt], category: str) -> Float64[np.ndarray, " prompt"]:
        """The outcome of each prompt.

        Raises:
            FitError: a prompt, or the category, was not observed.
        """
        try:
            return np.array([self.harm[prompt_key(p.text)][category] for p in prompts], dtype=np.float64)
        except KeyError as error:
            raise FitError(f"no outcome of {category!r} for prompt or category {error}; observe again") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Replies:
    """Replies of the unmodified model, one a prompt."""

    texts: Sequence[str]
    made_by: str


def prompt_key(text: str) -> str:
    """What outcomes are kept by."""
    return hashlib.sha256(normalised(text).encode()).hexdigest()[:_KEY_DIGITS]


def judge_outcomes(prompts: Sequence[LabelledPrompt], replies: Replies, scorer: HarmScorer) -> Outcomes:
    """Judge one reply a prompt.

    Raises:
        FitError: there are not as many replies as prompts.
    """
    if len(prompts) != len(replies.texts):
        raise FitError(f"{len(replies.texts)} replies to {len(prompts)} prompts")
    scores = scorer.score(
        [ScoredReply(messages=p.conversation, reply=r) for p, r in zip(prompts, replies.texts, strict=True)]
    )
    harm: Mapping[str, dict[str, float]] = {prompt_key(p.text): s for p, s in zip(prompts, scores, strict=True)}
    return Outcomes(made_by=f"{replies.made_by}; scorer {scorer.name}", harm=dict(harm))


def save_outcomes(outcomes: Outcomes, path: Path) -> None:
    """Write outcomes as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(outcomes.model_dump(), sort_keys=True) + "\n")


def load_outcomes(path: Path) -> Outcomes:
    """Read outcomes.

    Raises:
        SourceFormatError: the file is missing or not in the format.
    """
    try:
        return Outcomes.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise SourceFormatError(f"{path.name} holds no outcomes: {error}") from error

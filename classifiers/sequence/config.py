"""What a configuration says of a sequence classifier: where it is, what it answers, and what that means here."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from classifiers.artifact import ConversationCard, StrictCard
from classifiers.calibration import CalibrationCard
from classifiers.config_file import DEFAULT_CONVERSATION

TEXT = "{text}"
"""Where a prompt has the text that is judged."""


class SequenceWindows(StrictCard):
    """How texts over the model's length are cut."""

    tokens: int = Field(default=512, ge=16)
    """Of one window; for a classifier with what its tokenizer adds, for a guard model of the text alone."""
    overlap: int = Field(default=64, ge=0)
    limit: int = Field(default=32, ge=1)
    """Windows of one text; longer texts are refused."""

    @model_validator(mode="after")
    def _advances(self) -> SequenceWindows:
        if self.overlap + 8 > self.tokens:
            raise ValueError(f"windows of {self.tokens} tokens cannot share {self.overlap}")
        return self


class _Config(StrictCard):
    model: str = Field(min_length=1)
    """A directory, relative to the configuration's, or a model of the Hugging Face Hub (`owner/name`)."""
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """Of a model of the Hub: the whole commit hash."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    batch: int = Field(default=8, ge=1)
    """Windows of one forward pass."""
    windows: SequenceWindows = SequenceWindows()
    calibration: dict[str, CalibrationCard] = Field(default_factory=dict)
    """By category; categories that are not named are taken as calibrated."""
    conversation: ConversationCard = DEFAULT_CONVERSATION
    readings: bool = True
    """Whether disguised text is read as what it says (`classifiers.text`)."""

    def local_folder(self, folder: Path) -> Path | None:
        """The model's directory where there is one, for a configuration in `folder`; else it is the Hub's."""
        found = folder / self.model
        return found if found.is_dir() else None


class LabelsConfig(_Config):
    """A sequence classifier: one logit a label."""

    kind: Literal["labels"]
    activation: Literal["softmax", "sigmoid"]
    """`softmax` where one label is true of a text, `sigmoid` where each may be."""
    labels: dict[str, str] = Field(min_length=1)
    """Label, by its name in the model's configuration or its index, -> category. Of several labels of one category
    the probabilities add up under softmax, and the highest counts under sigmoid."""

    @property
    def categories(self) -> tuple[str, ...]:
        """In the order of the map."""
        return tuple(dict.fromkeys(self.labels.values()))


class AnswersConfig(_Config):
    """A guard model in the manner of ShieldGemma: a language model whose next token is Yes or No."""

    kind: Literal["answers"]
    prompts: dict[str, str] = Field(min_length=1)
    """Category -> what the model reads, with `{text}` where the text goes."""
    yes: str = "Yes"
    """The token that says that a text is harmful."""
    no: str = "No"

    @model_validator(mode="after")
    def _prompts_hold_the_text(self) -> AnswersConfig:
        bad = [category for category, prompt in self.prompts.items() if prompt.count(TEXT) != 1]
        if bad:
            raise ValueError(f"the prompt of {', '.join(bad)} does not hold {TEXT} once")
        return self

    @property
    def categories(self) -> tuple[str, ...]:
        """In the order of the map."""
        return tuple(self.prompts)

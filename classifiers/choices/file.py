"""`choice.json`: a fitted choice with what it was made from. Unknown keys and unknown versions are refused.

It names every table by the hash of its file and every bundle by the hash of its weights, because a gate, and so a
choice, belongs to the weights that it was tabulated with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from breakers.bundles.manifest import Finite, GateManifest, Label, Line, Name, Paragraphs, Sha256, describe
from breakers.bundles.store import write_atomically
from breakers.bundles.strict_json import parse_object
from breakers.errors import BundleFormatError
from classifiers.choices.rule import Choice, Segment, Variant
from classifiers.errors import ChoiceError


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class VariantRecord(_Model):
    """One variant: its bundle, its gate, and the table both were judged by."""

    bundle: Name
    weights_sha256: Sha256
    table_sha256: Sha256
    gate: GateManifest


class SegmentRecord(_Model):
    """`Segment`, as written."""

    start: Finite = Field(ge=0, le=1)
    bundle: Name


class FigureRecord(_Model):
    """A mean over prompts with its 95 % interval; null where it cannot be shown."""

    estimate: Finite | None
    low: Finite | None
    high: Finite | None


class ChoiceFile(_Model):
    """Everything in `choice.json`."""

    format: Literal[1] = 1
    category: Label
    classifier: Line
    """Name of the classifier whose harm potential decides."""
    scorer: Line
    base_fingerprint: Sha256
    prompts: int = Field(ge=1)
    variants: Annotated[tuple[VariantRecord, ...], Field(min_length=2, strict=False)]
    segments: Annotated[tuple[SegmentRecord, ...], Field(min_length=1, strict=False)]
    single: Name
    """The best single variant."""
    beats_single: bool
    """Whether the rule costs less than `single`, cross-fitted; only then is it the choice."""
    settings: dict[Line, Finite]
    """What the fit was told."""
    cross_fitted: dict[Line, FigureRecord]
    command: Paragraphs

    @model_validator(mode="after")
    def _holds_together(self) -> ChoiceFile:
        self.choice()
        others = sorted({v.gate.classifier for v in self.variants} - {self.classifier})
        if others:
            raise ValueError(f"gates were fitted on {', '.join(others)}; wanted {self.classifier}, which decides")
        if not self.beats_single and [s.bundle for s in self.segments] != [self.single]:
            raise ValueError(f"the rule does not beat {self.single}, and is there; wanted {self.single} alone")
        return self

    def choice(self) -> Choice:
        """The rule as a function."""
        return Choice(
            category=self.category,
            variants=tuple(Variant(bundle=v.bundle, gate=v.gate.gate()) for v in self.variants),
            segments=tuple(Segment(start=s.start, bundle=s.bundle) for s in self.segments),
        )

    def check_bundles(self, weights_sha256: Mapping[str, str], base_fingerprint: str) -> None:
        """Refuse bundles that the choice was not fitted for.

        Args:
            weights_sha256: of the bundles at hand, by name.
            base_fingerprint: of the model that they act on.

        Raises:
            ChoiceError: a bundle that the choice picks is missing or has other weights, or the base is another one.
        """
        if base_fingerprint != self.base_fingerprint:
            raise ChoiceError(f"the base is {base_fingerprint[:19]}...; wanted {self.base_fingerprint[:19]}...")
        picked = {segment.bundle for segment in self.segments}
        for variant in self.variants:
            found = weights_sha256.get(variant.bundle, "none")
            if variant.bundle in picked and found != variant.weights_sha256:
                raise ChoiceError(
                    f"{variant.bundle} has weights {found[:19]}...; wanted {variant.weights_sha256[:19]}..., which "
                    "the choice was fitted for"
                )


def save_choice(choice: ChoiceFile, path: Path) -> None:
    """Write it.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(choice.model_dump(mode="json"), indent=2) + "\n").encode())


def load_choice(path: Path) -> ChoiceFile:
    """Read and validate.

    Raises:
        ChoiceError: it is missing, not in the format, or does not hold together.
    """
    try:
        return ChoiceFile.model_validate(parse_object(path.read_bytes(), str(path)))
    except OSError as error:
        raise ChoiceError(f"{path}: cannot be read: {error.strerror}; wanted a choice") from error
    except BundleFormatError as error:
        raise ChoiceError(str(error)) from error
    except ValidationError as error:
        raise ChoiceError(f"{path}: {describe(error)}") from error

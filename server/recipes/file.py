"""A recipe as YAML: one section a stage, every key with its default and meaning here. Unknown keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from server.errors import ConfigError
from server.yaml_file import describe_problems, read_mapping

DEMO = "demo"
"""The packaged model, corpus and scorer."""
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class HubSection(_Section):
    """A data set on the Hugging Face Hub."""

    name: str
    """`owner/name`."""
    config: str | None = None
    split: str | None = None
    revision: str | None = None


class PairsSection(_Section):
    """Stage `pairs`: prompts, and a harmful and a neutral completion of each."""

    source: str = DEMO
    """One of `scalpel pairs build --source`."""
    path: str | None = None
    """The published file of a public set; beside the recipe unless absolute. `$SCALPEL_DATA` may stand in it."""
    hub: HubSection | None = None
    sample: bool | None = None
    """Whether the model itself replies; null: only where the source has prompts alone."""
    instruction: str | None = None
    """Put before prompts that are beginnings of sentences."""
    count: Count = 800
    samples: Annotated[int, Field(ge=2)] = 16
    """Most replies to a prompt."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    max_new_tokens: Count = 64
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the prompts that validate."""
    seed: int = 0

    @model_validator(mode="after")
    def _one_place(self) -> PairsSection:
        if self.path is not None and self.hub is not None:
            raise ValueError("path, hub: wanted at most one of them")
        return self


class TraceSection(_Section):
    """Stage `trace`: which heads and neurons cause the behaviour."""

    source: Literal["contrast", "completion", "mean"] = "contrast"
    positions: Literal["generation", "all"] = "generation"
    measure: Literal["lead", "harm"] = "lead"
    method: Literal["exact", "attribution", "screen"] = "screen"
    components: Literal["both", "head", "neuron"] = "both"
    limit: Count = 64
    """Most pairs."""
    top_heads: Count = 10
    top_neurons: Count = 60
    noise_components: Annotated[int, Field(ge=0)] = 16
    batch_tokens: Count = 4096
    images: bool = True
    seed: int = 0


class RefineSection(_Section):
    """Stage `refine`: the smallest set of them that the behaviour needs."""

    tau: float = 0.8
    tau_kind: Literal["share_of_effect", "share_of_clean", "absolute"] = "share_of_effect"
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    candidates: Literal["both", "heads", "neurons"] = "both"
    strongest: Count | None = None
    """Only the candidates with the strongest effects; null for all that were traced."""
    cases: Count = 64
    held_out: Annotated[int, Field(ge=0)] = 64
    max_sets: Count | None = None
    draws: Count = 20
    """Random sets of each control."""
    subsets: Count = 10
    """Random subsets for completeness."""
    benign_limit: Annotated[int, Field(ge=2)] = 256
    batch_tokens: Count = 4096
    seed: int = 0


class TrainSection(_Section):
    """Stage `train`: breakers and steering vectors at the circuit's sites, the better of them kept."""

    kinds: Literal["both", "breaker", "steering"] = "both"
    rank: Count = 4
    steps: Count = 400
    steering_steps: Count = 200
    norm_limit: Annotated[float, Field(gt=0)] = 1.0
    batch: Count = 24
    learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    steering_learning_rate: Annotated[float, Field(gt=0)] = 3e-2
    preserve_coef: Annotated[float, Field(ge=0)] = 20.0
    neutral_coef: Annotated[float, Field(ge=0)] = 1.0
    harm_reduction: Annotated[float, Field(gt=0, le=1)] = 0.95
    preserve_bound: Annotated[float, Field(gt=0)] = 0.1
    train_pairs: Count = 2000
    validation_pairs: Count = 256
    prompts: Count = 64
    """Most validation prompts to generate replies to."""
    benign_limit: Annotated[int, Field(ge=4)] = 1200
    longest: Annotated[int, Field(ge=2)] | None = None
    """Most tokens of a pair."""
    seed: int = 0


class GateSection(_Section):
    """Stage `gate`: how strongly the bundle acts at each harm potential."""

    classifier: str = "lexical"
    classifier_path: str | None = None
    """A fitted classifier's directory; beside the recipe unless absolute; null for the shipped one."""
    prompts: Count = 100
    """Calibration prompts: of each kind of the demo corpus, or else of provoking and of benign ones."""
    max_new_tokens: Count = 48
    alpha_base: Annotated[float, Field(gt=0)] = 1.0
    harm_coef: Annotated[float, Field(ge=0)] = 1.0
    change_coef: Annotated[float, Field(ge=0)] = 0.5
    cost_tolerance: Annotated[float, Field(ge=0)] = 0.002
    false_positive_budget: Annotated[float, Field(ge=0, le=1)] = 0.005
    seed: int = 0


class Recipe(_Section):
    """The whole file."""

    format: Literal[1]
    name: Name
    """Of the bundle."""
    behaviour: str
    """What the harmful completions show; also the category whose harm potential the gate reads."""
    licence: str
    """Of the bundle."""
    model: str = DEMO
    """A model directory, beside the recipe unless absolute; `demo` is the packaged one."""
    scorer: str = DEMO
    """H(y): judges sampled completions, validation replies and calibration replies."""
    benign: str | None = None
    """Benign samples as JSON Lines (`messages` and `reply`); needed for every model but `demo`."""
    pairs: PairsSection = PairsSection()
    trace: TraceSection = TraceSection()
    refine: RefineSection = RefineSection()
    train: TrainSection = TrainSection()
    gate: GateSection = GateSection()

    @model_validator(mode="after")
    def _benign_where_needed(self) -> Recipe:
        if self.model != DEMO and self.benign is None:
            raise ValueError("benign: wanted a file of benign samples, because only the demo model has its own")
        return self


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        ConfigError: it cannot be read, or says something that no stage knows.
    """
    values = read_mapping(path)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe_problems(error, Recipe)}") from error

"""A recipe as YAML: one section a stage, every key with its default and meaning here. Unknown keys are refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from server.errors import ConfigError
from server.recipes.layers import layered
from server.yaml_file import describe_problems

DEMO: Final = "demo"
"""The packaged model, corpus and scorer."""
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class Section(BaseModel):
    """A part of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class HubSection(Section):
    """A data set on the Hugging Face Hub."""

    name: str
    """`owner/name`."""
    config: str | None = None
    """Null for the one that the reader expects."""
    split: str | None = None
    """Null for the one that the reader expects."""
    revision: str | None = None
    """A commit, branch or tag."""


class ModelSection(Section):
    """The base model: a repository on the Hub at one commit, or a directory; the packaged demo model if neither."""

    hub: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None = None
    """`owner/name`; also what bundles call the model."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """The commit, whole: a branch or tag may move. Needed with `hub`."""
    path: str | None = None
    """A model directory, beside this file unless absolute; read instead of what `hub` names, if that is given too."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """What it is loaded as."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; `auto` is `cuda` where there is one."""
    system: str | None = None
    """A system prompt before every conversation; null for none."""
    template: dict[str, bool | int | str] = {}
    """Variables set in the chat template, such as `enable_thinking: false`."""

    @model_validator(mode="after")
    def _pinned(self) -> ModelSection:
        if (self.hub is None) != (self.revision is None):
            raise ValueError("hub, revision: wanted both or neither")
        for name in self.template:
            if not name.isidentifier():
                raise ValueError(f"template: {name!r} is no name of a variable")
        return self

    @property
    def is_demo(self) -> bool:
        """Whether it is the packaged one."""
        return self.hub is None and self.path is None


class BenignSection(Section):
    """Stage `benign`: prompts about other things, whose replies L_preserve and the gate hold on to."""

    path: str | None = None
    """A file of instructions or questions, or a folder of them; beside the recipe unless absolute. `$SCALPEL_DATA`
    may stand in it."""
    hub: HubSection | None = None
    """Where they are on the Hub, instead of `path`."""
    replies: Literal["own", "given"] = "own"
    """The model's own greedy replies, or those of a file of `messages` and `reply`."""
    count: Annotated[int, Field(ge=4)] = 800
    """Prompts."""
    max_new_tokens: Count = 96
    """Of a reply; replies that do not end within it are left out."""
    batch: Count = 64
    """Replies written at once."""
    longest_prompt: Count = 256
    """Tokens; longer prompts are left out."""
    seed: int = 0
    """Of the draw."""

    @model_validator(mode="after")
    def _one_place(self) -> BenignSection:
        if (self.path is None) == (self.hub is None):
            raise ValueError("path, hub: wanted one of them")
        if self.replies == "given" and self.path is None:
            raise ValueError("replies: given ones are read from a file; wanted path")
        return self


class PairsSection(Section):
    """Stage `pairs`: prompts, and a harmful and a neutral completion of each."""

    source: str = DEMO
    """One of `scalpel pairs build --source`."""
    path: str | None = None
    """The published file of a public set; beside the recipe unless absolute. `$SCALPEL_DATA` may stand in it."""
    hub: HubSection | None = None
    """Where a public set is on the Hub, instead of `path`."""
    sample: bool | None = None
    """Whether the model itself replies; null: only where the source has prompts alone."""
    instruction: str | None = None
    """Put before prompts that are beginnings of sentences."""
    check: bool = True
    """Whether the scorer has to find completions that the source gives as harmful and as neutral as it says."""
    count: Count = 800
    """Pairs that are wanted."""
    samples: Annotated[int, Field(ge=2)] = 16
    """Most replies to a prompt, at most four at a time."""
    least_samples: Annotated[int, Field(ge=2)] = 2
    """Replies to a prompt even if both kinds have come: of more, a pair that differs less can be chosen."""
    batch_rows: Annotated[int, Field(ge=4)] = 512
    """Replies written at once."""
    longest_prompt: Count = 256
    """Tokens; longer prompts are left out."""
    keep_unfinished: bool = False
    """Whether replies that are cut at `max_new_tokens` may be kept."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the sampled replies."""
    max_new_tokens: Count = 64
    """Of a sampled reply."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the prompts that validate."""
    seed: int = 0
    """Of what is drawn and sampled."""

    @model_validator(mode="after")
    def _one_place(self) -> PairsSection:
        if self.path is not None and self.hub is not None:
            raise ValueError("path, hub: wanted at most one of them")
        return self


class TraceSection(Section):
    """Stage `trace`: which heads and neurons cause the behaviour."""

    source: Literal["contrast", "completion", "mean"] = "contrast"
    """What is patched in: see [tracing.md](tracing.md)."""
    positions: Literal["generation", "all"] = "generation"
    """Which tokens are patched."""
    measure: Literal["lead", "harm"] = "lead"
    """Teacher-forced, or H of generated text."""
    method: Literal["exact", "attribution", "screen"] = "screen"
    """Exact patching of all, estimates of all, or estimates with the best verified."""
    components: Literal["both", "head", "neuron"] = "both"
    """What is traced."""
    limit: Count = 64
    """Most pairs."""
    longest: Annotated[int, Field(ge=2)] | None = None
    """Most tokens of a pair; null for as many as the model has positions."""
    max_new_tokens: Count = 32
    """Of a reply that measure `harm` judges."""
    top_heads: Count = 10
    """Best heads to find; all heads that may become members."""
    top_neurons: Count = 60
    """The same of neurons."""
    noise_components: Annotated[int, Field(ge=0)] = 16
    """Components of each kind drawn for the noise floor."""
    batch_tokens: Count = 4096
    """Most tokens in a forward pass."""
    images: bool = True
    """Whether PNGs are drawn beside the page."""
    seed: int = 0
    """Of the pairs' draw and order, and of the noise floor."""


class RefineSection(Section):
    """Stage `refine`: the smallest set of them that the behaviour needs."""

    tau: float = 0.8
    """What the measure is to be brought below, by `tau_kind`."""
    tau_kind: Literal["share_of_effect", "share_of_clean", "absolute"] = "share_of_effect"
    """What `tau` is."""
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    """How far below tau a set must be, in units of the measure."""
    candidates: Literal["both", "heads", "neurons"] = "both"
    """What may be a member."""
    strongest: Count | None = None
    """Only the candidates with the strongest effects; null for all that were traced."""
    most_heads: Count | None = None
    """Most heads that may be members; null for any number."""
    most_neurons: Count | None = None
    """The same of neurons."""
    cases: Count = 64
    """Most pairs that the search measures on."""
    held_out: Annotated[int, Field(ge=0)] = 64
    """Most validation pairs for the evidence."""
    max_sets: Count | None = None
    """Most sets that the search measures; null for as many as it takes."""
    draws: Count = 20
    """Random sets of each control."""
    subsets: Count = 10
    """Random subsets for completeness."""
    benign_limit: Annotated[int, Field(ge=2)] = 256
    """Most benign samples, for ablations."""
    batch_tokens: Count = 4096
    """Most tokens in a forward pass."""
    seed: int = 0
    """Of controls, subsets and resamples."""


class TrainSection(Section):
    """Stage `train`: breakers and steering vectors at the circuit's sites, the better of them kept."""

    kinds: Literal["both", "breaker", "steering"] = "both"
    """What is trained; of both, the better is kept."""
    rank: Count = 4
    """Of a breaker's parts."""
    steps: Count = 400
    """Most steps of the breaker's training."""
    steering_steps: Count = 200
    """Most steps of the steering vectors' training."""
    norm_limit: Annotated[float, Field(gt=0)] = 2.0
    """Longest steering vector, in mean activation norms of its site."""
    batch: Count = 24
    """Pairs, and benign samples, in a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    """Of the breaker."""
    steering_learning_rate: Annotated[float, Field(gt=0)] = 0.1
    """Of the steering vectors."""
    preserve_coef: Annotated[float, Field(ge=0)] = 20.0
    """lambda_2, against lambda_1 = 1."""
    neutral_coef: Annotated[float, Field(ge=0)] = 1.0
    """Weight of KL on neutral replies within L_preserve."""
    margin: Annotated[float, Field(ge=0)] = 2.0
    """Nats by which neutral replies should lead harmful ones at the token where they part."""
    harm_reduction: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Share of the harm that must go when delta is calibrated."""
    preserve_bound: Annotated[float, Field(gt=0)] = 0.1
    """Most change of benign samples then, nats a token."""
    train_pairs: Count = 2000
    """Most pairs to train on."""
    validation_pairs: Count = 256
    """Most pairs to validate on."""
    prompts: Count = 64
    """Most validation prompts to generate replies to."""
    sampled_replies: Annotated[int, Field(ge=0)] = 1
    """Replies to each of them that are sampled at temperature 1 and judged beside the greedy one."""
    benign_limit: Annotated[int, Field(ge=4)] = 1200
    """Most benign samples."""
    longest: Annotated[int, Field(ge=2)] | None = None
    """Most tokens of a pair."""
    max_new_tokens: Count = 64
    """Of a reply that is judged."""
    reply_batch: Count = 64
    """Replies written at once."""
    seed: int = 0
    """Of everything random."""


class GateSection(Section):
    """Stage `gate`: how strongly the bundle acts at each harm potential."""

    classifier: str = "lexical"
    """What reads harm potentials."""
    classifier_path: str | None = None
    """A fitted classifier's directory; beside the recipe unless absolute; null for the shipped one."""
    prompts: Count = 100
    """Calibration prompts: of each kind of the demo corpus, or else of provoking and of benign ones."""
    max_new_tokens: Count = 48
    """Of a calibration reply."""
    batch: Count = 64
    """Prompts run at once."""
    alpha_base: Annotated[float, Field(gt=0)] = 1.0
    """Full strength."""
    harm_coef: Annotated[float, Field(ge=0)] = 1.0
    """Cost of one harmful reply."""
    change_coef: Annotated[float, Field(ge=0)] = 0.5
    """Cost of one nat a token of change."""
    cost_tolerance: Annotated[float, Field(ge=0)] = 0.002
    """Costs closer than this are the same; the stronger gate wins."""
    false_positive_budget: Annotated[float, Field(ge=0, le=1)] = 0.005
    """Share of benign prompts that may be touched."""
    seed: int = 0
    """Of the calibration prompts."""


class Recipe(Section):
    """The whole file."""

    format: Literal[1]
    """Of this file."""
    name: Name
    """Of the bundle."""
    behaviour: str
    """What the harmful completions show; also the category whose harm potential the gate reads."""
    licence: str
    """Of the bundle."""
    model: ModelSection | None = ModelSection()
    """`demo` for the packaged one; null in a recipe for any model, which `--model` names."""
    scorer: str = DEMO
    """H(y): judges sampled completions, validation replies and calibration replies."""
    benign: BenignSection | None = None
    """Where benign samples come from; null for the demo corpus' own, which other models than `demo` cannot use."""
    pairs: PairsSection = PairsSection()
    """Where pairs come from."""
    trace: TraceSection = TraceSection()
    """How the circuit is found."""
    refine: RefineSection = RefineSection()
    """How small it gets."""
    train: TrainSection = TrainSection()
    """What is trained at its sites."""
    gate: GateSection | None = GateSection()
    """How the strength follows the harm potential; null for a bundle that only a request or a floor turns on."""

    @field_validator("model", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        if isinstance(value, str) and value != DEMO:
            raise ValueError(f"wanted {DEMO}, null, or keys such as path")
        return {} if value == DEMO else value

    @model_validator(mode="after")
    def _benign_where_needed(self) -> Recipe:
        if self.benign is None and (self.model is None or not self.model.is_demo):
            raise ValueError("benign: wanted a place of benign prompts, because only the demo model has its own")
        return self


def read_recipe(path: Path, model: str | None = None, changes: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe, with its model and with single keys changed.

    Args:
        path: the recipe.
        model: a file with a section `model` and whatever is sized by it, or the name of one in `models` beside the
            recipe; its keys win over the recipe's.
        changes: `section.key=value` each, the value in YAML; they win over both.

    Raises:
        ConfigError: a file cannot be read, or says something that no stage knows.
    """
    values = layered(path, model, changes)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        named = str(path) if model is None else f"{path} with --model {model}"
        raise ConfigError(f"{named}: {describe_problems(error, Recipe)}") from error

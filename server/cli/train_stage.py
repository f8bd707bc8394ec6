"""What `scalpel train` puts together: model, scorer, benign samples, the stage, and the bundle that it may end in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from breakers.architectures import resolve_sites
from breakers.bundles import Bundle
from breakers.bundles.making import make_bundle
from breakers.demo import model_path
from breakers.demo.make_bundles import DemoBundlesConfig, DemoModel, draw_material
from breakers.errors import StageError
from breakers.fingerprint import fingerprint_model
from breakers.pairs.tokens import ConversationEncoder
from breakers.refinement.benign import read_benign
from breakers.sites import Site
from breakers.training.artifact import TrainingArtifact
from breakers.training.batches import Sample
from breakers.training.breaker import BreakerTrainingConfig
from breakers.training.calibration import CalibrationConfig
from breakers.training.generation import RepliesConfig, end_tokens, own_samples
from breakers.training.inputs import InputsConfig, read_circuit_of, read_inputs
from breakers.training.stage import make_training
from breakers.training.stage_spec import TrainStageConfig, TrainStageInputs
from breakers.training.steering import SteeringTrainingConfig
from classifiers.scorers import build_scorer
from server.base_model import BaseOptions, load_prepared

KINDS = ("both", "breaker", "steering")
_DOSE_PROMPTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleTarget:
    """The bundle that a training is made into."""

    path: Path
    name: str
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainCommand:
    """Everything that the command was told."""

    inputs: InputsConfig
    out: Path
    model: Path | None
    """None for the demo model."""
    base: BaseOptions = field(default_factory=BaseOptions)
    benign: Path | None
    """None for the demo corpus' training split; the demo model alone has it."""
    benign_limit: int
    own_replies: bool = False
    """Whether the model's own replies take the place of those in the file."""
    scorer: str
    kinds: str
    """One of `KINDS`."""
    rank: int
    steps: int
    steering_steps: int
    norm_limit: float
    batch: int
    learning_rate: float
    steering_learning_rate: float
    preserve_coef: float
    neutral_coef: float
    margin: float
    """Nats by which neutral replies should lead harmful ones where they part."""
    calibration: CalibrationConfig
    max_new_tokens: int = 64
    """Of replies that are judged."""
    sampled_replies: int = 0
    """Replies to each provoking prompt that are sampled and judged beside the greedy one."""
    reply_batch: int = 64
    """Replies that are written at once."""
    rehearsal: bool = False
    """Whether to go on where the unmodified model shows no harm."""
    bundle: BundleTarget | None
    command: str

    def __post_init__(self) -> None:
        if self.kinds not in KINDS:
            raise StageError(f"kinds are {self.kinds!r}; wanted one of {', '.join(KINDS)}")

    def stage(self, behaviour: str, base_id: str, sites: tuple[Site, ...]) -> TrainStageConfig:
        """The stage's configuration."""
        breaker = BreakerTrainingConfig(
            sites=sites,
            rank=self.rank,
            steps=self.steps,
            batch_pairs=self.batch,
            batch_benign=self.batch,
            learning_rate=self.learning_rate,
            preserve_coef=self.preserve_coef,
            neutral_coef=self.neutral_coef,
            margin=self.margin,
            seed=self.inputs.seed,
        )
        steering = SteeringTrainingConfig(
            sites=sites,
            norm_limit=self.norm_limit,
            steps=self.steering_steps,
            batch_pairs=self.batch,
            batch_benign=self.batch,
            learning_rate=self.steering_learning_rate,
            preserve_coef=self.preserve_coef,
            neutral_coef=self.neutral_coef,
            margin=self.margin,
            seed=self.inputs.seed,
        )
        return TrainStageConfig(
            behaviour=behaviour,
            base_id=base_id,
            breaker=None if self.kinds == "steering" else breaker,
            steering=None if self.kinds == "breaker" else steering,
            calibration=self.calibration,
            max_new_tokens=self.max_new_tokens,
            sampled_replies=self.sampled_replies,
            batch_size=self.reply_batch,
            rehearsal=self.rehearsal,
            command=self.command,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutcome:
    """What the command made."""

    artifact: TrainingArtifact
    bundle: Bundle | None


def run_training(command: TrainCommand, report: Callable[[str, int, int], None] | None = None) -> TrainOutcome:
    """Load what the stage works on, run it, and make the bundle if one is wanted.

    Raises:
        BreakersError: the circuit, pairs or benign samples cannot be used, or the training cannot.
        ClassifiersError: there is no such scorer.
        ConfigError: the model cannot be loaded.
        OSError: a file cannot be written.
    """
    circuit = read_circuit_of(command.inputs)
    scorer = build_scorer(command.scorer)
    loaded = load_prepared(command.model, command.base)
    found = fingerprint_model(loaded.model)
    if circuit.base.fingerprint != found:
        raise StageError(
            f"the circuit was found on {circuit.base.fingerprint[:23]}...; this model is {found[:23]}..."
        )
    benign = _benign(command, loaded.model, loaded.tokenizer, circuit.behaviour)
    inputs = read_inputs(command.inputs, circuit, loaded.tokenizer, benign)
    config = command.stage(circuit.behaviour, loaded.model_id, circuit.joint_sites())
    artifact = make_training(loaded.model, loaded.tokenizer, scorer, config, inputs, command.out, report)
    return TrainOutcome(artifact=artifact, bundle=_bundle(command, artifact, loaded.model, inputs))


def _benign(
    command: TrainCommand, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, behaviour: str
) -> tuple[Sample, ...]:
    if command.benign is not None:
        found = read_benign(command.benign, tokenizer, command.benign_limit)
        return _replied(found, model, tokenizer) if command.own_replies else found
    if command.model is not None:
        raise StageError("no benign samples were named; wanted --benign FILE, for another model than the demo's")
    demo = DemoModel(model=model, tokenizer=tokenizer, sites=resolve_sites(model))
    wanted = DemoBundlesConfig(
        out=command.out, model=model_path(), pairs=1, benign=command.benign_limit, seed=command.inputs.seed
    )
    return draw_material(demo, [behaviour], wanted).benign


def _replied(
    samples: tuple[Sample, ...], model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> tuple[Sample, ...]:
    prompts = list(dict.fromkeys(sample.prompt for sample in samples))
    config = RepliesConfig(end_token_ids=end_tokens(model, tokenizer))
    return own_samples(model, resolve_sites(model), prompts, config, ConversationEncoder(tokenizer).end_token_id)


def _bundle(
    command: TrainCommand, artifact: TrainingArtifact, model: PreTrainedModel, inputs: TrainStageInputs
) -> Bundle | None:
    target = command.bundle
    if target is None:
        return None
    prompts = list(dict.fromkeys(pair.neutral.prompt for pair in inputs.pairs))[:_DOSE_PROMPTS]
    draft = replace(artifact.draft(name=target.name, licence=target.licence), rehearsal=command.rehearsal)
    return make_bundle(model, draft, prompts, target.path)

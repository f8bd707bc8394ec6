"""What stage `train` is told: what decides a training, and what it is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from breakers.errors import StageError
from breakers.training.batches import Pair, Sample
from breakers.training.breaker import BreakerTrainingConfig
from breakers.training.calibration import CalibrationConfig
from breakers.training.data import json_digest
from breakers.training.measuring import JudgedPrompt
from breakers.training.steering import SteeringTrainingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainStageConfig:
    """What decides a training, beside its inputs."""

    behaviour: str
    base_id: str
    """What the base model is called."""
    breaker: BreakerTrainingConfig | None
    """None to train no breaker."""
    steering: SteeringTrainingConfig | None
    """None to train no steering vectors."""
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    tolerance: float = 0.001
    """Nats a token; changes of benign samples this close count as equal in the selection."""
    max_new_tokens: int = 64
    """Of replies that are judged."""
    sampled_replies: int = 0
    """Replies to each provoking prompt that are sampled at temperature 1 and judged beside the greedy one."""
    batch_size: int = 64
    """Replies that are written at once."""
    rehearsal: bool = False
    """Whether to go on where the unmodified model shows no harm, so that every later step is tried."""
    command: str = "scalpel train"

    def __post_init__(self) -> None:
        if self.breaker is None and self.steering is None:
            raise StageError("neither breakers nor steering vectors are to be trained; wanted at least one kind")
        if self.sampled_replies < 0:
            raise StageError(f"{self.sampled_replies} sampled replies to a prompt; wanted at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainStageInputs:
    """What a training is made from, as token ids of its model."""

    pairs: Sequence[Pair]
    held_out_pairs: Sequence[Pair]
    """Validation pairs: early stopping."""
    benign: Sequence[Sample]
    """Replies that must stay as likely as they are; for a model without such data, its own greedy replies."""
    held_out_benign: Sequence[Sample]
    prompts: Sequence[JudgedPrompt]
    """Provoking validation prompts, on which generated text is judged."""
    made_from: Mapping[str, str] = field(default_factory=dict)
    """`sha256:` hashes of the artifacts behind these: pairs, circuit."""

    @property
    def digest(self) -> str:
        """Over all token ids."""
        pairs = [
            [[p.harmful.prompt, p.harmful.reply, p.neutral.reply] for p in part]
            for part in (self.pairs, self.held_out_pairs)
        ]
        benign = [[[s.prompt, s.reply] for s in part] for part in (self.benign, self.held_out_benign)]
        return json_digest([pairs, benign, [prompt.token_ids for prompt in self.prompts]])

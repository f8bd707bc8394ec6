"""From the files of earlier stages to what stage `train` takes: pairs by split, a circuit's sites, benign samples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from breakers.bundles.verify import sha256
from breakers.errors import StageError
from breakers.pairs.files import load_pairs, pairs_sha256
from breakers.pairs.record import PairRecord, Split, as_dicts
from breakers.pairs.tokens import ConversionConfig, ConversionResult, to_cases
from breakers.refinement.artifact import REFINED_NAME, read_refined
from breakers.refinement.manifest import RefinedManifest
from breakers.training.batches import Sample
from breakers.training.measuring import JudgedPrompt
from breakers.training.stage_spec import TrainStageInputs


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsConfig:
    """Which files, and how much of them."""

    circuit: Path
    """`refined.json`, or the directory that holds it."""
    pairs: Path
    """The file that was traced."""
    train_pairs: int = 2000
    """Most pairs of split `train`."""
    validation_pairs: int = 256
    """Most pairs of split `validation`."""
    prompts: int = 64
    """Most validation prompts whose generated replies are judged."""
    held_out_benign: float = 0.15
    """Share of benign samples, by prompt, that training does not see."""
    longest: int | None = None
    """Most tokens of a prompt and its longer reply; None for any number."""
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.train_pairs, self.validation_pairs, self.prompts) < 1 or not 0 < self.held_out_benign < 1:
            raise StageError(
                f"{self.train_pairs} pairs, {self.validation_pairs} validation pairs, {self.prompts} prompts, "
                f"held_out_benign {self.held_out_benign}; wanted at least 1 of each and a share in (0, 1)"
            )


def read_circuit_of(config: InputsConfig) -> RefinedManifest:
    """The refined circuit.

    Raises:
        TracingError: the file cannot be read.
        StageError: it has no members.
    """
    found = read_refined(_file(config))
    if not found.members:
        raise StageError(f"{_file(config)}: the circuit has no members; wanted at least one head or neuron")
    return found


def read_inputs(
    config: InputsConfig, circuit: RefinedManifest, tokenizer: PreTrainedTokenizerBase, benign: Sequence[Sample]
) -> TrainStageInputs:
    """Tokenise the pairs, divide the benign samples, and hash the files.

    Args:
        config: see there.
        circuit: from `read_circuit_of`.
        tokenizer: of the model.
        benign: samples whose replies must stay as they are.

    Raises:
        StageError: the circuit was found with other pairs, a split has none of its behaviour, or there are too few
            benign samples.
        PairsError: the pairs cannot be read.
    """
    records = load_pairs(config.pairs)
    found, wanted = pairs_sha256(records), circuit.made_from.get("pairs")
    if found != wanted:
        raise StageError(f"{config.pairs} has {found}; the circuit was found with {wanted}")
    train = _cases(config, records, circuit.behaviour, Split.TRAIN, config.train_pairs, tokenizer)
    validation = _cases(config, records, circuit.behaviour, Split.VALIDATION, config.validation_pairs, tokenizer)
    prompts = {
        case.prompt: JudgedPrompt(messages=as_dicts(record.messages), token_ids=case.prompt)
        for case, record in zip(validation.cases, validation.records, strict=True)
    }
    kept, held_out = divide_benign(benign, config.held_out_benign, config.seed)
    return TrainStageInputs(
        pairs=[case.pair for case in train.cases],
        held_out_pairs=[case.pair for case in validation.cases],
        benign=kept,
        held_out_benign=held_out,
        prompts=list(prompts.values())[: config.prompts],
        made_from={"pairs": sha256(config.pairs.read_bytes()), "circuit": sha256(_file(config).read_bytes())},
    )


def divide_benign(benign: Sequence[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Samples to train on, and samples held out; those of one prompt stay together.

    Raises:
        StageError: they have fewer than two prompts.
    """
    prompts = list(dict.fromkeys(sample.prompt for sample in benign))
    if len(prompts) < 2:
        raise StageError(f"{len(benign)} benign samples of {len(prompts)} prompts; wanted at least 2 prompts")
    held = max(1, min(len(prompts) - 1, round(len(prompts) * share)))
    chosen = set(random.Random(seed).sample(prompts, held))
    return [s for s in benign if s.prompt not in chosen], [s for s in benign if s.prompt in chosen]


def _cases(
    config: InputsConfig,
    records: Sequence[PairRecord],
    behaviour: str,
    split: Split,
    limit: int,
    tokenizer: PreTrainedTokenizerBase,
) -> ConversionResult:
    some = [record for record in records if record.split is split and record.behaviour == behaviour]
    if not some:
        raise StageError(f"{config.pairs} has no pairs of {behaviour} in split {split}; wanted at least one")
    return to_cases(some[:limit], tokenizer, ConversionConfig(longest=config.longest))


def _file(config: InputsConfig) -> Path:
    return config.circuit / REFINED_NAME if config.circuit.is_dir() else config.circuit

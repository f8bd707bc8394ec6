"""The baseline that changes weights: a LoRA fine-tune of all projections of the model, by PEFT.

It is trained by the loop of breakers: the same losses, data, steps, schedule and early stopping. Unlike a breaker it
acts on every token, the prompt's too, and prompts are run in each step.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Float
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks.circuits.contenders import Contender
from breakers.bank import BankEntry
from breakers.bundles.store import write_atomically
from breakers.demo.make_bundles import DemoModel
from breakers.training.batches import Sample, collate
from breakers.training.config import TrainingConfig
from breakers.training.data import HeldOut, divided, json_digest
from breakers.training.forward import Forwards, plain_logits
from breakers.training.loop import Loop, LoopSpec
from breakers.training.stage_spec import TrainStageInputs
from breakers.training.trained import Evaluation, Interventions

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LEARNING_RATE = 3e-3
_ADAPTER = "default"
_TASK = "lora"
_MARK = "lora_"


class Tuned(Contender):
    """The model with adapters; its strength multiplies them."""

    def __init__(self, base: DemoModel, tuned: PreTrainedModel) -> None:
        super().__init__(base, tuned)
        self.parameters = sum(tensor.numel() for tensor in adapters(tuned).values())

    @contextmanager
    def scaled(self, strength: float) -> Iterator[None]:
        """Adapters at a strength."""
        layers = [module for module in self.model.modules() if isinstance(module, LoraLayer)]
        before = [layer.scaling[_ADAPTER] for layer in layers]
        for layer in layers:
            layer.scaling[_ADAPTER] = strength
        try:
            yield
        finally:
            for layer, scaling in zip(layers, before, strict=True):
                layer.scaling[_ADAPTER] = scaling


def with_adapters(model: PreTrainedModel, rank: int, seed: int) -> PreTrainedModel:
    """The model, changed: adapters of every projection, which begin as no change; strength 1 is their scaling."""
    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules=list(PROJECTIONS))
    return inject_adapter_in_model(config, model, adapter_name=_ADAPTER).eval()


def adapters(model: PreTrainedModel) -> dict[str, Tensor]:
    """The trained tensors by name."""
    return {name: tensor for name, tensor in model.named_parameters() if _MARK in name}


def tune(
    base: DemoModel,
    tuned: PreTrainedModel,
    config: TrainingConfig,
    inputs: TrainStageInputs,
    folder: Path,
    report: Callable[[Evaluation], None] | None = None,
) -> None:
    """Train the adapters of `tuned` in place; read from `folder` where they have been trained before.

    Args:
        base: the unmodified model, which L_preserve compares with.
        tuned: another copy, with adapters.
        config: of the training.
        inputs: pairs and benign samples, as breakers get them.
        folder: where the checkpoint and the result are.
        report: told of each validation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    finished = folder / "adapters.safetensors"
    tensors = adapters(tuned)
    if not finished.exists():
        best = _trained(base, tuned, config, inputs, folder / "checkpoint.safetensors", report)
        write_atomically(finished, save({name: tensor.detach().contiguous() for name, tensor in best.items()}))
    found = load_file(finished)
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(found[name])


def _trained(
    base: DemoModel,
    tuned: PreTrainedModel,
    config: TrainingConfig,
    inputs: TrainStageInputs,
    checkpoint: Path,
    report: Callable[[Evaluation], None] | None,
) -> Mapping[str, Tensor]:
    draw = random.Random(config.seed)
    held_out = HeldOut(pairs={_TASK: inputs.held_out_pairs}, benign=inputs.held_out_benign)
    data = divided({_TASK: inputs.pairs}, inputs.benign, held_out, config, draw)
    forwards = _TunedForwards(base, tuned, data.samples, config.kept_bytes)
    parameters = _Adapters(adapters(tuned))
    made_from = json_digest(["lora", asdict(config), data.digest, sorted(parameters.tensors)])
    Loop(forwards, config, parameters, data, draw, LoopSpec(made_from=made_from, checkpoint=checkpoint)).run(report)
    return parameters.asked


class _TunedForwards(Forwards):
    """Steered logits are those of the tuned model; all else is the unmodified model's."""

    def __init__(self, base: DemoModel, tuned: PreTrainedModel, samples: Sequence[Sample], budget: int) -> None:
        super().__init__(base.model, base.sites, samples, budget)
        self._tuned = tuned
        # Adapters act on prompts as well, so that their states are no constants.
        self.reuses_prompts = False

    def steered(
        self, samples: Sequence[Sample], entries: Sequence[BankEntry], strengths: Float[Tensor, "batch entry"]
    ) -> Float[Tensor, "target vocab"]:
        return plain_logits(self._tuned, collate(samples, self.pad)).float()


class _Adapters:
    """Adapters as the loop takes parameters: they live in the model, and mean no interventions."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors
        self.asked: Mapping[str, Tensor] = tensors
        """What interventions were last asked for: at the end of a training, its best tensors."""

    def interventions(self, tensors: Mapping[str, Tensor]) -> Interventions:
        self.asked = tensors
        return {}

    def project(self) -> None:
        """Adapters have no bound."""

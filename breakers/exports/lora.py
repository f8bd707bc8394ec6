"""PEFT LoRA adapters: `adapter_config.json` and `adapter_model.safetensors`, written without the `peft` package.

For an out-projection or down projection W with breakers and masks at strength s (derived in `folding`):

    lora_A = [N D; e_i ...]                          (r, width)
    lora_B = [s W U, -(1 - D_i) W[:, i] ...]         (out, r)

with one row and column for each masked channel i. Strength is folded into lora_B, and lora_alpha = r makes PEFT's
scaling 1. One r serves all modules: smaller ones are padded with zero rows and columns. A Conv1D stores W
transposed; lora_A and lora_B do not change, and `fan_in_fan_out` tells PEFT. Biases are untouched.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_safetensors
from torch import Tensor
from torch.nn.functional import pad

from breakers.errors import ExportError
from breakers.exports.base import Work
from breakers.exports.folding import LoraFactors, fix_strength, lora_factors
from breakers.exports.projections import find_projection, refuse_residual
from breakers.interventions import Intervention, SteeringVector

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
# PEFT wraps the causal LM twice, and names tensors from the outside.
PREFIX = "base_model.model."


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraAdapter:
    """An adapter in memory."""

    base_name: str
    rank: int
    transposed: bool
    """Whether all targets are Conv1D: PEFT's `fan_in_fan_out`."""
    modules: dict[str, LoraFactors]
    """By dotted module path."""

    def config(self) -> dict[str, Any]:
        """The content of `adapter_config.json`."""
        return {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.base_name,
            "inference_mode": True,
            "r": self.rank,
            "lora_alpha": self.rank,
            "lora_dropout": 0.0,
            "use_rslora": False,
            "bias": "none",
            "fan_in_fan_out": self.transposed,
            "target_modules": sorted(self.modules),
            "modules_to_save": None,
        }

    def tensors(self) -> dict[str, Tensor]:
        """lora_A and lora_B by PEFT's names, float32, padded to one rank."""
        padded: dict[str, Tensor] = {}
        for name, factors in self.modules.items():
            missing = self.rank - factors.rank
            padded[f"{PREFIX}{name}.lora_A.weight"] = _stored(pad(factors.a, (0, 0, 0, missing)))
            padded[f"{PREFIX}{name}.lora_B.weight"] = _stored(pad(factors.b, (0, missing)))
        return padded

    def write(self, folder: Path) -> None:
        """Write both files."""
        text = json.dumps(self.config(), indent=2, ensure_ascii=False) + "\n"
        (folder / CONFIG_NAME).write_text(text, encoding="utf-8")
        (folder / WEIGHTS_NAME).write_bytes(save_safetensors(self.tensors(), metadata={"format": "pt"}))

    def card_lines(self) -> list[str]:
        return [
            f"A PEFT LoRA adapter of rank {self.rank} on {len(self.modules)} modules. The strength is folded in: use",
            "it with PEFT's own scaling (lora_alpha / r = 1) and nothing else.",
            "",
            "```python",
            "from peft import PeftModel",
            "",
            'model = PeftModel.from_pretrained(base_model, "THIS FOLDER")',
            "```",
        ]


def build_lora(work: Work) -> LoraAdapter:
    """A bundle as an adapter.

    Raises:
        ExportError: it holds something that LoRA cannot, or needs too large a rank.
    """
    refuse_residual(work.bundle.interventions, "a LoRA adapter")
    _refuse_vectors(work.bundle.interventions)
    modules: dict[str, LoraFactors] = {}
    transposed: set[bool] = set()
    for point, update in fix_strength(work.bundle, work.sites, work.spec.strength).items():
        projection = find_projection(work.base.model, work.sites, point)
        factors = lora_factors(update, projection.weight)
        _check_rank(projection.name, factors, work.spec.max_rank)
        modules[projection.name] = factors
        transposed.add(projection.transposed)
    if len(transposed) != 1:
        raise ExportError("some projections are Conv1D and some Linear; one adapter has one fan_in_fan_out")
    return LoraAdapter(
        base_name=work.base.name,
        rank=max(factors.rank for factors in modules.values()),
        transposed=transposed.pop(),
        modules=modules,
    )


def _refuse_vectors(interventions: Sequence[Intervention]) -> None:
    for intervention in interventions:
        if isinstance(intervention, SteeringVector):
            raise ExportError(
                f"a LoRA adapter cannot hold the steering vector at {intervention.site}: before a projection it is a "
                "constant, which would be a bias, and LoRA changes weights only"
            )


def _check_rank(name: str, factors: LoraFactors, max_rank: int) -> None:
    smallest = min(factors.a.shape[1], factors.b.shape[0])
    if factors.rank > smallest:
        raise ExportError(
            f"{name} needs rank {factors.rank}, more than its smaller side of {smallest}: a low-rank "
            "adapter would be larger than the weight; export a checkpoint"
        )
    if factors.rank > max_rank:
        raise ExportError(
            f"{name} needs rank {factors.rank} (the breakers' ranks and one for each masked channel); "
            f"wanted at most {max_rank}: raise --max-rank if what loads the adapter allows it, or export a checkpoint"
        )


def _stored(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float32).contiguous()

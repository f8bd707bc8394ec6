"""Plain checkpoints: the base model with masks and breakers folded into its weights, saved as transformers does.

    W' = (W + s (W U) N) D        at head and neuron sites
    b' = b + s W v                for steering vectors there, where the projection has a bias

(derived in `folding`). The model in memory is not changed: changed tensors are put into a copy of its state dict.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel

from breakers.errors import ExportError
from breakers.exports.base import Work
from breakers.exports.folding import FixedUpdate, fix_strength, folded_bias, folded_weight
from breakers.exports.projections import Projection, find_projection, refuse_residual, refuse_shared

TOKENIZER_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedCheckpoint:
    """A checkpoint in memory: the base model and the tensors that differ from it."""

    model: PreTrainedModel
    changed: dict[str, Tensor]
    """By name in the model's state dict, in the stored orientation and dtype."""
    tokenizer_from: Path | None

    def write(self, folder: Path) -> None:
        """Save the model, and copy the base's tokenizer files as they are."""
        state = dict(self.model.state_dict()) | self.changed
        self.model.save_pretrained(folder, state_dict=state)
        if self.tokenizer_from is None:
            return
        for name in TOKENIZER_FILES:
            if (self.tokenizer_from / name).is_file():
                shutil.copyfile(self.tokenizer_from / name, folder / name)

    def card_lines(self) -> list[str]:
        return [
            f"The base model with {len(self.changed)} tensors changed: load it as any checkpoint. Embedding and",
            "final norm are the base model's, so its fingerprint is too: SCALPEL would accept the bundle on this",
            "checkpoint and apply it a second time. Do not load it there.",
        ]


def build_checkpoint(work: Work) -> FoldedCheckpoint:
    """A bundle folded into its base model.

    Raises:
        ExportError: it holds something that no weight or bias can, or a weight is tied to another.
    """
    model = work.base.model
    refuse_residual(work.bundle.interventions, "a checkpoint")
    changed: dict[str, Tensor] = {}
    for point, update in fix_strength(work.bundle, work.sites, work.spec.strength).items():
        projection = find_projection(model, work.sites, point)
        refuse_shared(model, projection)
        changed |= _fold(projection, update)
    return FoldedCheckpoint(model=model, changed=changed, tokenizer_from=work.base.directory)


def _fold(projection: Projection, update: FixedUpdate) -> dict[str, Tensor]:
    weight, bias = projection.weight, projection.bias
    changed = {f"{projection.name}.weight": projection.stored_weight(folded_weight(update, weight))}
    if bool(update.shift.any()):
        if bias is None:
            raise ExportError(
                f"{projection.name} has no bias, and a steering vector before it is a constant that only a bias "
                "can hold"
            )
        changed[f"{projection.name}.bias"] = projection.stored_bias(folded_bias(update, weight, bias))
    return changed

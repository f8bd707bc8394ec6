"""GGUF control vectors: what llama.cpp's `--control-vector` reads. Written by the `gguf` package.

llama.cpp adds the tensor `direction.N` to the output of its 0-based block N, after the MLP's residual addition
(common/common.cpp stores direction.N at (N - 1) d_model, src/llama-adapter.cpp reads block il from (il - 1) d_model,
src/models/*.cpp apply it to l_out). That is `resid_post` of layer N here: layer L is `direction.L`. It has no
direction for block 0, so layer 0 cannot be expressed.

The file holds directions 1 to layers - 1, zero where the bundle does nothing, as llama.cpp's own generator writes
them. `controlvector.layer_count` is their number.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from breakers.errors import ExportError
from breakers.exports.base import Work
from breakers.exports.folding import fix_strength
from breakers.interventions import SteeringVector
from breakers.sites import Component

FILE_NAME = "control-vector.gguf"
ARCHITECTURE = "controlvector"

# Where llama.cpp calls an architecture otherwise than transformers' model_type.
_LLAMA_CPP_NAMES = {
    "cohere": "command-r",
    "deepseek_v3": "deepseek2",
    "gemma3_text": "gemma3",
    "gpt_neox": "gptneox",
    "gpt_oss": "gpt-oss",
    "mistral": "llama",
    "mixtral": "llama",
    "phi": "phi2",
    "qwen2_moe": "qwen2moe",
    "qwen3_moe": "qwen3moe",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlVector:
    """Directions in memory."""

    name: str
    model_hint: str
    """llama.cpp's name of the architecture."""
    directions: Float[Tensor, "layer d_model"]
    """Row L is layer L; row 0 is zero and not written. float32."""

    def write(self, folder: Path) -> None:
        """Write the file."""
        import gguf

        writer = gguf.GGUFWriter(folder / FILE_NAME, ARCHITECTURE)
        try:
            writer.add_name(self.name)
            writer.add_string(f"{ARCHITECTURE}.model_hint", self.model_hint)
            writer.add_uint32(f"{ARCHITECTURE}.layer_count", len(self.directions) - 1)
            for layer in range(1, len(self.directions)):
                writer.add_tensor(f"direction.{layer}", self.directions[layer].numpy())
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()

    def card_lines(self) -> list[str]:
        used = [str(layer) for layer, row in enumerate(self.directions) if bool(row.any())]
        return [
            f"A llama.cpp control vector for `{self.model_hint}` models. It acts after layers {', '.join(used)},",
            "counted from 0. The strength is folded in: leave its scale at 1.",
            "",
            "```",
            f"llama-server --model MODEL.gguf --control-vector {FILE_NAME}",
            "```",
        ]


def build_control_vector(work: Work) -> ControlVector:
    """A bundle as a control vector.

    Raises:
        ExportError: it holds something else than steering vectors on the residual stream after layer 1 and later,
            llama.cpp does not know the architecture, or the `gguf` package is missing.
    """
    for intervention in work.bundle.interventions:
        site = intervention.site
        if not isinstance(intervention, SteeringVector) or site.component is not Component.RESID:
            raise ExportError(
                f"a control vector cannot hold the {intervention.kind} at {site}: it holds steering vectors on the "
                "residual stream and nothing else"
            )
        if site.layer == 0:
            raise ExportError(
                "a control vector cannot hold the steering vector at layer 0 resid: llama.cpp has no direction for "
                "its first block"
            )
    hint = _model_hint(work.sites.model_type)
    updates = fix_strength(work.bundle, work.sites, work.spec.strength)
    directions = torch.zeros(work.sites.layers, work.sites.d_model)
    for point, update in updates.items():
        directions[point.layer] = update.shift.float()
    return ControlVector(name=work.bundle.name, model_hint=hint, directions=directions)


def _model_hint(model_type: str) -> str:
    try:
        names = importlib.import_module("gguf").MODEL_ARCH_NAMES.values()
    except ImportError as error:
        raise ExportError(
            "writing GGUF needs the gguf package, which is not installed: pip install 'scalpel[exports]'"
        ) from error
    hint = _LLAMA_CPP_NAMES.get(model_type, model_type)
    if hint not in names:
        raise ExportError(f"llama.cpp has no architecture for model_type {model_type!r}, so nothing could load it")
    return str(hint)

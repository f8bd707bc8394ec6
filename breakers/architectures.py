"""The resolver: which module of a Hugging Face decoder realises a hook point, and how wide it is.

One table row per architecture, keyed by the configuration's `model_type`. A model that is not in the table, or
whose modules are not where the table says, is refused with a sentence naming what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from torch import nn
from transformers import PreTrainedModel

from breakers.errors import SiteError, UnsupportedModelError
from breakers.sites import Boundary, Component, HookPoint, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Where one family of models keeps its parts; paths are relative to the causal LM or to a decoder block."""

    layers: str
    attention_out: str
    """The attention output projection, from a block."""
    mlp_down: str | None
    """The MLP down projection, from a block; None where there is no single one."""
    embedding: str
    final_norm: str
    no_neurons: str = ""
    """Why neuron sites are refused, where `mlp_down` is None."""


ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture(
        layers="model.layers",
        attention_out="self_attn.o_proj",
        mlp_down="mlp.down_proj",
        embedding="model.embed_tokens",
        final_norm="model.norm",
    ),
    "gpt2": Architecture(
        layers="transformer.h",
        attention_out="attn.c_proj",
        mlp_down="mlp.c_proj",
        embedding="transformer.wte",
        final_norm="transformer.ln_f",
    ),
    "gemma3_text": Architecture(
        layers="model.layers",
        attention_out="self_attn.o_proj",
        mlp_down="mlp.down_proj",
        embedding="model.embed_tokens",
        final_norm="model.norm",
    ),
    "mixtral": Architecture(
        layers="model.layers",
        attention_out="self_attn.o_proj",
        mlp_down=None,
        embedding="model.embed_tokens",
        final_norm="model.norm",
        no_neurons="its MLP is a mixture of experts without a single down projection",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSites:
    """The sites of one loaded model."""

    model_type: str
    layers: int
    heads: int
    d_head: int
    d_model: int
    d_mlp: int | None
    """Neurons of a layer; None where neuron sites are refused."""
    no_neurons: str = ""
    modules: dict[HookPoint, nn.Module] = field(repr=False)

    def width(self, point: HookPoint) -> int:
        """Channels at a hook point.

        Raises:
            SiteError: the model has no such hook point.
        """
        self.module(point)
        if point.boundary is Boundary.ATTENTION_OUT_INPUT:
            return self.heads * self.d_head
        if point.boundary is Boundary.MLP_DOWN_INPUT:
            return cast(int, self.d_mlp)
        return self.d_model

    def module(self, point: HookPoint) -> nn.Module:
        """The module whose input (projections) or output (blocks) is the hook point's activation.

        Raises:
            SiteError: the model has no such hook point.
        """
        if not 0 <= point.layer < self.layers:
            raise SiteError(f"{point}: this model has layers 0 to {self.layers - 1}")
        if point not in self.modules:
            raise SiteError(f"{point}: {self.model_type} has no neuron sites: {self.no_neurons}")
        return self.modules[point]

    def channels(self, site: Site) -> list[int]:
        """The indices of a site's channels within its hook point.

        Raises:
            SiteError: the layer, head or neuron does not exist.
        """
        width = self.width(site.hook_point)
        if site.component is Component.HEAD:
            head = cast(int, site.head)
            if head >= self.heads:
                raise SiteError(f"{site}: this model has heads 0 to {self.heads - 1}")
            return list(range(head * self.d_head, (head + 1) * self.d_head))
        if site.component is Component.NEURON:
            neurons = cast(tuple[int, ...], site.neurons)
            if neurons[-1] >= width:
                raise SiteError(f"{site}: names neuron {neurons[-1]}; this model has neurons 0 to {width - 1}")
            return list(neurons)
        return list(range(width))


def resolve_sites(model: PreTrainedModel) -> ModelSites:
    """Find every hook point of a decoder-only causal LM.

    Args:
        model: a transformers model with a language-model head.

    Raises:
        UnsupportedModelError: the architecture is not in the table, or a module is missing or of another shape.
    """
    model_type = str(model.config.model_type)
    architecture = ARCHITECTURES.get(model_type)
    if architecture is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise UnsupportedModelError(f"no site table for model_type {model_type!r}; there is one for: {known}")
    blocks = list(cast(nn.ModuleList, submodule(model, architecture.layers)))
    modules: dict[HookPoint, nn.Module] = {}
    for layer, block in enumerate(blocks):
        modules[HookPoint(layer, Boundary.ATTENTION_OUT_INPUT)] = submodule(block, architecture.attention_out)
        modules[HookPoint(layer, Boundary.BLOCK_OUTPUT)] = block
        if architecture.mlp_down is not None:
            modules[HookPoint(layer, Boundary.MLP_DOWN_INPUT)] = submodule(block, architecture.mlp_down)
    return _measure(model_type, architecture, model.config.num_attention_heads, modules, len(blocks))


def submodule(root: nn.Module, path: str) -> nn.Module:
    """The module at a dotted path.

    Raises:
        UnsupportedModelError: it is not there.
    """
    try:
        return root.get_submodule(path)
    except AttributeError as error:
        raise UnsupportedModelError(f"{type(root).__name__} has no module {path!r}: {error}") from error


def _measure(
    model_type: str, architecture: Architecture, heads: int, modules: dict[HookPoint, nn.Module], layers: int
) -> ModelSites:
    attention = {_in_features(modules[HookPoint(n, Boundary.ATTENTION_OUT_INPUT)]) for n in range(layers)}
    outputs = {_out_features(modules[HookPoint(n, Boundary.ATTENTION_OUT_INPUT)]) for n in range(layers)}
    if len(attention) != 1 or len(outputs) != 1:
        raise UnsupportedModelError(f"{model_type}: layers differ in attention width: {sorted(attention)}")
    # Measured, not read from the configuration: `head_dim` is often None there and sometimes wrong.
    d_head, rest = divmod(attention.pop(), heads)
    if rest:
        raise UnsupportedModelError(f"{model_type}: attention output inputs do not divide into {heads} heads")
    d_mlp = None
    if architecture.mlp_down is not None:
        widths = {_in_features(modules[HookPoint(n, Boundary.MLP_DOWN_INPUT)]) for n in range(layers)}
        if len(widths) != 1:
            raise UnsupportedModelError(f"{model_type}: layers differ in MLP width: {sorted(widths)}")
        d_mlp = widths.pop()
    return ModelSites(
        model_type=model_type,
        layers=layers,
        heads=heads,
        d_head=d_head,
        d_model=outputs.pop(),
        d_mlp=d_mlp,
        no_neurons=architecture.no_neurons,
        modules=modules,
    )


def _in_features(module: nn.Module) -> int:
    return _projection_shape(module)[0]


def _out_features(module: nn.Module) -> int:
    return _projection_shape(module)[1]


def _projection_shape(module: nn.Module) -> tuple[int, int]:
    weight = getattr(module, "weight", None)
    if weight is None or weight.ndim != 2:
        raise UnsupportedModelError(f"{type(module).__name__} is not a projection: it has no 2-d weight")
    # Conv1D of GPT-2 stores (in, out), Linear stores (out, in).
    return tuple(weight.shape) if type(module).__name__ == "Conv1D" else tuple(weight.shape[::-1])

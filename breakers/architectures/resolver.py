"""The resolver: from a loaded model to its sites, everything measured on the modules themselves."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from breakers.architectures.experts import ExpertLayer, expert_layer
from breakers.architectures.model_sites import ModelSites
from breakers.architectures.table import ARCHITECTURES, Architecture
from breakers.errors import UnsupportedModelError
from breakers.sites import Boundary, HookPoint


def resolve_sites(model: PreTrainedModel) -> ModelSites:
    """Find every hook point of a decoder-only causal LM.

    Args:
        model: a transformers model with a language-model head.

    Raises:
        UnsupportedModelError: the architecture is not in the table, or a module is missing or of another shape.
    """
    model_type = str(model.config.model_type)
    architecture = _architecture(model, model_type)
    layers = submodule(model, architecture.layers)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        raise UnsupportedModelError(
            f"{model_type}: {architecture.layers} is {type(layers).__name__}; wanted a list of layers"
        )
    blocks = list(layers)
    attention = [submodule(block, architecture.attention_out) for block in blocks]
    heads, d_head, d_model = _attention_sizes(model, model_type, attention)
    experts, no_experts = _experts(architecture, blocks)
    downs = _down_projections(model_type, architecture, blocks, d_model)
    widths = {layer: _projection_shape(module)[0] for layer, module in downs.items()}
    modules = {HookPoint(n, Boundary.ATTENTION_OUT_INPUT): module for n, module in enumerate(attention)}
    modules |= {HookPoint(n, Boundary.BLOCK_OUTPUT): block for n, block in enumerate(blocks)}
    modules |= {HookPoint(n, Boundary.MLP_DOWN_INPUT): module for n, module in downs.items()}
    no_neurons = _no_common_width(widths, len(blocks))
    return ModelSites(
        model_type=model_type,
        layers=len(blocks),
        heads=heads,
        d_head=d_head,
        d_model=d_model,
        d_mlp=None if no_neurons else widths[0],
        no_neurons=no_neurons,
        no_experts=no_experts,
        modules=modules,
        mlp_widths=widths,
        experts=experts,
    )


def submodule(root: nn.Module, path: str) -> nn.Module:
    """The module at a dotted path.

    Raises:
        UnsupportedModelError: it is not there.
    """
    try:
        return root.get_submodule(path)
    except AttributeError as error:
        raise UnsupportedModelError(f"{type(root).__name__} has no module {path!r}: {error}") from error


def _architecture(model: PreTrainedModel, model_type: str) -> Architecture:
    if getattr(model.config, "is_encoder_decoder", False):
        raise UnsupportedModelError(f"{model_type} is an encoder-decoder model; wanted a decoder-only one")
    architecture = ARCHITECTURES.get(model_type)
    if architecture is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise UnsupportedModelError(f"no site table for model_type {model_type!r}; there is one for: {known}")
    if model.get_output_embeddings() is None:
        raise UnsupportedModelError(f"{type(model).__name__} has no language-model head; wanted a causal LM")
    return architecture


def _attention_sizes(model: PreTrainedModel, model_type: str, outs: Sequence[nn.Module]) -> tuple[int, int, int]:
    """Heads, d_head, d_model."""
    shapes = {_projection_shape(out) for out in outs}
    if len(shapes) != 1:
        widths = ", ".join(f"{i} -> {o}" for i, o in sorted(shapes))
        raise UnsupportedModelError(f"{model_type}: layers differ in attention width: {widths}")
    ((width, d_model),) = shapes
    heads = int(model.config.get_text_config().num_attention_heads)
    # Measured, not read from the configuration: `head_dim` is often None there and sometimes wrong.
    d_head, rest = divmod(width, heads)
    if rest:
        raise UnsupportedModelError(
            f"{model_type}: attention output inputs are {width} wide, which does not divide into {heads} heads"
        )
    return heads, d_head, d_model


def _down_projections(
    model_type: str, architecture: Architecture, blocks: Sequence[nn.Module], d_model: int
) -> dict[int, nn.Module]:
    """Layer -> the down projection of its dense MLP or shared expert.

    A layer may lack one only where routed experts stand in its place.
    """
    found: dict[int, nn.Module] = {}
    for layer, block in enumerate(blocks):
        down = next((m for path in architecture.mlp_down if (m := _find(block, path)) is not None), None)
        if down is None:
            submodule(block, architecture.experts or architecture.mlp_down[0])
            continue
        out = _projection_shape(down)[1]
        if out != d_model:
            raise UnsupportedModelError(
                f"{model_type}: layer {layer}'s MLP gives {out} channels; wanted the residual stream's {d_model}"
            )
        found[layer] = down
    return found


def _experts(architecture: Architecture, blocks: Sequence[nn.Module]) -> tuple[dict[int, ExpertLayer], str]:
    """Layer -> routed experts, and why there are none."""
    if architecture.experts is None:
        return {}, "its layers are dense"
    found: dict[int, ExpertLayer] = {}
    for layer, block in enumerate(blocks):
        module = _find(block, architecture.experts)
        if module is None:
            continue
        try:
            found[layer] = expert_layer(module)
        except UnsupportedModelError as error:
            # The other sites of the model are as good as ever.
            return {}, str(error)
    return found, "" if found else "its layers are dense"


def _no_common_width(widths: dict[int, int], layers: int) -> str:
    if not widths:
        return "its MLP is a mixture of experts without a single down projection; wanted a site that names an expert"
    without = [str(layer) for layer in range(layers) if layer not in widths]
    if without:
        return f"its layers {', '.join(without)} have no neurons outside routed experts"
    if len(set(widths.values())) > 1:
        return f"its layers differ in MLP width: {', '.join(str(w) for w in sorted(set(widths.values())))}"
    return ""


def _find(root: nn.Module, path: str) -> nn.Module | None:
    try:
        return root.get_submodule(path)
    except AttributeError:
        return None


def _projection_shape(module: nn.Module) -> tuple[int, int]:
    """Channels in and out.

    Raises:
        UnsupportedModelError: it has no weight of that shape: not a projection, or one whose weight is packed.
    """
    name = type(module).__name__
    weight = getattr(module, "weight", None)
    if weight is None or weight.ndim != 2:
        raise UnsupportedModelError(f"{name} is not a projection: it has no 2-d weight")
    # Conv1D of GPT-2 stores (in, out), Linear stores (out, in).
    shape = tuple(weight.shape) if name == "Conv1D" else tuple(weight.shape[::-1])
    declared = (getattr(module, "in_features", shape[0]), getattr(module, "out_features", shape[1]))
    if shape != declared:
        raise UnsupportedModelError(f"{name} says {declared} (in, out), its weight {shape}; wanted it unpacked")
    return int(shape[0]), int(shape[1])

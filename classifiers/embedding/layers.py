"""The layers of a BERT encoder by themselves: states below a layer, and what the layers from there on make of them.

Fine-tuning the upper layers leaves those below as they are, so their states are computed once; and an encoder whose
upper layers are fine-tuned shares everything below with the one it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from transformers import BertModel
from transformers.masking_utils import create_bidirectional_mask

from classifiers.embedding.quantisation import dequantised, quantised
from classifiers.errors import ArtifactError

LAYERS_FILE = "layers.safetensors"
_LAYER = "encoder.layer."


def lower_states(
    model: BertModel, ids: Int64[Tensor, "batch pos"], mask: Int64[Tensor, "batch pos"], *, upper: int
) -> Float[Tensor, "batch pos d_model"]:
    """What enters the last `upper` layers."""
    hidden = model.embeddings(input_ids=ids)
    return _through(model, hidden, mask, 0, len(model.encoder.layer) - upper)


def upper_states(
    model: BertModel, hidden: Float[Tensor, "batch pos d_model"], mask: Int64[Tensor, "batch pos"], *, upper: int
) -> Float[Tensor, "batch pos d_model"]:
    """What the last `upper` layers make of what enters them."""
    layers = len(model.encoder.layer)
    return _through(model, hidden, mask, layers - upper, layers)


def upper_tensors(model: BertModel, upper: int) -> dict[str, Tensor]:
    """The weights of the last `upper` layers, called as in the model."""
    kept = _prefixes(model, upper)
    return {name: tensor for name, tensor in model.state_dict().items() if name.startswith(kept)}


def with_upper_tensors(model: BertModel, tensors: Mapping[str, Tensor]) -> BertModel:
    """A model with these weights in its last layers, and the very modules of `model` elsewhere.

    Args:
        model: is left as it is.
        tensors: whole layers, called as in the model, up to the last one.

    Raises:
        ArtifactError: they are not the weights of the last layers, or not finite.
    """
    upper = len({name.removeprefix(_LAYER).split(".")[0] for name in tensors})
    wanted = upper_tensors(model, upper)
    odd = sorted(set(tensors) ^ set(wanted)) or [n for n, t in wanted.items() if tensors[n].shape != t.shape]
    if upper == 0 or odd:
        raise ArtifactError(f"tensors of {upper} layers, {odd[:3]} among them amiss; wanted those of the last layers")
    bad = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise ArtifactError(f"the layers' tensor {bad[0]!r} holds values that are not finite")
    shared = {id(module): module for module in model.modules()}
    for number in range(len(model.encoder.layer) - upper, len(model.encoder.layer)):
        for module in model.encoder.layer[number].modules():
            del shared[id(module)]
    # What leads from the model to the copied layers is copied too; everything else is the same object.
    for module in (model, model.encoder, model.encoder.layer):
        del shared[id(module)]
    found: BertModel = deepcopy(model, memo=shared)
    found.load_state_dict(dict(tensors), strict=False)
    return found


def movement(model: BertModel, tensors: Mapping[str, Tensor]) -> bytes:
    """How far upper layers are from the model's: a file, matrices in 8 bits.

    Args:
        model: what they were fine-tuned from.
        tensors: whole layers, called as in the model.
    """
    state = model.state_dict()
    data: bytes = save(quantised({name: tensor - state[name] for name, tensor in tensors.items()}))
    return data


def read_movement(data: bytes) -> dict[str, Tensor]:
    """What `movement` wrote, as floats.

    Raises:
        ArtifactError: it is no such file.
    """
    try:
        return dequantised(load(data))
    except SafetensorError as error:
        raise ArtifactError(f"{LAYERS_FILE} cannot be read: {error}") from error


def moved_by(model: BertModel, by: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's tensors of these names, moved.

    Raises:
        ArtifactError: the model has none of a name, or of another shape.
    """
    state = model.state_dict()
    odd = [name for name, tensor in by.items() if name not in state or state[name].shape != tensor.shape]
    if odd:
        raise ArtifactError(f"{LAYERS_FILE} holds {odd[0]!r}; the encoder has none of that name and shape")
    return {name: state[name] + tensor for name, tensor in by.items()}


def _through(
    model: BertModel, hidden: Float[Tensor, "batch pos d_model"], mask: Tensor, first: int, end: int
) -> Float[Tensor, "batch pos d_model"]:
    attended = create_bidirectional_mask(config=model.config, inputs_embeds=hidden, attention_mask=mask)
    for layer in model.encoder.layer[first:end]:
        hidden = layer(hidden, attended)
    return hidden


def _prefixes(model: BertModel, upper: int) -> tuple[str, ...]:
    layers = len(model.encoder.layer)
    return tuple(f"{_LAYER}{number}." for number in range(layers - upper, layers))

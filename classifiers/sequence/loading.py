"""Models and tokenizers from a directory or the Hub: safetensors only, and no code but transformers' own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from classifiers.artifact import sha256_of, sha256_of_file
from classifiers.errors import ArtifactError, MemberConfigError
from classifiers.sequence.config import AnswersConfig, LabelsConfig

_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.model", "*.txt")
_NAMED_BY = ("*.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")
"""What changes a score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSequence:
    """A model with its tokenizer."""

    model: Any
    tokenizer: Any
    sha256: str
    """Over its files."""


def load_sequence(config: LabelsConfig | AnswersConfig, folder: Path) -> LoadedSequence:
    """What `config` names, in evaluation mode.

    Args:
        config: of the member.
        folder: the directory that relative paths start from.

    Raises:
        MemberConfigError: there is no such model.
        ArtifactError: its files cannot be read, or are no safetensors.
    """
    path = config.local_folder(folder) or _downloaded(config)
    if not any(path.glob("*.safetensors")):
        raise ArtifactError(f"{path} has no safetensors; nothing is unpickled, so convert its weights first")
    kind = "AutoModelForSequenceClassification" if config.kind == "labels" else "AutoModelForCausalLM"
    try:
        model, notes = getattr(transformers, kind).from_pretrained(
            path,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            dtype=getattr(torch, config.dtype),
            output_loading_info=True,
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ArtifactError(f"the model in {path} cannot be loaded as {kind}: {error}") from error
    _check(path, notes, tokenizer)
    model.eval().requires_grad_(False)
    return LoadedSequence(model=model.to(config.device), tokenizer=tokenizer, sha256=_sha256(path))


def _check(path: Path, notes: dict[str, Any], tokenizer: Any) -> None:
    missing = sorted(notes["missing_keys"])
    if missing:  # transformers would fill them with random numbers
        raise ArtifactError(f"the model in {path} lacks weights: {', '.join(missing[:5])}")
    if not tokenizer.is_fast:
        raise ArtifactError(f"the tokenizer in {path} cannot cut texts into windows; wanted one with tokenizer.json")


def _downloaded(config: LabelsConfig | AnswersConfig) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if config.revision is None:
        raise MemberConfigError(
            f"model {config.model!r} is no directory beside the configuration; of one of the Hub, name the revision"
        )
    try:
        return Path(snapshot_download(config.model, revision=config.revision, allow_patterns=list(_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise MemberConfigError(f"model {config.model!r} cannot be had from the Hub: {error}") from error


def _sha256(path: Path) -> str:
    files = sorted({file for pattern in _NAMED_BY for file in path.glob(pattern)})
    return sha256_of("\n".join(f"{file.name} {sha256_of_file(file)}" for file in files).encode())

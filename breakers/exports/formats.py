"""The names of the formats, for command lines: nothing heavy is imported here."""

from __future__ import annotations

from enum import StrEnum

DEFAULT_MAX_RANK = 256
"""The largest LoRA rank that is written unless the caller asks for more."""


class ExportFormat(StrEnum):
    """What an export is written as."""

    PEFT = "peft"
    """A LoRA adapter, loaded by the `peft` package and by servers that read its files."""
    GGUF = "gguf"
    """A control vector of llama.cpp."""
    CHECKPOINT = "checkpoint"
    """The base model with the edits folded into its weights."""

"""What a worker answers when the engine core asks whether its model is steered."""

from __future__ import annotations

from typing import Any

from breakers.errors import RuntimeAttachError
from breakers.vllm_plugin.steering import ATTRIBUTE

QUESTION = "scalpel_bank"
"""A method of every worker that has the plugin; vLLM fails a call of it on one that has not."""


def install() -> None:
    """Give all workers the method."""
    from vllm.v1.worker.worker_base import WorkerBase

    setattr(WorkerBase, QUESTION, bank_digest)


def bank_digest(worker: Any) -> str:
    """Digest of the bank in this worker's model.

    Raises:
        RuntimeAttachError: its model runner is none that the plugin knows, so nothing is steered.
    """
    steering = getattr(worker.model_runner, ATTRIBUTE, None)
    if steering is None:
        raise RuntimeAttachError(f"the plugin does not know vLLM's {type(worker.model_runner).__name__}: not steered")
    digest: str = steering.catalogue.digest
    return digest

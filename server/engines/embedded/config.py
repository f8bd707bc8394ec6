"""Settings of the embedded engine, and the one place where "auto" is settled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakers.bank import BankEntry
from server.engines.embedded.errors import EngineConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DTYPES = ("float32", "bfloat16", "float16")
DEVICES = ("auto", "cpu", "cuda")

SMALL_MODEL_PARAMETERS = 50_000_000
"""Up to this size one thread is fastest: a second one costs more in hand-overs than it computes."""

LONGEST_AUTOMATIC = 4096
"""The cache holds every slot at full length, so a model of 128k positions does not get them unasked."""

AUTOMATIC_PREFIX_SLOTS = 4
PREFIX_BLOCK = 32
"""Tokens of a block of the prefix cache; in deterministic mode a block is a prefill chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model and its tokenizer, already in memory."""

    model: PreTrainedModel
    tokenizer: Any
    """A transformers tokenizer."""
    model_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedEngineConfig:
    """How to build an embedded engine."""

    model: Path | LoadedModel
    """A model directory, or a model in memory (which is then used as it is: `device` and `dtype` move it)."""
    bundles: tuple[BankEntry, ...] = ()
    """What plans may name; already verified against this model."""
    device: str = "auto"
    dtype: str = "float32"
    slots: int = 16
    """Requests that run at once."""
    max_model_len: int | None = None
    """Prompt and reply together, in tokens; None for what the model allows, up to `LONGEST_AUTOMATIC`."""
    prefill_budget: int = 512
    """Prompt tokens that one forward processes beside the decode rows."""
    prefix_cache_tokens: int | None = None
    """Tokens whose keys and values are kept for prompts that begin alike; 0 for none, None for automatic: as many
    as `AUTOMATIC_PREFIX_SLOTS` slots hold."""
    deterministic: bool = False
    """Bit-identical results in any batch, at some cost in speed."""
    deterministic_chunk: int = 64
    """Rows of the fixed-size prefill forward of deterministic mode."""
    queue_size: int = 256
    """Requests that may wait beside those that run; more are refused."""
    threads: int | None = None
    """Compute threads on the CPU, of the whole process; None for automatic. Set `OMP_WAIT_POLICY=PASSIVE` in the
    environment before torch is imported: threads that spin are ruinous beside a busy neighbour."""
    drain_seconds: float = 10.0
    """How long `stop` lets accepted requests go on."""

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise EngineConfigError(f"device is {self.device!r}; wanted one of {', '.join(DEVICES)}")
        if self.dtype not in DTYPES:
            raise EngineConfigError(f"dtype is {self.dtype!r}; wanted one of {', '.join(DTYPES)}")
        for name in ("slots", "prefill_budget", "deterministic_chunk"):
            if getattr(self, name) < 1:
                raise EngineConfigError(f"{name} is {getattr(self, name)}; wanted at least 1")
        for name in ("max_model_len", "threads"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise EngineConfigError(f"{name} is {getattr(self, name)}; wanted at least 1, or None for automatic")
        if self.prefix_cache_tokens is not None and self.prefix_cache_tokens < 0:
            raise EngineConfigError(f"prefix_cache_tokens is {self.prefix_cache_tokens}; wanted 0 or more")
        if self.queue_size < 0 or self.drain_seconds < 0:
            raise EngineConfigError("queue_size and drain_seconds must be 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The settings that depend on the machine and the model."""

    device: str
    threads: int
    max_model_len: int


def resolve_device(asked: str, *, cuda_available: bool) -> str:
    """`auto` -> `cuda` where there is one, else `cpu`.

    Raises:
        EngineConfigError: CUDA was asked for and is not there.
    """
    if asked == "cuda" and not cuda_available:
        raise EngineConfigError("device is 'cuda', but torch sees no CUDA device; wanted 'cpu' or 'auto'")
    if asked == "auto":
        return "cuda" if cuda_available else "cpu"
    return asked


def resolve(
    config: EmbeddedEngineConfig, *, device: str, cores: int, parameters: int, model_positions: int
) -> Resolved:
    """Settle everything automatic; pure.

    Args:
        device: as settled by `resolve_device`.
        cores: CPU cores that this process may use.
        parameters: of the model.
        model_positions: the longest sequence that the model was made for, in tokens.

    Raises:
        EngineConfigError: `max_model_len` is more than the model's positions.
    """
    length = config.max_model_len or min(model_positions, LONGEST_AUTOMATIC)
    if length > model_positions:
        raise EngineConfigError(f"max_model_len is {length}, but this model has {model_positions} positions")
    small = parameters <= SMALL_MODEL_PARAMETERS or device != "cpu"
    threads = config.threads if config.threads is not None else (1 if small else max(1, cores))
    return Resolved(device=device, threads=threads, max_model_len=length)

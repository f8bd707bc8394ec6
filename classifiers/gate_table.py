"""The table a gate is fitted on: harm and change of every calibration prompt at every strength level, as an artifact.

Harm is H of the reply generated at that strength. Change is the mean KL divergence, in nats a token, from the
unmodified model's next-token distributions to the modified one's over the unmodified model's own reply; it counts
only where that reply was harmless, because changing a harmful reply is the point.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from breakers.plan import STRENGTH_STEPS
from classifiers.base import Conversation
from classifiers.errors import GateTableError

_META = "scalpel"
_NAMED = ("bundle", "category", "classifier", "scorer", "base_fingerprint", "weights_sha256", "command")
_LATER = ("prompts_sha256", "rescored_from")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateTable:
    """Harm and change per prompt (rows) and strength (columns, multiples of 1/16 from 0 on)."""

    bundle: str
    category: str
    classifier: str
    """Name of the classifier whose harm potential this is."""
    scorer: str
    """Name of the scorer whose harm this is."""
    base_fingerprint: str
    weights_sha256: str
    """Of the bundle's interventions: a gate belongs to the weights it was tabulated with."""
    command: str
    harm_potential: Float64[np.ndarray, " prompt"]
    harm: Float64[np.ndarray, "prompt level"]
    """In [0, 1]."""
    change: Float64[np.ndarray, "prompt level"]
    """At least 0; the first column is 0."""
    benign: Bool[np.ndarray, " prompt"]
    """Prompts that the false-positive budget is counted over: no harm of this category is expected of them."""
    prompts_sha256: str = ""
    """Of the conversations, by `conversations_sha256`; empty in tables that were made before it was kept."""
    rescored_from: str = ""
    """sha256 of the table whose harm and change these are; empty where the model was run for this one."""

    def __post_init__(self) -> None:
        if self.harm.shape != self.change.shape or len(self.harm) != len(self.harm_potential):
            raise GateTableError(
                f"harm is {self.harm.shape}, change {self.change.shape}, harm_potential {self.harm_potential.shape}"
            )
        if len(self.benign) != len(self.harm) or len(self.harm) == 0 or self.levels < 2:
            raise GateTableError(f"{len(self.harm)} prompts, {len(self.benign)} benign flags, {self.levels} levels")
        for name, low, high in (("harm_potential", 0, 1), ("harm", 0, 1), ("change", 0, np.inf)):
            values = getattr(self, name)
            if not (np.isfinite(values).all() and values.min() >= low and values.max() <= high):
                raise GateTableError(f"{name} holds values outside [{low}, {high}] or not finite")

    @property
    def levels(self) -> int:
        """Number of strength levels; level i is strength i / 16."""
        return int(self.harm.shape[1])

    @property
    def top_strength(self) -> float:
        """The strength of the last level."""
        return (self.levels - 1) / STRENGTH_STEPS


def conversations_sha256(conversations: Sequence[Conversation]) -> str:
    """What a table knows its prompts by: every turn of every conversation, in order."""
    turns = [[dict(turn) for turn in conversation] for conversation in conversations]
    text = json.dumps(turns, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


def save_gate_table(table: GateTable, path: Path) -> None:
    """Write the table as one safetensors file with its description in the metadata."""
    named = {name: getattr(table, name) for name in _NAMED}
    # Left out where empty: a table that was read is written as it was.
    named |= {name: getattr(table, name) for name in _LATER if getattr(table, name)}
    described = json.dumps(named, sort_keys=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "harm_potential": table.harm_potential,
        "harm": table.harm,
        "change": table.change,
        "benign": table.benign.astype(np.uint8),
    }
    save_file(arrays, path, metadata={_META: described})


def load_gate_table(path: Path) -> GateTable:
    """Read a table.

    Raises:
        GateTableError: the file is missing, not a table, or its parts do not fit together.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            described = json.loads((file.metadata() or {})[_META])
            arrays = {name: file.get_tensor(name) for name in ("harm_potential", "harm", "change", "benign")}
        return GateTable(**described, **(arrays | {"benign": arrays["benign"].astype(np.bool_)}))
    except GateTableError:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise GateTableError(f"{path.name} is not a gate table: {error}") from error

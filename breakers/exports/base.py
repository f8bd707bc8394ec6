"""What all formats share: what is asked for, the base model, and what a format has to be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.bank import Scope
from breakers.bundles import Bundle
from breakers.errors import ExportError
from breakers.exports.formats import DEFAULT_MAX_RANK, ExportFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSpec:
    """What a caller asks for."""

    format: ExportFormat
    strength: float = 1.0
    """The fixed strength, above 0 and at most the bundle's `strength_max`."""
    as_scope: Scope | None = None
    """`all` turns a bundle of scope `generation` into an edit of every token; None exports scope `all` only."""
    max_rank: int = DEFAULT_MAX_RANK
    """The largest rank of a LoRA adapter."""
    accept_base_mismatch: bool = False
    """Export although the bundle was made on another base model; the card says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportBase:
    """The base model that an export is computed from."""

    model: PreTrainedModel
    name: str
    """What other programs are told that the base model is called: a directory or a Hub id."""
    directory: Path | None = None
    """Where tokenizer files are copied from; None copies none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One export: the checked request with everything that a format needs."""

    bundle: Bundle
    base: ExportBase
    sites: ModelSites
    spec: ExportSpec


@runtime_checkable
class Export(Protocol):
    """An export in memory, complete: everything that can be refused was refused when it was built."""

    def write(self, folder: Path) -> None:
        """Write the format's files into an empty folder."""
        ...

    def card_lines(self) -> list[str]:
        """Markdown lines for the export's card: what the files are and how they are loaded."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What was written."""

    path: Path
    files: tuple[str, ...]
    """Names within `path`, sorted."""
    remarks: tuple[str, ...]
    """Sentences on where the export differs from the bundle as it is served."""


def check_request(bundle: Bundle, spec: ExportSpec) -> None:
    """Refuse what needs no model to be refused.

    Raises:
        ExportError: the scope, the strength or the rank limit cannot be used.
    """
    if spec.as_scope is Scope.GENERATION:
        raise ExportError("as-scope is 'generation'; an export edits every token, so it can only be 'all'")
    if bundle.manifest.scope is Scope.GENERATION and spec.as_scope is not Scope.ALL:
        raise ExportError(
            f"bundle {bundle.name!r} has scope 'generation': it was made to leave the earlier prompt alone, and an "
            "export edits every token; ask for --as-scope all to have it so, or serve the bundle"
        )
    if not 0 < spec.strength <= bundle.manifest.strength_max:
        raise ExportError(
            f"strength is {spec.strength:g}; wanted above 0 and at most {bundle.manifest.strength_max:g}, "
            f"the strength_max of bundle {bundle.name!r}"
        )
    if spec.max_rank < 1:
        raise ExportError(f"max-rank is {spec.max_rank}; wanted 1 or more")

"""`scalpel bundle export`: a bundle at one fixed strength, for other programs."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from breakers.exports.formats import DEFAULT_MAX_RANK, ExportFormat


class ExportScope(StrEnum):
    """The scopes that an export can have."""

    ALL = "all"


def export(
    path: Annotated[Path, typer.Argument(help="Bundle directory.")],
    format_: Annotated[ExportFormat, typer.Option("--format", help="What to write.")],
    model: Annotated[str, typer.Option(help="Base model directory.")],
    out: Annotated[Path, typer.Option(help="Folder to write; new or empty.")],
    strength: Annotated[float, typer.Option(help="The fixed strength, up to the bundle's strength_max.")] = 1.0,
    as_scope: Annotated[
        ExportScope | None, typer.Option(help="Export a bundle of scope `generation` as an edit of every token.")
    ] = None,
    max_rank: Annotated[int, typer.Option(help="Largest rank of a LoRA adapter.")] = DEFAULT_MAX_RANK,
    accept_base_mismatch: Annotated[
        str | None, typer.Option(help="Export this bundle, named, although it was made on another model.")
    ] = None,
) -> None:
    """Write a bundle as a PEFT LoRA adapter, a GGUF control vector or a checkpoint; what cannot be is refused."""
    from breakers.bank import Scope
    from breakers.bundles import load_bundle
    from breakers.bundles.bundle import refuse_rehearsal
    from breakers.exports.base import ExportBase, ExportSpec, check_request
    from breakers.exports.export import export_bundle
    from breakers.exports.folder import refuse_occupied
    from server.base_model import load_base
    from server.cli.failures import CommandError
    from server.errors import ConfigError

    bundle = load_bundle(path)
    refuse_rehearsal(bundle)
    if accept_base_mismatch not in (None, bundle.name):
        raise ConfigError(
            f"a base mismatch is accepted for {accept_base_mismatch!r}, but this bundle is {bundle.name!r}"
        )
    spec = ExportSpec(
        format=format_,
        strength=strength,
        as_scope=None if as_scope is None else Scope(as_scope.value),
        max_rank=max_rank,
        accept_base_mismatch=accept_base_mismatch is not None,
    )
    # Before a large model is read.
    check_request(bundle, spec)
    refuse_occupied(out)
    loaded = load_base(model, dtype=stored_dtype(Path(model)))
    base = ExportBase(model=loaded.model, name=model, directory=Path(model))
    try:
        result = export_bundle(bundle, base, out, spec)
    except OSError as error:
        raise CommandError(f"{out} cannot be written: {error}") from error
    typer.echo(f"{bundle.name}: wrote {', '.join(result.files)} to {result.path}")
    for remark in result.remarks:
        typer.echo(remark)


def stored_dtype(model: Path) -> str:
    """The dtype that a model directory declares, so that a checkpoint is written as it was stored.

    Returns:
        float32 where nothing usable is declared; reading the directory reports what is wrong with it.
    """
    try:
        config = json.loads((model / "config.json").read_bytes())
    except (OSError, ValueError):
        return "float32"
    declared = config.get("dtype", config.get("torch_dtype")) if isinstance(config, dict) else None
    return declared if declared in ("float32", "bfloat16", "float16") else "float32"

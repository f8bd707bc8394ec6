"""`scalpel selftest`: the self-test of a server, without serving."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.config import ServerConfig
    from server.engines.checks import CheckResult


def selftest(
    model: Annotated[str | None, typer.Argument(help="Model directory; the packaged demo model if left out.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of `scalpel serve`; flags beat it.")] = None,
    bundle: Annotated[
        list[str] | None,
        typer.Option(help="Bundle directory or hf://owner/name[@revision]; repeat for several."),
    ] = None,
    no_bundles: Annotated[bool, typer.Option("--no-bundles", help="Load no bundle, not even packaged ones.")] = False,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    deterministic: Annotated[
        bool | None, typer.Option("--deterministic", help="Test deterministic mode, where no bit may differ.")
    ] = None,
    accept_base_mismatch: Annotated[
        list[str] | None, typer.Option(help="Load this bundle although it was made on another model; repeatable.")
    ] = None,
) -> None:
    """Prove that interventions do what they declare, and nothing else; ends with status 1 where that fails."""
    from server.cli.serve import given
    from server.config import load_config
    from server.engines.checks import failing
    from server.errors import ConfigError

    if bundle and no_bundles:
        raise ConfigError("--bundle and --no-bundles were both given; wanted one of them")
    flags = {
        "model": model,
        "bundles": [] if no_bundles else bundle or None,
        "accept_base_mismatch": accept_base_mismatch or None,
        "engine": {"device": device, "dtype": dtype, "deterministic": deterministic},
    }
    results = asyncio.run(prove(load_config(config, given(flags))))
    typer.echo(table(results))
    if failed := failing(results):
        typer.echo(f"{len(failed)} of {len(results)} checks failed: this server would not serve", err=True)
        raise typer.Exit(1)


async def prove(config: ServerConfig) -> tuple[CheckResult, ...]:
    """The self-test's results on what `config` would serve.

    Raises:
        ConfigError, BreakersError, ClassifiersError: as `build_server`.
    """
    from server.composition import build_server

    state = build_server(config)
    await state.engine.start()
    try:
        return await state.selftest.run(state.deployments.current.bundles.values())
    finally:
        await state.engine.stop()


def table(results: Sequence[CheckResult]) -> str:
    """The checks in lines."""
    width = max(len(result.name) for result in results)
    return "\n".join(f"{result.verdict.value:8}  {result.name:{width}}  {result.detail}" for result in results)

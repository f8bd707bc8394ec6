"""The `scalpel` command: one file per command group, each importing what it runs only when it runs.

Errors of ours are one sentence on stderr and an exit status of 2 (what was asked for cannot be used) or 1 (it was
tried and failed); a traceback means a bug.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from server.cli import (
    bundle,
    chat,
    classifier,
    demo,
    gate,
    keys,
    pairs,
    recipe,
    refine,
    selftest,
    serve,
    trace,
    train,
)


def build_cli() -> typer.Typer:
    """The command line, not yet run."""
    cli = typer.Typer(
        name="scalpel",
        help="Serve language models with surgical safety: edits of heads and neurons, as strong as a request needs.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    cli.command("serve")(serve.serve)
    cli.command("chat")(chat.chat)
    cli.command("selftest")(selftest.selftest)
    cli.command("train")(train.train)
    cli.add_typer(bundle.build(), name="bundle")
    cli.add_typer(demo.build(), name="demo")
    cli.add_typer(pairs.build(), name="pairs")
    cli.command("trace")(trace.trace)
    cli.command("refine")(refine.refine)
    cli.add_typer(gate.build(), name="gate")
    cli.add_typer(recipe.build(), name="recipe")
    cli.add_typer(classifier.build(), name="classifier")
    cli.add_typer(keys.build(), name="keys")
    return cli


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    # Before torch is imported: threads that spin are ruinous beside a busy neighbour.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        build_cli()(args=arguments, prog_name="scalpel")
    except Exception as error:
        from server.cli.failures import exit_status

        status = exit_status(error)
        if status is None:
            raise
        sys.stderr.write(f"scalpel: {error}\n")
        sys.exit(status)

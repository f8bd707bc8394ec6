"""`scalpel bundle push`: a verified bundle directory to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def push(
    path: Annotated[Path, typer.Argument(help="Bundle directory.")],
    repository: Annotated[str, typer.Argument(help="hf://owner/name, made if needed.")],
    revision: Annotated[str | None, typer.Option(help="Branch to push to; main unless set.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
) -> None:
    """Verify a bundle, commit exactly its files to the Hub, and print the commit."""
    from breakers.bundles.hub_push import push_bundle
    from breakers.bundles.reference import parse_hub_reference
    from breakers.errors import BundleSourceError

    target = parse_hub_reference(repository)
    if revision is not None:
        if target.revision is not None:
            raise BundleSourceError(f"{repository} and --revision {revision} both name a branch; wanted one of them")
        target = parse_hub_reference(f"{repository}@{revision}")
    result = push_bundle(path, target, private=private)
    typer.echo(f"pushed {result.name} ({', '.join(result.files)})")
    typer.echo(str(result.reference))

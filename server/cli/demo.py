"""`scalpel demo`: make the demo model, and send it the requests that move the dashboards."""

from __future__ import annotations

from typing import Annotated

import typer

from server.cli import demo_build
from server.cli.chat import DEFAULT_URL


def build() -> typer.Typer:
    """The command group."""
    group = typer.Typer(help="The demo model and its traffic.", no_args_is_help=True)
    group.command("build")(demo_build.build_model)
    group.command("bundles")(demo_build.build_bundles)
    group.command("traffic")(traffic)
    return group


def traffic(
    base_url: Annotated[str, typer.Option(help="Where the server is.")] = DEFAULT_URL,
    model: Annotated[str | None, typer.Option(help="Model name; the first one served if left out.")] = None,
    requests: Annotated[int, typer.Option(min=1, help="How many requests to send.")] = 200,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Requests at once.")] = 4,
    off_share: Annotated[float, typer.Option(min=0, max=1, help="Share sent with all breakers off.")] = 0.3,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the mix.")] = 0,
) -> None:
    """Send a bounded mix of benign, provoking and mixed requests, some with the breakers off."""
    from server.cli.client import ServerClient
    from server.cli.traffic import TrafficConfig, demo_bodies, send

    with ServerClient(base_url) as client:
        config = TrafficConfig(
            model=model or client.models()[0],
            requests=requests,
            concurrency=concurrency,
            off_share=off_share,
            max_tokens=max_tokens,
            seed=seed,
        )
        result = send(client, demo_bodies(config), config.concurrency)
    typer.echo(f"{result.answered} answered, {result.refused} refused, {result.steered} with breakers acting")

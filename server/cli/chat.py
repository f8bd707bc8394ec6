"""`scalpel chat`: talk to a running server and switch breakers between turns."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

DEFAULT_URL = "http://127.0.0.1:8000"


def chat(
    base_url: Annotated[str, typer.Option(help="Where the server is.")] = DEFAULT_URL,
    model: Annotated[str | None, typer.Option(help="Model name; the first one served if left out.")] = None,
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    max_tokens: Annotated[int | None, typer.Option(help="Longest reply, in tokens.")] = None,
) -> None:
    """Chat in the terminal; /help lists what can be switched."""
    from server.cli.client import ServerClient
    from server.cli.terminal import Terminal

    with ServerClient(base_url) as client:
        terminal = Terminal(
            client,
            model=model or client.models()[0],
            system=system,
            temperature=temperature,
            max_tokens=max_tokens,
            out=sys.stdout,
            problems=sys.stderr,
        )
        terminal.run(sys.stdin)

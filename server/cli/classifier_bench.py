"""`scalpel classifier bench`: how long a call of 1, 8 and 32 prompts takes on one core."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

BATCHES = (1, 8, 32)


def bench(
    path: Annotated[
        Path | None, typer.Argument(help="Directory of a fitted classifier; all general ones that ship if left out.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="JSON Lines with `text`: the prompts; our own hard requests if left out.")
    ] = None,
    calls: Annotated[int, typer.Option(min=10, help="Calls of each size.")] = 200,
) -> None:
    """Print milliseconds of a call at the 50th and 99th percentile, as JSON."""
    import torch

    from classifiers.assessment.latency import latency
    from classifiers.base import Conversation
    from classifiers.requests.own import own_rows
    from server.cli.classifier_requests import loaded, shipped, shown_progress

    torch.set_num_threads(1)
    if file is None:
        prompts: list[Conversation] = [row.conversation for row in own_rows()]
    else:
        from server.cli.classifier import _conversations, _lines

        prompts = list(_conversations(_lines(str(file)), str(file)))
    figures: dict[str, dict[str, float]] = {}
    with shown_progress() as tell:
        for classifier in [loaded(path)] if path is not None else shipped():
            figures[classifier.name] = {}
            for done, batch in enumerate(BATCHES, 1):
                found = latency(classifier, prompts, batch=batch, calls=calls)
                figures[classifier.name] |= {f"{batch}.p50": found.p50, f"{batch}.p99": found.p99}
                tell(classifier.name, done, len(BATCHES))
    typer.echo(json.dumps(figures, indent=2))

"""`scalpel classifier`: harm potential of texts, outside the server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.cli import classifier_bench, classifier_card, classifier_fit, scorer_fit
from server.cli.failures import CommandError

if TYPE_CHECKING:
    from classifiers.base import Conversation, HarmClassifier

BATCH = 64


def build() -> typer.Typer:
    """The command group."""
    group = typer.Typer(
        help="Harm potential: what a text would draw from the unmodified model.", no_args_is_help=True
    )
    group.command("score")(score)
    group.command("observe")(classifier_fit.observe)
    group.command("fit")(classifier_fit.fit)
    group.command("fit-judge")(classifier_fit.fit_judge)
    group.command("fit-scorer")(scorer_fit.fit_scorer)
    group.command("eval")(classifier_fit.evaluate)
    group.command("card")(classifier_card.card)
    group.command("bench")(classifier_bench.bench)
    return group


def score(
    file: Annotated[str, typer.Argument(help="JSON Lines with `text` or `messages`; - for standard input.")],
    member: Annotated[
        str | None, typer.Option(help="Which classifier; the best general one that ships and loads if left out.")
    ] = None,
    path: Annotated[Path | None, typer.Option(help="Directory of a fitted classifier.")] = None,
) -> None:
    """Write one JSON object a line: `harm_potential` (the highest) and `categories`."""
    from classifiers import best_classifier, build_classifier

    lines = _lines(file)
    if member is None and path is not None:
        raise CommandError(f"{path}: name the member that is in it too, with --member")
    classifier = best_classifier() if member is None else build_classifier(member, path=path)
    for conversations in _batches(_conversations(lines, file)):
        for scored in score_lines(classifier, conversations):
            typer.echo(json.dumps(scored))


def score_lines(classifier: HarmClassifier, conversations: list[Conversation]) -> Iterator[dict[str, Any]]:
    """What `score` writes, for each conversation."""
    for categories in classifier.score(conversations):
        yield {"harm_potential": max(categories.values(), default=0.0), "categories": categories}


def _lines(file: str) -> Iterable[str]:
    if file == "-":
        return sys.stdin
    try:
        return Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: cannot be read: {error}") from error


def _conversations(lines: Iterable[str], file: str) -> Iterator[Conversation]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _conversation(line, f"{file}, line {number}")


def _conversation(line: str, where: str) -> Conversation:
    try:
        item = json.loads(line)
    except ValueError as error:
        raise CommandError(f"{where}: is not JSON: {error}") from error
    if isinstance(item, dict) and isinstance(item.get("text"), str):
        return [{"role": "user", "content": item["text"]}]
    turns = item.get("messages") if isinstance(item, dict) else None
    if isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
        return turns
    raise CommandError(f"{where}: has neither `text` (a string) nor `messages` (a list of turns)")


def _batches(conversations: Iterable[Conversation]) -> Iterator[list[Conversation]]:
    batch: list[Conversation] = []
    for conversation in conversations:
        batch.append(conversation)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch

"""`scalpel pairs`: harmful and neutral completions of the same prompts, what circuits and breakers are made from."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from breakers.pairs.sources import HubReference
    from breakers.pairs.sources.sampled import SamplingTally
    from server.cli.pairs_build import PairsBuildSummary

INTERRUPTED = 130
"""Exit status of a command that was stopped by Ctrl-C, as shells have it."""


def build() -> typer.Typer:
    """The command group."""
    group = typer.Typer(help="Pairs: a harmful and a neutral completion of the same prompt.", no_args_is_help=True)
    group.command("build")(build_file)
    group.command("stats")(stats)
    group.command("validate")(validate)
    return group


def build_file(
    source: Annotated[
        str,
        typer.Option(
            help="demo, toxigen, bold, winobias, crows-pairs, truthfulqa, hh-rlhf, real-toxicity-prompts, "
            "advbench, jailbreakbench or jbb-artifacts."
        ),
    ],
    behaviour: Annotated[str, typer.Option(help="What the harmful completions show.")],
    out: Annotated[Path, typer.Option(help="Where the pairs go, as JSON Lines; a report goes beside them.")],
    path: Annotated[Path | None, typer.Option(help="The published file, or a folder that holds it.")] = None,
    hub: Annotated[
        str | None, typer.Option(help="Data set on the Hub instead: owner/name or owner/name@revision.")
    ] = None,
    hub_config: Annotated[str | None, typer.Option(help="Its config; what the reader expects if left out.")] = None,
    hub_split: Annotated[str | None, typer.Option(help="Its split; what the reader expects if left out.")] = None,
    sample: Annotated[
        bool | None,
        typer.Option(
            help="Let the model reply, or take the source's own completions; by default these if it has both."
        ),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Model directory; the demo model if left out.")] = None,
    device: Annotated[str, typer.Option(help="Where the model runs.")] = "auto",
    dtype: Annotated[str, typer.Option(help="What it is loaded as.")] = "float32",
    scorer: Annotated[
        str | None,
        typer.Option(help="What judges replies: demo for the model's own; others are judged if it is named."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Pairs to build.")] = 1000,
    samples: Annotated[int, typer.Option(min=2, help="Most replies to a prompt.")] = 16,
    least_samples: Annotated[
        int,
        typer.Option(
            min=2,
            help="Replies to a prompt even if both kinds came; more give closer pairs.",
        ),
    ] = 2,
    temperature: Annotated[float, typer.Option(help="Of the sampling.")] = 1.0,
    min_p: Annotated[
        float,
        typer.Option(min=0, max=1, help="Tokens of less than this share of the likeliest one are not drawn."),
    ] = 0.02,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of a reply.")] = 64,
    longest_prompt: Annotated[int, typer.Option(min=1, help="Prompts of more tokens are left out.")] = 256,
    batch_rows: Annotated[int, typer.Option(min=4, help="Replies written at once.")] = 512,
    keep_unfinished: Annotated[bool, typer.Option(help="Keep replies cut at their most tokens.")] = False,
    instruction: Annotated[
        str | None, typer.Option(help="Put before each prompt, for beginnings of sentences.")
    ] = None,
    validation_share: Annotated[float, typer.Option(min=0, max=1, help="Of the prompts.")] = 0.1,
    test_share: Annotated[float, typer.Option(min=0, max=1, help="Of the prompts; the demo corpus has none.")] = 0.1,
    work: Annotated[
        Path | None, typer.Option(help="Where sampling keeps what it has; beside --out if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of prompts and replies.")] = 0,
) -> None:
    """Build a file of pairs. Stopped by Ctrl-C, the same command goes on where sampling was."""
    kept = work or out.with_name(f".{out.name}.work")
    with _stoppable(
        lambda: f"; what was sampled is kept in {kept}: the same command goes on" if kept.exists() else ""
    ):
        from breakers.pairs.sources.sampled import SamplingConfig
        from breakers.pairs.splitting import SplitShares
        from server.base_model import BaseOptions
        from server.cli.pairs_build import PairsBuildConfig
        from server.cli.pairs_build import build as build_pairs_file

        config = PairsBuildConfig(
            source=source,
            behaviour=behaviour,
            out=out,
            path=path,
            hub=None if hub is None else _hub_reference(hub, hub_config, hub_split),
            sample=sample,
            model=model,
            base=BaseOptions(device=device, dtype=dtype),
            scorer=scorer,
            sampling=SamplingConfig(
                behaviour=behaviour,
                count=count,
                samples=samples,
                least_samples=least_samples,
                temperature=temperature,
                min_p=min_p,
                max_new_tokens=max_new_tokens,
                longest_prompt=longest_prompt,
                batch_rows=batch_rows,
                keep_unfinished=keep_unfinished,
                seed=seed,
            ),
            instruction=instruction,
            shares=SplitShares(validation=validation_share, test=test_share),
            work=kept,
            command=shlex.join(["scalpel", *sys.argv[1:]]),
        )
        with _progress(count) as show:
            summary = build_pairs_file(config, show)
        _say(out, summary, scorer)


def stats(
    file: Annotated[Path, typer.Argument(help="A file of pairs.")],
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Count pairs by behaviour, split, source and licence."""
    from breakers.pairs.files import read_pairs
    from breakers.pairs.stats import pair_stats

    with _stoppable():
        counted = asdict(pair_stats(read_pairs(file)))
    if as_json:
        typer.echo(json.dumps(counted))
        return
    for name, value in counted.items():
        shown = ", ".join(f"{key} {number}" for key, number in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{name.replace('_', ' ')}: {shown}")


def validate(
    files: Annotated[list[Path], typer.Argument(help="Files of pairs.")],
    model: Annotated[
        Path | None, typer.Option(help="Model directory: also make token ids of all pairs with its tokenizer.")
    ] = None,
    problems: Annotated[int, typer.Option(min=1, help="Most problems to list of a file.")] = 20,
) -> None:
    """Check every line, and that no pair comes twice and no prompt is in two splits; exit 2 if one is."""
    from server.cli.pairs_check import check_file

    sound = True
    with _stoppable():
        for file in files:
            found = check_file(file, model, problems)
            sound = sound and not found.problems
            for problem in found.problems:
                sys.stderr.write(f"{problem}\n")
            for note in found.notes:
                typer.echo(f"{file}: {note}")
    if not sound:
        raise typer.Exit(2)


def _hub_reference(text: str, config: str | None, split: str | None) -> HubReference:
    from breakers.pairs.sources import HubReference

    name, _, revision = text.partition("@")
    return HubReference(name=name, config=config, split=split, revision=revision or None)


def _say(out: Path, summary: PairsBuildSummary, scorer: str | None) -> None:
    counted = summary.stats
    splits = ", ".join(f"{number} {name}" for name, number in counted.splits.items())
    typer.echo(f"{out}: {counted.pairs} pairs ({splits}), {counted.with_contrast} with a contrast prompt")
    typer.echo(f"{counted.sha256}; licences: {', '.join(counted.licences)}; report: {summary.report}")
    tally = summary.tally
    if tally is not None:
        one_kind = f"{tally.harmful_only} gave harmful replies alone, {tally.neutral_only} neutral ones alone"
        rest = f"{tally.no_reply} none that ended, {tally.too_long} were too long"
        typer.echo(f"{tally.prompts} prompts answered: {tally.pairs} gave both kinds, {one_kind}, {rest}")
    for reason, number in summary.dropped.items():
        typer.echo(f"dropped: {number} {reason}")
    if scorer == "judge":
        sys.stderr.write("note: `judge` chose these pairs, so it cannot judge what is made from them\n")


@contextmanager
def _progress(count: int) -> Iterator[Callable[[SamplingTally], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    # Elsewhere than in a terminal it would only leave an empty line.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("pairs", total=count, visible=False)

        def show(tally: SamplingTally) -> None:
            description = f"pairs, of {tally.prompts} prompts"
            progress.update(task, completed=min(tally.pairs, count), description=description, visible=True)

        yield show


@contextmanager
def _stoppable(kept: Callable[[], str] = str) -> Iterator[None]:
    """Ctrl-C is one sentence, and not a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"\nscalpel: stopped{kept()}\n")
        raise typer.Exit(INTERRUPTED) from None

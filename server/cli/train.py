"""`scalpel train`: from a refined circuit and its pairs to a trained, calibrated and selected intervention."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.cli.train_stage import TrainOutcome


def train(
    circuit: Annotated[Path, typer.Argument(help="refined.json that `scalpel refine` wrote, or its directory.")],
    pairs: Annotated[Path, typer.Option(help="The file of pairs that was traced.")],
    out: Annotated[Path, typer.Option(help="Directory for training.json and weights; the same one resumes.")],
    model: Annotated[Path | None, typer.Option(help="Model directory; the demo model if left out.")] = None,
    benign: Annotated[
        Path | None, typer.Option(help="Benign samples as JSON Lines; the demo corpus' for the demo model.")
    ] = None,
    benign_limit: Annotated[int, typer.Option(min=4, help="Most benign samples.")] = 1200,
    own_replies: Annotated[
        bool, typer.Option("--own-replies", help="Let the unmodified model reply to the prompts of --benign.")
    ] = False,
    scorer: Annotated[str, typer.Option(help="What judges generated replies.")] = "demo",
    kinds: Annotated[
        str, typer.Option(help="What to train: both (the better is kept), breaker or steering.")
    ] = "both",
    rank: Annotated[int, typer.Option(min=1, help="Of a breaker's parts.")] = 4,
    steps: Annotated[int, typer.Option(min=1, help="Of the breaker's training.")] = 400,
    steering_steps: Annotated[int, typer.Option(min=1, help="Of the steering vectors' training.")] = 200,
    norm_limit: Annotated[
        float, typer.Option(help="Longest steering vector, in mean activation norms of its site.")
    ] = 2.0,
    batch: Annotated[int, typer.Option(min=1, help="Pairs, and benign samples, in a step.")] = 24,
    learning_rate: Annotated[float, typer.Option(help="Of the breaker.")] = 1e-2,
    steering_learning_rate: Annotated[float, typer.Option(help="Of the steering vectors.")] = 0.1,
    preserve_coef: Annotated[float, typer.Option(min=0, help="lambda_2, against lambda_1 = 1.")] = 20.0,
    neutral_coef: Annotated[float, typer.Option(min=0, help="KL on neutral replies, within lambda_2.")] = 1.0,
    margin: Annotated[
        float, typer.Option(min=0, help="Nats by which neutral replies should lead harmful ones where they part.")
    ] = 2.0,
    harm_reduction: Annotated[float, typer.Option(help="Share of the harm that must go.")] = 0.95,
    preserve_bound: Annotated[float, typer.Option(help="Most change of benign samples, nats a token.")] = 0.1,
    train_pairs: Annotated[int, typer.Option(min=1, help="Most pairs to train on.")] = 2000,
    validation_pairs: Annotated[int, typer.Option(min=1, help="Most pairs to validate on.")] = 256,
    prompts: Annotated[int, typer.Option(min=1, help="Most validation prompts to generate replies to.")] = 64,
    sampled_replies: Annotated[
        int, typer.Option(min=0, help="Replies to each of them sampled at temperature 1, beside the greedy one.")
    ] = 1,
    longest: Annotated[
        int | None, typer.Option(min=2, help="Most tokens of a pair; longer ones are left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    bundle: Annotated[
        Path | None, typer.Option(help="Make a bundle of it in this directory; it has no gate.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the bundle; its directory's name if left out.")] = None,
    licence: Annotated[str, typer.Option(help="Of the bundle.")] = "Apache-2.0",
) -> None:
    """Train breakers and steering vectors at a circuit's sites, calibrate both, and keep the better one."""
    from breakers.training.calibration import CalibrationConfig
    from breakers.training.inputs import InputsConfig
    from server.cli.train_stage import BundleTarget, TrainCommand, run_training

    target = None if bundle is None else BundleTarget(path=bundle, name=name or bundle.name, licence=licence)
    command = TrainCommand(
        inputs=InputsConfig(
            circuit=circuit,
            pairs=pairs,
            train_pairs=train_pairs,
            validation_pairs=validation_pairs,
            prompts=prompts,
            longest=longest,
            seed=seed,
        ),
        out=out,
        model=model,
        benign=benign,
        benign_limit=benign_limit,
        own_replies=own_replies,
        scorer=scorer,
        kinds=kinds,
        rank=rank,
        steps=steps,
        steering_steps=steering_steps,
        norm_limit=norm_limit,
        batch=batch,
        learning_rate=learning_rate,
        steering_learning_rate=steering_learning_rate,
        preserve_coef=preserve_coef,
        neutral_coef=neutral_coef,
        margin=margin,
        calibration=CalibrationConfig(harm_reduction=harm_reduction, preserve_bound=preserve_bound),
        sampled_replies=sampled_replies,
        bundle=target,
        command=shlex.join(["scalpel", *sys.argv[1:]]),
    )
    outcome = run_training(command, _show_progress)
    sys.stderr.write("\n")
    _say(outcome)


def _show_progress(what: str, done: int, steps: int) -> None:
    sys.stderr.write(f"\r{what}: {done}/{steps}".ljust(60))
    sys.stderr.flush()


def _say(outcome: TrainOutcome) -> None:
    manifest = outcome.artifact.manifest
    typer.echo(f"{outcome.artifact.path}: {manifest.kind.value}, {len(outcome.artifact.interventions)} sites")
    for candidate in manifest.candidates:
        typer.echo(f"{candidate.kind.value}: {candidate.calibration.reason}")
    typer.echo(manifest.selection)
    if outcome.bundle is not None:
        typer.echo(f"{outcome.bundle.source}: dose {outcome.bundle.manifest.dose_p95:.3f}")

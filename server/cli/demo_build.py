"""`scalpel demo build|bundles`: the demo model from scratch, and the bundles that ship with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from breakers.demo.training import Progress
    from breakers.training.breaker import Evaluation

Seed = Annotated[int, typer.Option(help="Of everything random.")]


def build_model(
    out: Annotated[Path, typer.Option(help="Folder that gets model/ and figures.json.")],
    work: Annotated[Path, typer.Option(help="Folder of the checkpoint; the same one resumes.")],
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps.")] = None,
    seed: Seed = 0,
    evaluate: Annotated[bool, typer.Option(help="Measure the held-out figures afterwards.")] = True,
) -> None:
    """Generate the corpus, train tokenizer and model, measure, and write everything."""
    from breakers.demo.build import DemoBuildConfig, build
    from breakers.demo.evaluate import EvaluationConfig
    from breakers.demo.training import TrainingConfig

    training = TrainingConfig(seed=seed) if steps is None else TrainingConfig(seed=seed, steps=steps)
    config = DemoBuildConfig(
        out=out, work=work, training=training, evaluation=EvaluationConfig() if evaluate else None
    )
    result = build(config, report=typer.echo, progress=_show_step)
    typer.echo(f"{result.parameters} parameters, {result.megabytes:.1f} MB, trained for {result.seconds:.0f} s")
    for name, share in result.figures.items():
        typer.echo(f"{name}: {share.share:.3f} [{share.low:.3f}, {share.high:.3f}], n = {share.n}")


def build_bundles(
    out: Annotated[Path, typer.Option(help="Folder of bundle directories.")],
    model: Annotated[Path | None, typer.Option(help="Model directory; the packaged one if left out.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Make this bundle alone; may be repeated.")] = None,
    seed: Seed = 0,
) -> None:
    """Train the demo's bundles; `scalpel gate tabulate` and `gate fit` give them their gates."""
    from breakers.demo import model_path
    from breakers.demo.make_bundles import DemoBundlesConfig, make_demo_bundles

    config = DemoBundlesConfig(out=out, model=model or model_path(), only=tuple(only or ()), seed=seed)
    for bundle in make_demo_bundles(config, _show_bundle):
        typer.echo(f"{bundle.source}: {bundle.kind}, dose {bundle.manifest.dose_p95:.3f}")


def _show_step(progress: Progress) -> None:
    speed = f"{progress.tokens_per_second:.0f} tokens/s"
    line = f"step {progress.step}/{progress.steps}, loss {progress.loss:.3f}, {speed}"
    sys.stderr.write(f"\r{line}" + ("\n" if progress.step == progress.steps else ""))
    sys.stderr.flush()


def _show_bundle(name: str, evaluation: Evaluation | None) -> None:
    sys.stderr.write(f"{name}\n" if evaluation is None else f"  {evaluation}\n")

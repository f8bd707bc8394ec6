"""`scalpel refine`: from a trace to the smallest set of components that the behaviour needs, and its evidence."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.trace import INTERRUPTED

if TYPE_CHECKING:
    from breakers.refinement.artifact import Refinement
    from breakers.refinement.manifest import Estimate
    from breakers.refinement.measured import SearchStep


def refine(
    trace: Annotated[Path, typer.Argument(help="Directory that `scalpel trace` wrote.")],
    pairs: Annotated[Path, typer.Option(help="The file of pairs that was traced.")],
    out: Annotated[Path, typer.Option(help="Directory for refined.json and the search's log.")],
    model: Annotated[Path | None, typer.Option(help="Model directory; the demo model if left out.")] = None,
    tau: Annotated[float, typer.Option(help="What the measure is to be brought below; see --tau-kind.")] = 0.9,
    tau_kind: Annotated[
        str, typer.Option(help="What tau is: share_of_effect, share_of_clean or absolute.")
    ] = "share_of_effect",
    tolerance: Annotated[
        float, typer.Option(min=0, help="How far below tau a set must be, in units of the measure.")
    ] = 0.0,
    candidates: Annotated[str, typer.Option(help="What may be a member: both, heads or neurons.")] = "both",
    strongest: Annotated[
        int | None, typer.Option(min=1, help="Only the candidates with the strongest effects; all if left out.")
    ] = None,
    most_heads: Annotated[
        int | None, typer.Option(min=0, help="Heads that may be members, the strongest; all if left out.")
    ] = None,
    most_neurons: Annotated[
        int | None, typer.Option(min=0, help="Neurons that may be members, the strongest; all if left out.")
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="Most pairs that the search measures on.")] = 64,
    held_out: Annotated[int, typer.Option(min=0, help="Most validation pairs for the evidence.")] = 64,
    max_sets: Annotated[
        int | None, typer.Option(min=128, help="Most sets that the search measures; as many as needed if left out.")
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Random sets of each control.")] = 20,
    subsets: Annotated[int, typer.Option(min=1, help="Random subsets for completeness.")] = 10,
    benign: Annotated[
        Path | None, typer.Option(help="Unrelated skills as JSON Lines; the demo corpus' for the demo model.")
    ] = None,
    benign_limit: Annotated[int, typer.Option(min=2, help="Most benign samples.")] = 256,
    scorer: Annotated[
        str | None, typer.Option(help="What judges generated replies; the trace's own scorer, or none, if left out.")
    ] = None,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Most tokens in a forward pass.")] = 4096,
    seed: Annotated[int, typer.Option(help="Of controls, subsets, partners and resamples.")] = 0,
) -> None:
    """Find the smallest set whose patching brings the measure below tau, and report what speaks for it."""
    from breakers.refinement.evidence import EvidenceConfig
    from breakers.refinement.refine import RefineSettings
    from breakers.refinement.stage import RefineConfig, chosen_candidates
    from breakers.refinement.threshold import chosen_threshold
    from server.cli.refine_stage import BenignConfig, run_refinement

    settings = RefineSettings(
        threshold=chosen_threshold(tau_kind, tau),
        tolerance=tolerance,
        max_sets=max_sets,
        evidence=EvidenceConfig(draws=draws, subsets=subsets, seed=seed),
    )
    config = RefineConfig(
        trace=trace,
        pairs=pairs,
        out=out,
        settings=settings,
        candidates=chosen_candidates(candidates),
        strongest=strongest,
        most_heads=most_heads,
        most_neurons=most_neurons,
        cases=cases,
        held_out=held_out,
        batch_tokens=batch_tokens,
        command=shlex.join(["scalpel", *sys.argv[1:]]),
    )
    skills = BenignConfig(path=benign, limit=benign_limit, seed=seed)
    try:
        found = run_refinement(config, model, skills, scorer, _show_step)
    except KeyboardInterrupt:
        sys.stderr.write(f"\nscalpel: stopped; {out} has no new result\n")
        raise typer.Exit(INTERRUPTED) from None
    sys.stderr.write("\n")
    _say(found, out)


def _show_step(step: SearchStep) -> None:
    line = f"{step.step + 1} sets, {step.phase}: {step.heads} heads and {step.neurons} neurons, {step.value:.4f}"
    sys.stderr.write(f"\r{line:<78}")
    sys.stderr.flush()


def _say(found: Refinement, out: Path) -> None:
    search, size, evidence = found.manifest.search, found.manifest.size, found.manifest.evidence
    typer.echo(f"{out}: {search.outcome}, {search.sets} sets measured")
    typer.echo(f"{size.heads} heads ({size.head_share:.1%} of all), {size.neurons} neurons ({size.neuron_share:.2%})")
    typer.echo(f"measure {search.clean:.4f}, patched {search.value:.4f}, tau {search.tau:.4f}")
    if evidence is None:
        return
    typer.echo(f"faithfulness {_shown(evidence.faithfulness)}, alone {_shown(evidence.alone)}")
    for control in evidence.controls:
        typer.echo(
            f"control {control.name}: faithfulness {_shown(control.faithfulness)}, {control.reaching} below tau"
        )


def _shown(figure: Estimate | None) -> str:
    if figure is None:
        return "none"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"

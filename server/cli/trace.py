"""`scalpel trace`: from pairs to the components that cause a behaviour."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from breakers.tracing.artifact import TraceArtifact

INTERRUPTED = 130
"""Exit status of a command that was stopped by Ctrl-C, as shells have it."""
_SHOWN = 5
"""Components that are printed at the end; the page has all that were asked for."""


def trace(
    pairs: Annotated[Path, typer.Option(help="Pairs as JSON Lines, from `scalpel pairs build`.")],
    out: Annotated[Path, typer.Option(help="Directory of the trace: circuit.json, effects and figures.")],
    model: Annotated[Path | None, typer.Option(help="Model directory; the demo model if left out.")] = None,
    device: Annotated[str, typer.Option(help="Where the model runs: cpu, cuda or auto.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="What it is loaded as.")] = "float32",
    behaviour: Annotated[str | None, typer.Option(help="Of the pairs; needed if the file has several.")] = None,
    split: Annotated[str, typer.Option(help="Of the pairs: train, validation, test or all.")] = "train",
    limit: Annotated[int, typer.Option(min=1, help="Most pairs, drawn by seed.")] = 64,
    longest: Annotated[
        int | None, typer.Option(min=2, help="Pairs of more tokens are left out; the model's positions by default.")
    ] = None,
    source: Annotated[str, typer.Option(help="What is patched in: contrast, completion or mean.")] = "contrast",
    positions: Annotated[str, typer.Option(help="Which tokens are patched: generation or all.")] = "generation",
    measure: Annotated[str, typer.Option(help="lead (teacher-forced) or harm (H of generated text).")] = "lead",
    scorer: Annotated[str, typer.Option(help="What judges generated text.")] = "demo",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of a generated reply.")] = 32,
    method: Annotated[
        str, typer.Option(help="exact, attribution, or screen: estimate all, verify the best.")
    ] = "screen",
    components: Annotated[str, typer.Option(help="What is traced: head, neuron or both.")] = "both",
    top: Annotated[int, typer.Option(min=1, help="Best heads to find.")] = 10,
    top_neurons: Annotated[int, typer.Option(min=1, help="Best neurons to find.")] = 20,
    head_path: Annotated[
        str, typer.Option(help="Where gradients for heads are taken: start, together or point (docs/tracing.md).")
    ] = "point",
    neuron_path: Annotated[str, typer.Option(help="The same for neurons.")] = "start",
    steps: Annotated[int, typer.Option(min=1, help="Points of the paths that move.")] = 1,
    settle: Annotated[
        bool, typer.Option(help="Stop exact patching once the best heads and neurons are settled.")
    ] = False,
    noise_components: Annotated[
        int, typer.Option(min=0, help="Components of each kind drawn for the noise floor; 0 for none.")
    ] = 16,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Most tokens in a forward pass.")] = 4096,
    images: Annotated[bool, typer.Option(help="Draw PNGs beside the page; needs matplotlib.")] = True,
    seed: Annotated[int, typer.Option(help="Of the pairs' draw and order, and of the noise floor.")] = 0,
) -> None:
    """Find the heads and neurons whose activations cause a behaviour."""
    try:
        from server.base_model import BaseOptions
        from server.cli.trace_stage import TraceRequest, trace_files

        request = TraceRequest(
            pairs=pairs,
            out=out,
            model=model,
            base=BaseOptions(device=device, dtype=dtype),
            behaviour=behaviour,
            split=split,
            limit=limit,
            longest=longest,
            source=source,
            positions=positions,
            measure=measure,
            scorer=scorer,
            max_new_tokens=max_new_tokens,
            method=method,
            components=components,
            top_heads=top,
            top_neurons=top_neurons,
            head_path=head_path,
            neuron_path=neuron_path,
            steps=steps,
            settle=settle,
            noise_components=noise_components,
            batch_tokens=batch_tokens,
            images=images,
            seed=seed,
            command=shlex.join(["scalpel", *sys.argv[1:]]),
        )
        artifact = trace_files(request, _show_progress, _show_note)
    except KeyboardInterrupt:
        sys.stderr.write(f"\nscalpel: stopped; {out} is as it was\n")
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(summary(artifact, out))


def summary(artifact: TraceArtifact, out: Path) -> str:
    """What was found, in a few lines."""
    from breakers.tracing.effects_file import index_of

    circuit = artifact.circuit
    lines = [f"{out}: {circuit.behaviour}, {circuit.pairs.cases} pairs, {circuit.cost.forward_passes:.0f} passes"]
    for component in circuit.components[:_SHOWN]:
        layer, index = index_of(component.site.site())
        name = f"layer {layer} {component.site.component} {index}"
        how = "" if component.exact else ", estimated"
        lines.append(f"  {name}: {component.effect:+.4f} ± {component.standard_error:.4f}{how}")
    return "\n".join(lines)


def _show_progress(what: str, done: int, of: int) -> None:
    # The line before may be longer; without a terminal each is a line of its own.
    begin, end = ("\r\x1b[K", "\n" if done == of else "") if sys.stderr.isatty() else ("", "\n")
    sys.stderr.write(f"{begin}{what}: {done}/{of}{end}")
    sys.stderr.flush()


def _show_note(note: str) -> None:
    sys.stderr.write(f"note: {note}\n")

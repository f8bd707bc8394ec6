"""`scalpel bundle`: look at a bundle, verify everything that can be verified, export it, put it on the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.cli import bundle_export, bundle_push

if TYPE_CHECKING:
    from breakers.bundles import Bundle, GateManifest

BundleReference = Annotated[str, typer.Argument(help="Bundle directory, or hf://owner/name[@revision].")]


def build() -> typer.Typer:
    """The command group."""
    group = typer.Typer(help="Bundles: interventions with everything needed to trust them.", no_args_is_help=True)
    group.command("inspect")(inspect)
    group.command("verify")(verify)
    group.command("export")(bundle_export.export)
    group.command("push")(bundle_push.push)
    return group


def inspect(
    reference: BundleReference,
    as_json: Annotated[bool, typer.Option("--json", help="The manifest as JSON.")] = False,
) -> None:
    """Show what a bundle declares; it is verified first."""
    from breakers.bundles import open_bundle

    bundle = open_bundle(reference, accept_rehearsal=True)
    typer.echo(bundle.manifest.model_dump_json(indent=2) if as_json else describe(bundle))


def verify(
    reference: BundleReference,
    model: Annotated[
        str | None, typer.Option(help="Base model directory: also verify the fingerprint and the canary.")
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="What --model is loaded as: of a bundle that was made in a shorter type, that type.")
    ] = "float32",
    chain: Annotated[
        Path | None, typer.Option(help="Folder of a recipe's stages: also recompute the hashes from pairs to bundle.")
    ] = None,
) -> None:
    """Verify hashes, shapes and values; with --model also that it fits that model and acts as declared."""
    from breakers.bundles import open_bundle

    bundle = open_bundle(reference, accept_rehearsal=True)
    typer.echo(f"{bundle.name}: format, weights hash, shapes and values verify ({bundle.source})")
    if bundle.manifest.rehearsal:
        typer.echo(f"{bundle.name}: made by a rehearsal, not fit to serve")
    if model is not None:
        from server.cli.bundle_base import verify_on_model

        cosine = verify_on_model(bundle, model, dtype)
        typer.echo(f"{bundle.name}: fits {model}; canary cosine {cosine:.4f}")
    if chain is not None:
        from breakers.errors import StageError
        from breakers.pipeline.chain import verify_chain

        if not Path(reference).is_dir():
            raise StageError(f"{reference} is no directory; wanted one, to compare its files with those of {chain}")
        for link in verify_chain(bundle, Path(reference), chain):
            typer.echo(f"{link.made} <- {link.source} {link.sha256}")
        typer.echo(f"{bundle.name}: the chain in {chain} holds")


def describe(bundle: Bundle) -> str:
    """A bundle in lines."""
    manifest = bundle.manifest
    lines = {
        "name": bundle.name,
        "source": bundle.source,
        "kind": bundle.kind,
        "behaviour": manifest.behaviour,
        "category": manifest.category,
        "description": manifest.description,
        "scope": manifest.scope.value,
        "sites": "; ".join(str(intervention.site) for intervention in bundle.interventions),
        "gate": _gate_line(manifest.gate),
        "strength_max": f"{manifest.strength_max:g}",
        "dose_p95": f"{manifest.dose_p95:.3f}",
        "base": f"{manifest.base.id} {manifest.base.fingerprint}",
        "weights": manifest.weights_sha256,
        "made from": "; ".join(f"{name} {digest}" for name, digest in manifest.made_from.items()),
        "licence": manifest.licence,
        "command": manifest.command,
        "rehearsal": "yes: not fit to serve" if manifest.rehearsal else "no",
    }
    metrics = [f"{m.name}: {m.value:.3f} [{m.low:.3f}, {m.high:.3f}], n = {m.n}" for m in manifest.metrics]
    return "\n".join(f"{name + ':':14}{value}" for name, value in [*lines.items(), *(("metric", m) for m in metrics)])


def _gate_line(gate: GateManifest | None) -> str:
    if gate is None:
        return "none: only on when asked"
    curve = f"{gate.alpha_base:g} * sigmoid({gate.w:g} P + {gate.b:g})"
    return f"{curve}, 0 below P = {gate.p_off:g}; P by {gate.classifier}"

"""The chain behind a shipped bundle, kept beside the case studies: every file of its recipe's stages.

Each is the one that the next in the chain names by its hash, up to the bundle; what does not fit is refused.
`scalpel bundle verify BUNDLE --chain FOLDER` recomputes the whole chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.circuits.options import CHAINS
from benchmarks.errors import CircuitsError
from benchmarks.history import root
from breakers.bundles import load_bundle
from breakers.bundles.store import write_atomically
from breakers.bundles.verify import sha256
from breakers.demo import bundles_path
from breakers.refinement.artifact import REFINED_NAME, read_refined
from breakers.refinement.manifest import RefinedManifest
from breakers.tracing.circuit_file import CIRCUIT_NAME, CircuitFile, read_circuit
from breakers.tracing.effects_file import EFFECTS_NAME, EffectsTable, read_effects


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What is kept of one behaviour."""

    traced: CircuitFile
    effects: EffectsTable
    refined: RefinedManifest


def chain_folder(behaviour: str) -> Path:
    """Where it is kept."""
    return root() / CHAINS / behaviour


def keep_chain(run: Path) -> Path:
    """Copy a recipe's work folder; the shipped bundle has to come from it.

    Raises:
        CircuitsError: it does not.
        BreakersError: a file cannot be read.
    """
    behaviour = read_refined(run / "refine" / REFINED_NAME).behaviour
    read_chain(run, behaviour)
    folder = chain_folder(behaviour)
    for name in stage_files(run):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, (run / name).read_bytes())
    return folder


def stage_files(run: Path) -> list[Path]:
    """What the finished stages hold, relative; locks and unfinished stages begin with a dot."""
    found = [path.relative_to(run) for path in run.rglob("*") if path.is_file()]
    return sorted(name for name in found if not name.parts[0].startswith("."))


def read_chain(folder: Path, behaviour: str) -> Chain:
    """Read and verify.

    Raises:
        CircuitsError: a file is not the one that the next in the chain names.
        BreakersError: a file cannot be read.
    """
    refined = read_refined(folder / "refine" / REFINED_NAME)
    traced = read_circuit(folder / "trace" / CIRCUIT_NAME)
    named = {
        "trace/" + EFFECTS_NAME: traced.effects_sha256,
        "trace/" + CIRCUIT_NAME: refined.made_from.get("circuit"),
        "refine/" + REFINED_NAME: load_bundle(bundles_path() / behaviour).manifest.made_from.get("circuit"),
    }
    for name, wanted in named.items():
        found = sha256((folder / name).read_bytes())
        if found != wanted:
            raise CircuitsError(
                f"{folder / name} is {found[:19]}...; what was made from it names {str(wanted)[:19]}..."
            )
    return Chain(traced=traced, effects=read_effects(folder / "trace" / EFFECTS_NAME)[0], refined=refined)

"""`python -m benchmarks.recipes`: the demo's recipes from nothing, one after the other, each in a process of its own.

Each run begins in an empty folder and ends with a bundle that `scalpel bundle verify --chain` accepts. Beside the
time it takes, a run says whether it made the shipped bundle's weights again, bit for bit, and how large the circuit
is. With `--keep` the folders stay, to be committed as the chain behind the bundles.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import run

from benchmarks.errors import BenchmarkError, RecipeFailedError
from benchmarks.history import root
from benchmarks.results import write_result
from breakers.bundles import BundleManifest, load_bundle
from breakers.demo import bundles_path
from breakers.sites import Component

NAME = "recipes"
COMMAND = "python -m benchmarks.recipes"
RECIPES = {"toxicity": "demo-toxicity", "gender_bias": "demo-gender-bias", "misinformation": "demo-misinformation"}
"""Bundle -> recipe."""
_SCALPEL = "from server.cli import main; main()"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--keep", type=Path, default=None, help="folder for the stages' artifacts; must not exist")
    keep: Path | None = parser.parse_args(arguments).keep
    try:
        if keep is not None and keep.exists():
            raise BenchmarkError(f"{keep} exists; wanted a new folder, because each recipe has to begin with nothing")
        with tempfile.TemporaryDirectory() as folder:
            figures = {}
            for name, recipe in RECIPES.items():
                figures |= measure(name, root() / "recipes" / f"{recipe}.yaml", (keep or Path(folder)) / name)
        result = write_result(NAME, figures=figures, command=COMMAND, packages=("torch", "transformers"))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, value in result.figures.items():
        bound = result.targets.get(figure)
        print(f"{figure:28} {value:9.2f}" + (f"   wanted {bound[0]} {bound[1]:g}" if bound else ""))
    return 0


def measure(name: str, recipe: Path, work: Path) -> dict[str, float]:
    """Run one recipe and verify what it made.

    Raises:
        RecipeFailedError: a command failed.
    """
    began = time.monotonic()
    _scalpel("recipe", "run", str(recipe), "--work", str(work))
    minutes = (time.monotonic() - began) / 60
    made = work / "bundle" / name
    _scalpel("bundle", "verify", str(made), "--chain", str(work))
    manifest = load_bundle(made).manifest
    shipped = load_bundle(bundles_path() / name).manifest
    heads, neurons = circuit_size(manifest)
    return {
        f"minutes.{name}": minutes,
        f"heads.{name}": heads,
        f"neurons.{name}": neurons,
        f"weights_as_shipped.{name}": float(manifest.weights_sha256 == shipped.weights_sha256),
    }


def circuit_size(manifest: BundleManifest) -> tuple[int, int]:
    """Heads and neurons that a bundle acts at, each once."""
    sites = [intervention.site for intervention in manifest.interventions]
    heads = {(site.layer, site.head) for site in sites if site.component is Component.HEAD}
    neurons = {(site.layer, at) for site in sites for at in site.neurons or ()}
    return len(heads), len(neurons)


def _scalpel(*arguments: str) -> None:
    print(f"scalpel {' '.join(arguments)}", file=sys.stderr, flush=True)
    done = run([sys.executable, "-c", _SCALPEL, *arguments], check=False)
    if done.returncode:
        raise RecipeFailedError(f"scalpel {arguments[0]} {arguments[1]} ended with {done.returncode}; wanted 0")


if __name__ == "__main__":
    sys.exit(main())

"""Tables of the variants of a behaviour, on the prompts of its breaker's table.

The steering vector is trained by the breaker's own recipe at the sites of its own circuit: the chain's first stages
are taken over, and only its training and its table are new. The mask is the one that ships.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.errors import GatesError
from benchmarks.gates.subjects import TABLE, Subject
from benchmarks.history import root
from breakers.bundles.store import write_atomically
from breakers.demo import bundles_path
from breakers.demo.make_bundles import MASK_BEHAVIOUR, MASK_NAME
from breakers.pipeline.hashing import digest_of_file
from breakers.pipeline.record import read_record, stage_key
from breakers.pipeline.runner import run_stages
from breakers.pipeline.stages import Stage
from classifiers.gate_table import GateTable, load_gate_table, save_gate_table
from server.cli.gate_stage import TabulateConfig, tabulate_bundle
from server.recipes.preparing import RunRequest, prepared_run, requested_recipe
from server.recipes.stages import recipe_stages

KEPT = ("pairs", "trace", "refine")
"""Stages of the breaker's chain that a steering vector begins with."""

Tell = Callable[[str], None]


def variant_tables(subject: Subject, work: Path, tell: Tell) -> list[GateTable]:
    """The steering vector's, and the mask's where one ships.

    Raises:
        GatesError: the chain is not what the recipe would make now.
        BreakersError, ClassifiersError: as the stages and tabulating.
    """
    found = [_steering(subject, work / f"{subject.behaviour}-steering", tell)]
    if subject.behaviour == MASK_BEHAVIOUR:
        found.append(_mask(subject, work / MASK_NAME, tell))
    return found


def _steering(subject: Subject, work: Path, tell: Tell) -> GateTable:
    request = RunRequest(
        recipe=root() / "recipes" / f"demo-{subject.behaviour.replace('_', '-')}.yaml",
        changes=("train.kinds=steering", f"name={subject.behaviour}-steering"),
    )
    stages = recipe_stages(prepared_run(request, requested_recipe(request)))
    take_over(subject.chain, stages, work)

    def report(stage: str) -> Callable[[str, int, int], None]:
        return lambda what, done, of: tell(f"{subject.behaviour} steering, {stage}: {what} {done}/{of}")

    run_stages(stages, work, request.command, report, until="gate")
    return load_gate_table(work / TABLE)


def take_over(chain: Path, stages: Sequence[Stage], work: Path) -> None:
    """Copy the chain's first stages, which then count as finished.

    Raises:
        GatesError: one of them is not what the recipe would make now, so that it would be made again.
        StageError: a record cannot be read.
    """
    for stage in stages:
        if stage.name not in KEPT:
            continue
        inputs = {source: digest_of_file(chain / source) for source in stage.inputs.values()}
        if read_record(chain / stage.name).key != stage_key(stage.name, stage.config, inputs):
            raise GatesError(
                f"{chain / stage.name} is not what the recipe makes now; wanted the chain of this recipe"
            )
        shutil.copytree(chain / stage.name, work / stage.name, dirs_exist_ok=True)


def _mask(subject: Subject, work: Path, tell: Tell) -> GateTable:
    bundle, path = bundles_path() / MASK_NAME, work / TABLE
    record = read_record(subject.chain / "gate").config
    count, seed = int(record["prompts"]), int(record["seed"])
    config = TabulateConfig(
        bundle=bundle,
        prompts_per_kind=count,
        seed=seed,
        command=f"scalpel gate tabulate --scorer demo --prompts-per-kind {count} --seed {seed}",
    )
    # A finished table is named by what it was made of.
    made_of, mark = "\n".join([digest_of_file(bundle / "bundle.json"), config.command]), work / "made_of"
    if not (path.exists() and mark.exists() and mark.read_text(encoding="utf-8") == made_of):
        made = tabulate_bundle(config, lambda done, of: tell(f"{MASK_NAME}: {done}/{of} prompts"))
        save_gate_table(made, path)
        write_atomically(mark, made_of.encode())
    return load_gate_table(path)

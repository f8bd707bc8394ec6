"""What is computed: one job a contender, in processes of its own, each result kept under the hash of what decides it.

An interrupted run goes on: finished jobs are read, trainings resume from their checkpoints.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.circuits.options import Options
from benchmarks.errors import CircuitsError
from benchmarks.history import contents
from breakers.bundles.store import write_atomically
from breakers.bundles.verify import sha256
from breakers.demo.corpus import BEHAVIOURS
from breakers.training.data import json_digest

SERVED = "served"
CODE = (
    *(
        f"benchmarks/circuits/{name}.py"
        for name in ("baselines", "contenders", "equal", "lora", "measuring", "options", "served_arms", "subjects")
    ),
    "benchmarks/demo_harm.py",
    "breakers/bank.py",
    "breakers/demo/corpus",
    "breakers/demo/model",
    "breakers/training",
    "recipes/demo-gender-bias.yaml",
    "recipes/demo-misinformation.yaml",
    "recipes/demo-toxicity.yaml",
)
"""Committed paths that decide what a job finds; what it keeps is named by their contents. What is made of it later
(figures, examples) is not among them, so that a mistake there costs no second run."""
SERVED_CODE = (*CODE, "breakers", "classifiers", "server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One contender, or the served arms."""

    behaviour: str
    """Empty for the served arms."""
    name: str


def all_jobs(options: Options) -> list[Job]:
    """The longest first, so that processes end together."""
    from benchmarks.circuits.baselines import BASELINES
    from benchmarks.circuits.measuring import CIRCUIT, OFF

    names = ["lora", "steering", *(name for name in BASELINES if name not in ("lora", "steering")), CIRCUIT, OFF]
    return [
        Job(behaviour="", name=SERVED),
        *(Job(behaviour=behaviour, name=name) for name in names for behaviour in options.behaviours),
    ]


def run_jobs(jobs: Sequence[Job], options: Options) -> dict[Job, dict[str, Any]]:
    """Results of all jobs, computed `options.processes` at a time.

    Raises:
        BenchmarkError, BreakersError: a job's; finished ones are kept.
    """
    results = {job: found for job in jobs if (found := _kept(job, options)) is not None}
    missing = [job for job in jobs if job not in results]
    print(f"{len(results)} of {len(jobs)} jobs are there", file=sys.stderr, flush=True)
    if options.processes == 1 or len(missing) <= 1:
        for job in missing:
            results[job] = run_job(job, options)
            _say(job, len(results), len(jobs))
        return results
    # Not fork: torch's threads do not survive it.
    pool = ProcessPoolExecutor(options.processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        running = {pool.submit(run_job, job, options): job for job in missing}
        for done in as_completed(running):
            results[running[done]] = done.result()
            _say(running[done], len(results), len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def run_job(job: Job, options: Options) -> dict[str, Any]:
    """Compute one job and keep its result."""
    import torch

    from benchmarks.circuits.baselines import Trainer
    from benchmarks.circuits.measuring import CIRCUIT, OFF, measure_baseline, measure_circuit, measure_off
    from benchmarks.circuits.served_arms import measure_served
    from benchmarks.circuits.subjects import read_subject
    from breakers.demo import model_path
    from breakers.demo.make_bundles import load_demo_model

    if job.name == SERVED:
        found: dict[str, Any] = measure_served(options)
    else:
        # One core a process: sums then come out the same on every machine with as many.
        torch.set_num_threads(1)
        trainer = Trainer(
            subject=read_subject(job.behaviour, options),
            base=load_demo_model(model_path()),
            folder=options.work / "training" / _key(job, options, prompts=False),
            steps=options.steps,
            name=job.name,
        )
        measure = {CIRCUIT: measure_circuit, OFF: measure_off}.get(job.name, measure_baseline)
        found = measure(trainer, options)
    path = _path(job, options)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(found).encode())
    return found


def _kept(job: Job, options: Options) -> dict[str, Any] | None:
    path = _path(job, options)
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise CircuitsError(f"{path} is no result of a job ({error}); delete it") from error
    return found


def _path(job: Job, options: Options) -> Path:
    return options.work / "jobs" / f"{_key(job, options)}.json"


def _key(job: Job, options: Options, prompts: bool = True) -> str:
    """A name for everything that decides a job's result, or, without prompts, its training."""
    behaviours = BEHAVIOURS if job.name == SERVED else (job.behaviour,)
    files = [options.bundles / behaviour / "bundle.json" for behaviour in behaviours]
    files += [options.chains / behaviour / "refine" / "refined.json" for behaviour in behaviours if job.behaviour]
    hashes = [sha256(path.read_bytes()) for path in files if path.exists()]
    code = contents(SERVED_CODE if job.name == SERVED else CODE)
    asked = [options.prompts, options.mixed] if job.name == SERVED else options.prompts
    decides = [job.name, job.behaviour, options.steps, hashes, code, asked if prompts else None]
    shown = job.name if not job.behaviour else f"{job.behaviour}-{job.name}"
    return f"{shown}-{json_digest(decides).removeprefix('sha256:')[:16]}"


def _say(job: Job, done: int, of: int) -> None:
    print(f"{done}/{of} {job.behaviour} {job.name}", file=sys.stderr, flush=True)

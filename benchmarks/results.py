"""Result files: `benchmarks/results/NAME.json`, the figures with everything needed to judge and repeat them."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.errors import TargetsError
from benchmarks.history import commit, contents, root
from benchmarks.targets import BenchmarkTargets, load_targets

_DIGITS = 5


class ResultFile(BaseModel):
    """One benchmark's result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str
    commit: str
    """Twelve digits, and `+changes` where measured paths were not committed."""
    date: str
    machine: dict[str, str]
    """What the figures depend on; never a host name or a path."""
    versions: dict[str, str]
    contents: dict[str, str]
    """Measured path -> git's hash of its contents at `commit`."""
    figures: dict[str, float]
    targets: dict[str, tuple[str, float]]


def results_folder() -> Path:
    """Where result files are."""
    return root() / "benchmarks" / "results"


def targets_path() -> Path:
    """Where the targets are."""
    return root() / "benchmarks" / "targets.toml"


def write_result(
    name: str,
    *,
    figures: Mapping[str, float],
    command: str,
    packages: tuple[str, ...] = (),
    folder: Path | None = None,
) -> ResultFile:
    """Write a result with the targets that hold now.

    Args:
        name: the benchmark, as in `targets.toml`.
        figures: flat; every one a finite number.
        command: the exact command.
        packages: distributions whose version matters.
        folder: where to write; the committed results by default.

    Raises:
        TargetsError: the benchmark is not in `targets.toml`, or a figure is not a finite number.
    """
    declared = _declared(name)
    for figure, value in figures.items():
        if not math.isfinite(value):
            raise TargetsError(f"figure {figure!r} of {name} is {value}; wanted a finite number")
    result = ResultFile(
        command=command,
        commit=commit(declared.measures),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=describe_machine(),
        versions=_versions(packages),
        contents=contents(declared.measures),
        figures={figure: round(float(value), _DIGITS) for figure, value in figures.items()},
        targets={figure: (t.op, t.value) for figure, t in declared.targets.items()},
    )
    path = (folder or results_folder()) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
    return result


def load_result(path: Path) -> ResultFile:
    """Read a result file.

    Raises:
        TargetsError: it is missing or not in the format.
    """
    try:
        return ResultFile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise TargetsError(f"{path.name} is not a result file: {error}") from error


def describe_machine() -> dict[str, str]:
    """Processor, cores and memory: what figures depend on, and nothing that names this machine."""
    return {
        "cpu": _cpu_name(),
        "cores": str(os.cpu_count() or 0),
        "memory": f"{_memory_bytes() / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
    }


def _declared(name: str) -> BenchmarkTargets:
    targets = load_targets(targets_path())
    if name not in targets:
        raise TargetsError(f"benchmark {name!r} is not in targets.toml; there: {', '.join(targets)}")
    return targets[name]


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _memory_bytes() -> int:
    names = os.sysconf_names
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return 0
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

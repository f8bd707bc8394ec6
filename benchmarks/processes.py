"""What a server takes of the machine, on Linux: the process that was started and all that it started."""

from __future__ import annotations

import os
from pathlib import Path


def process_tree(process_id: int) -> list[int]:
    """A process and its descendants; none where it does not exist, or the system does not say."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        found = _stat(int(path.name))
        if found:
            parents[int(path.name)] = int(found[1])
    tree = [process_id] if process_id in parents else []
    for above in tree:
        tree += [child for child, parent in parents.items() if parent == above]
    return tree


def cpu_seconds(process_id: int) -> float:
    """Processor time that a process and its descendants have used, all threads; 0 where the system does not say."""
    used = 0.0
    for one in process_tree(process_id):
        # User and system time are fields 14 and 15, the state is field 3.
        fields = _stat(one)
        if fields:
            used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def resident_mebibytes(process_id: int) -> float:
    """Memory that a process and its descendants hold. What they share is counted for each.

    Raises:
        OSError: there is no such process.
    """
    held = 0.0
    for one in [process_id, *process_tree(process_id)[1:]]:
        held += _resident(one)
    return held


def _resident(process_id: int) -> float:
    for line in Path(f"/proc/{process_id}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/{process_id}/status does not say how much memory is held")


def _stat(process_id: int) -> list[str]:
    """Its fields from the third on; none where it does not exist (any more)."""
    try:
        text = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8")
    except OSError:
        return []
    # The name, in parentheses, may hold spaces.
    return text.rpartition(")")[2].split()

"""What `python -m benchmarks.circuits` is told, and the numbers that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.history import root
from breakers.demo import bundles_path
from breakers.demo.corpus import BEHAVIOURS

PROMPTS = 300
MIXED_PROMPTS = 1000
"""So many that chance does not hide a drop of 3 points between sampled replies, where every breaker acts."""
CORPUS_SEED = 8
"""Of held-out prompts, as in `benchmarks.demo_harm`."""
CALIBRATION_SEED = 3
"""Of calibration prompts; gates are fitted on those of another seed."""
CHAINS = Path("docs") / "case-studies" / "chains"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to measure."""

    behaviours: tuple[str, ...] = BEHAVIOURS
    prompts: int = PROMPTS
    """Of each kind but `mixed` over HTTP, and provoking ones of each behaviour in the comparison."""
    mixed: int = MIXED_PROMPTS
    """Prompts of that kind over HTTP."""
    processes: int = 2
    bundles: Path = field(default_factory=bundles_path)
    """Folder of one bundle a behaviour."""
    chains: Path = field(default_factory=lambda: root() / CHAINS)
    """Folder of one folder a behaviour, with what its recipe's stages made."""
    work: Path = Path("runs") / "circuits"
    """Where what is finished is kept, so that an interrupted run goes on."""
    steps: int | None = None
    """Most training steps of a baseline; those of the recipe by default."""

    @property
    def skill_prompts(self) -> int:
        """Prompts of each skill in the comparison of baselines."""
        return max(2, self.prompts // 2)

    @property
    def calibration_prompts(self) -> int:
        """Provoking prompts of the calibration split, on which strengths are chosen."""
        return max(2, self.prompts // 3)

    @property
    def whole(self) -> bool:
        """Whether the result may be committed."""
        return self == Options(processes=self.processes, work=self.work)

"""Identity-term templates of Dixon et al. 2018 (`bias_madlibs_77k.csv`): what is toxic is not the group named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.readers.files import read_table

_FILE = Path("unintended-bias/archive/unintended_ml_bias/eval_datasets/bias_madlibs_77k.csv")
_LABELS = {"BAD": True, "NOT_BAD": False}


def read(root: Path) -> Iterator[LabelledPrompt]:
    """Filled-in templates. Raises `SourceFormatError` on another label."""
    for row in read_table(root / _FILE, ("Text", "Label")):
        if row["Label"] not in _LABELS:
            raise SourceFormatError(f"{_FILE.name} has label {row['Label']!r}; wanted one of {list(_LABELS)}")
        yield LabelledPrompt(text=row["Text"], labels={"toxicity": _LABELS[row["Label"]]}, source="unintended_bias")

"""Stages `gate` and `bundle`: harm and change at every strength, the fitted gate, and the bundle that has it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ValidationError

from breakers.bundles.manifest import GateManifest, describe
from breakers.bundles.store import write_atomically
from breakers.bundles.strict_json import parse_object
from breakers.errors import BundleFormatError, StageError
from breakers.gate import Gate
from breakers.pairs.files import load_pairs
from breakers.pairs.record import Split, as_dicts
from breakers.refinement.benign import read_skills
from classifiers.gate_fit import GateFitConfig, fit_gate
from classifiers.gate_table import GateTable, load_gate_table, save_gate_table
from server.base_model import BaseOptions
from server.cli.gate_stage import CalibrationPrompt, TabulateConfig, put_gate, tabulate_bundle
from server.recipes.file import GateSection

TABLE_NAME = "table.safetensors"
GATE_NAME = "gate.json"
SHUT = Gate(alpha_base=0.0, w=0.0, b=0.0, p_off=1.0)
"""Of a rehearsal: opens for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatingConfig:
    """What a gate is fitted for, and on."""

    bundle: Path
    """Without a gate."""
    model: Path | None
    """None for the demo model."""
    base: BaseOptions
    pairs: Path
    """Their validation prompts provoke; for other models than the demo's."""
    benign: Path | None
    scorer: str
    classifier_path: Path | None
    section: GateSection
    rehearsal: bool
    """Whether no gate is fitted: a model that shows no harm has none."""
    command: str


def fit_and_keep(config: GatingConfig, out: Path, progress: Callable[[int, int], None]) -> None:
    """Tabulate, fit, and write both.

    Raises:
        BreakersError, ClassifiersError, ConfigError: as tabulating and fitting.
        OSError: a file cannot be written.
    """
    section = config.section
    tabulated = TabulateConfig(
        bundle=config.bundle,
        model=config.model,
        base=config.base,
        classifier=section.classifier,
        classifier_path=config.classifier_path,
        scorer=config.scorer,
        prompts_per_kind=section.prompts,
        max_new_tokens=section.max_new_tokens,
        batch=section.batch,
        seed=section.seed,
        command=config.command,
    )
    prompts = None if config.benign is None else calibration_prompts(config.pairs, config.benign, section)
    table = tabulate_bundle(tabulated, progress, prompts)
    save_gate_table(table, out / TABLE_NAME)
    gate, figures = (SHUT, {}) if config.rehearsal else _fitted(table, section)
    found = {"gate": asdict(gate) | {"classifier": table.classifier}, "figures": figures}
    write_atomically(out / GATE_NAME, (json.dumps(found, indent=2, sort_keys=True) + "\n").encode())


def _fitted(table: GateTable, section: GateSection) -> tuple[Gate, dict[str, float]]:
    """The gate, and what it does to the prompts of the table."""
    fitted = fit_gate(
        table,
        GateFitConfig(
            alpha_base=section.alpha_base,
            harm_coef=section.harm_coef,
            change_coef=section.change_coef,
            cost_tolerance=section.cost_tolerance,
            false_positive_budget=section.false_positive_budget,
        ),
    )
    return fitted.gate, {name: value for name, value in asdict(fitted).items() if name != "gate"}


def calibration_prompts(pairs: Path, benign: Path, section: GateSection) -> list[CalibrationPrompt]:
    """Validation prompts of the pairs, and as many of the benign samples, drawn by seed.

    Raises:
        PairsError, StageError: a file cannot be read.
    """
    records = [record for record in load_pairs(pairs) if record.split is Split.VALIDATION]
    if not records:
        raise StageError(f"{pairs}: has no pair of split validation; wanted some, for the gate's provoking prompts")
    draw = random.Random(section.seed)
    provoking = list(dict.fromkeys(record.messages for record in records))
    other = list(dict.fromkeys(skill.messages for skill in read_skills(benign)))
    return [
        CalibrationPrompt(messages=as_dicts(messages), benign=is_benign)
        for prompts, is_benign in ((provoking, False), (other, True))
        for messages in draw.sample(prompts, min(section.prompts, len(prompts)))
    ]


def put_into_bundle(draft: Path, table: Path, gate: Path, out: Path) -> None:
    """Write the bundle that a draft becomes with its gate.

    Raises:
        StageError: the gate's file is not one.
        BundleError: the draft cannot be read, or the gate does not fit it.
    """
    put_gate(draft, read_gate(gate), load_gate_table(table), table, out)


def read_gate(path: Path) -> Gate:
    """The gate of `gate.json`.

    Raises:
        StageError: it cannot be read, or is not what `fit_and_keep` writes.
    """
    try:
        found = parse_object(path.read_bytes(), str(path))
        declared = GateManifest.model_validate(found.get("gate"))
    except OSError as error:
        raise StageError(f"{path}: cannot be read: {error.strerror}") from error
    except BundleFormatError as error:
        raise StageError(str(error)) from error
    except ValidationError as error:
        raise StageError(f"{path}: {describe(error)}") from error
    return Gate(alpha_base=declared.alpha_base, w=declared.w, b=declared.b, p_off=declared.p_off)

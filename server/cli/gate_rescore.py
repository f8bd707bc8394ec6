"""What `scalpel gate rescore` puts together: a table, its prompts, its own classifier and another one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from breakers.bundles.store import sha256
from classifiers import build_classifier
from classifiers.base import HarmClassifier
from classifiers.gate_table import GateTable, load_gate_table, save_gate_table
from classifiers.gates.rescoring import check_category, rescore
from server.cli.gate_prompts import PromptSource, table_prompts

_COMMAND = "scalpel gate rescore"


@dataclass(frozen=True, slots=True, kw_only=True)
class RescoreConfig:
    """What to rescore, and with what."""

    table: Path
    out: Path
    classifier: str
    classifier_path: Path | None = None
    """None for the one that ships."""
    own_path: Path | None = None
    """Directory of the table's own classifier; None for the one that ships."""
    prompts: PromptSource = field(default_factory=PromptSource)


def rescore_table(config: RescoreConfig) -> GateTable:
    """Read, check, rescore and write.

    Raises:
        ClassifiersError: a table or classifier cannot be had, or the prompts are not the table's.
        StageError, PairsError: files that the prompts come from are missing or changed.
    """
    table = load_gate_table(config.table)
    classifier = build_classifier(config.classifier, path=config.classifier_path)
    check_category(classifier, table.category)
    own = _own(table, classifier, config.own_path)
    prompts, source = table_prompts(table, config.table, config.prompts)
    made = rescore(
        table,
        prompts,
        classifier,
        own,
        table_sha256=sha256(config.table.read_bytes()),
        command=f"{table.command.split(f'; {_COMMAND}')[0]}; {_COMMAND} --classifier {config.classifier} "
        f"--prompts-per-kind {source.count} --seed {source.seed}",
    )
    save_gate_table(made, config.out)
    return made


def _own(table: GateTable, classifier: HarmClassifier, path: Path | None) -> HarmClassifier | None:
    """The table's classifier, where its prompts cannot be told without it."""
    if table.prompts_sha256:
        return None
    if classifier.name == table.classifier:
        return classifier
    return build_classifier(table.classifier.partition(":")[0], path=path)

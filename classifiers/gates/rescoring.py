"""The harm potentials of a table's prompts by another classifier; harm and change stay, for they do not depend on it.

Nothing is generated again. That the prompts are the table's own is checked, never assumed: by their hash where the
table keeps one, else by the table's own classifier, which has to give the table's column again to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64

from classifiers.base import Conversation, HarmClassifier
from classifiers.errors import GateTableError
from classifiers.gate_table import GateTable, conversations_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePrompts:
    """Conversations that are said to be a table's, in its order."""

    conversations: Sequence[Conversation]
    benign: Bool[np.ndarray, " prompt"]


def harm_potentials(
    classifier: HarmClassifier, category: str, conversations: Sequence[Conversation]
) -> Float64[np.ndarray, " prompt"]:
    """P of each conversation in one category.

    Raises:
        GateTableError: the classifier does not know the category.
        ClassifierError: a conversation cannot be scored.
    """
    check_category(classifier, category)
    return np.array([scores[category] for scores in classifier.score(conversations)], dtype=np.float64)


def check_category(classifier: HarmClassifier, category: str) -> None:
    """Refuse a category that the classifier does not know, before anything runs.

    Raises:
        GateTableError: it does not.
    """
    if category not in classifier.categories:
        known = ", ".join(classifier.categories)
        raise GateTableError(f"{classifier.name} has no category {category!r}; it has {known}")


def rescore(
    table: GateTable,
    prompts: TablePrompts,
    classifier: HarmClassifier,
    own: HarmClassifier | None,
    *,
    table_sha256: str,
    command: str,
) -> GateTable:
    """The table with the harm potentials of `classifier`.

    Args:
        table: harm and change of `prompts`.
        prompts: said to be the table's; see the module for how that is checked.
        classifier: reads the new harm potentials.
        own: the classifier that the table was made with; None where the table keeps the hash of its prompts.
        table_sha256: of the table's file.
        command: for the new table.

    Raises:
        GateTableError: the prompts are not the table's, or a classifier is not what it has to be.
        ClassifierError: a conversation cannot be scored.
    """
    check_category(classifier, table.category)
    check_prompts(table, prompts, own)
    found = harm_potentials(classifier, table.category, prompts.conversations)
    if classifier.name == table.classifier:
        _check_column(table, found)
    return replace(
        table,
        classifier=classifier.name,
        command=command,
        harm_potential=found,
        prompts_sha256=conversations_sha256(prompts.conversations),
        rescored_from=table_sha256,
    )


def check_prompts(table: GateTable, prompts: TablePrompts, own: HarmClassifier | None) -> None:
    """Refuse prompts that are not the table's.

    Raises:
        GateTableError: naming what differs, or what would be needed to tell.
    """
    count = len(prompts.conversations)
    if count != len(table.benign):
        raise GateTableError(f"there are {count} prompts, the table has {len(table.benign)}; wanted the table's own")
    differing = int((prompts.benign != table.benign).sum())
    if differing:
        raise GateTableError(f"{differing} of {count} prompts are benign here and not in the table, or the reverse")
    if table.prompts_sha256:
        found = conversations_sha256(prompts.conversations)
        if found != table.prompts_sha256:
            raise GateTableError(f"the prompts are {found[:19]}...; the table's are {table.prompts_sha256[:19]}...")
        return
    if own is None or own.name != table.classifier:
        name = "none" if own is None else own.name
        raise GateTableError(
            f"the table keeps no hash of its prompts; wanted {table.classifier}, which it was made with, to tell "
            f"whether they are the same; got {name}"
        )
    _check_column(table, harm_potentials(own, table.category, prompts.conversations))


def _check_column(table: GateTable, found: Float64[np.ndarray, " prompt"]) -> None:
    differing = np.flatnonzero(found != table.harm_potential)
    if len(differing):
        first = int(differing[0])
        raise GateTableError(
            f"{table.classifier} gives {len(differing)} of {len(found)} prompts another harm potential than the "
            f"table has (prompt {first}: {found[first]!r}, wanted {table.harm_potential[first]!r}); they are not the "
            "prompts that the table was made on"
        )

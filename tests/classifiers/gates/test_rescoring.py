"""Other harm potentials for the same prompts, and that they are the same ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from gate_tables import drawn_table

from classifiers.base import Conversation
from classifiers.errors import GateTableError
from classifiers.gate_table import GateTable, conversations_sha256, load_gate_table, save_gate_table
from classifiers.gates.rescoring import TablePrompts, rescore

PROMPTS = 60


class Told:
    """A classifier whose scores are said by the prompts themselves."""

    def __init__(self, name: str, power: float, categories: tuple[str, ...] = ("toxicity", "violence")) -> None:
        self.name, self.categories, self._power = name, categories, power

    def score(self, conversations: Sequence[Conversation]) -> list[dict[str, float]]:
        return [dict.fromkeys(self.categories, float(c[-1]["content"]) ** self._power) for c in conversations]


OWN, OTHER = Told("lexical:abc", 1.0), Told("embedding:def", 2.0)


def prompts_of(table: GateTable) -> TablePrompts:
    texts = [repr(potential) for potential in table.harm_potential.tolist()]
    return TablePrompts(conversations=[[{"role": "user", "content": text}] for text in texts], benign=table.benign)


def made(table: GateTable, prompts: TablePrompts, classifier: Told, own: Told | None) -> GateTable:
    return rescore(table, prompts, classifier, own, table_sha256="sha256:old", command="again")


def test_only_the_harm_potential_is_another() -> None:
    table = drawn_table(PROMPTS)
    found = made(table, prompts_of(table), OTHER, OWN)
    np.testing.assert_array_equal(found.harm_potential, table.harm_potential**2)
    for name in ("harm", "change", "benign"):
        np.testing.assert_array_equal(getattr(found, name), getattr(table, name))
    assert (found.classifier, found.command, found.rescored_from) == ("embedding:def", "again", "sha256:old")
    assert found.weights_sha256 == table.weights_sha256
    assert found.prompts_sha256 == conversations_sha256(prompts_of(table).conversations)


def test_its_own_classifier_gives_the_same_column() -> None:
    table = drawn_table(PROMPTS)
    again = made(table, prompts_of(table), OWN, OWN)
    np.testing.assert_array_equal(again.harm_potential, table.harm_potential)
    # Now the hash of the prompts is known, and the classifier is not needed to tell that they are the same.
    assert made(again, prompts_of(table), OTHER, None).classifier == "embedding:def"


def test_one_other_prompt_is_found() -> None:
    table = drawn_table(PROMPTS)
    prompts = prompts_of(table)
    kept = made(table, prompts, OWN, OWN)
    nearly = np.nextafter(table.harm_potential[7], 1.0)
    turns = [*prompts.conversations]
    turns[7] = [{"role": "user", "content": repr(float(nearly))}]
    changed = dataclasses.replace(prompts, conversations=turns)
    with pytest.raises(GateTableError, match=r"lexical:abc gives 1 of 60 prompts another harm potential.*prompt 7"):
        made(table, changed, OTHER, OWN)
    with pytest.raises(GateTableError, match="the prompts are sha256:"):
        made(kept, changed, OTHER, None)
    flags = table.benign.copy()
    flags[[1, 2]] ^= True
    with pytest.raises(GateTableError, match="2 of 60 prompts are benign here and not in the table"):
        made(table, dataclasses.replace(prompts, benign=flags), OTHER, OWN)
    with pytest.raises(GateTableError, match="there are 59 prompts, the table has 60"):
        made(table, dataclasses.replace(prompts, conversations=turns[1:]), OTHER, OWN)


def test_a_classifier_of_the_same_name_that_scores_otherwise_is_found() -> None:
    table = drawn_table(PROMPTS)
    kept = made(table, prompts_of(table), OWN, OWN)
    with pytest.raises(GateTableError, match=r"lexical:abc gives \d+ of 60 prompts another"):
        made(kept, prompts_of(table), Told("lexical:abc", 1.5), None)


def test_classifiers_that_cannot_tell_are_refused() -> None:
    table = drawn_table(PROMPTS)
    with pytest.raises(GateTableError, match=r"wanted lexical:abc, which it was made with.*got embedding:def"):
        made(table, prompts_of(table), OTHER, OTHER)
    with pytest.raises(GateTableError, match="got none"):
        made(table, prompts_of(table), OTHER, None)
    with pytest.raises(GateTableError, match="lexical:x has no category 'toxicity'; it has violence"):
        made(table, prompts_of(table), Told("lexical:x", 1.0, ("violence",)), OWN)


def test_what_a_table_keeps_of_its_prompts_is_written(tmp_path) -> None:
    table = drawn_table(PROMPTS)
    save_gate_table(table, tmp_path / "old.safetensors")
    assert b"prompts_sha256" not in (tmp_path / "old.safetensors").read_bytes()
    found = made(table, prompts_of(table), OTHER, OWN)
    save_gate_table(found, tmp_path / "new.safetensors")
    loaded = load_gate_table(tmp_path / "new.safetensors")
    assert (loaded.prompts_sha256, loaded.rescored_from) == (found.prompts_sha256, "sha256:old")


def test_the_hash_is_of_every_turn_in_order() -> None:
    one: list[Conversation] = [[{"role": "user", "content": "a"}], [{"role": "user", "content": "b"}]]
    assert conversations_sha256(one) == conversations_sha256([[{"content": "a", "role": "user"}], one[1]])
    others = [one[::-1], [[*one[0], *one[1]]], [[{"role": "system", "content": "a"}], one[1]], one[:1]]
    assert len({conversations_sha256(other) for other in [one, *others]}) == 5

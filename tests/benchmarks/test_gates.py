"""The gates' benchmark: kept tables are those that the shipped bundles name; figures and tables from small ones."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from gate_tables import LEVELS, made_up_table, variant_tables

from benchmarks import gates_tables
from benchmarks.case_studies.chains import chain_folder
from benchmarks.errors import GatesError, TargetsError
from benchmarks.gates import __main__ as command
from benchmarks.gates import measuring, subjects, variants
from benchmarks.gates.members import members_for
from benchmarks.gates.subjects import Subject, read_subject
from breakers.demo.corpus import BEHAVIOURS
from breakers.gate import Gate
from breakers.pipeline.record import RECORD_NAME, read_record
from breakers.pipeline.stages import Stage
from classifiers import build_classifier
from classifiers.assessment.intervals import Interval
from classifiers.errors import GateTableError
from classifiers.gate_table import save_gate_table
from classifiers.gates.report import ReportConfig
from classifiers.gates.rescoring import TablePrompts, harm_potentials
from server.cli.gate_stage import TabulateConfig, demo_prompts

SMALL = ReportConfig(folds=2, resamples=20)


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_the_kept_table_is_the_one_behind_the_shipped_gate(behaviour: str) -> None:
    subject = read_subject(behaviour)
    assert subject.table.category == behaviour
    assert subject.gate.p_off > 0


def test_another_table_than_the_bundle_names_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_subject("toxicity")
    shutil.copytree(found.path.parent, tmp_path / "gate")
    monkeypatch.setattr(subjects, "chain_folder", lambda _behaviour: tmp_path)
    assert read_subject("toxicity").gate == found.gate
    shutil.copy(chain_folder("gender_bias") / subjects.TABLE, tmp_path / "gate")
    with pytest.raises(GatesError, match="the shipped bundle toxicity names"):
        read_subject("toxicity")


def test_only_members_that_know_the_category_are_measured() -> None:
    for behaviour in BEHAVIOURS:
        found = members_for(read_subject(behaviour))
        assert next(iter(found)) == "lexical"
        assert all(behaviour in member.categories for member in found.values())
        assert found["lexical"].name == read_subject(behaviour).table.classifier


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Subject, TablePrompts]:
    """Real prompts with their real harm potentials, and made-up harm."""
    found = demo_prompts(TabulateConfig(bundle=Path(), prompts_per_kind=3, seed=2), "toxicity")
    prompts = TablePrompts(
        conversations=[prompt.messages for prompt in found],
        benign=np.array([prompt.benign for prompt in found], dtype=np.bool_),
    )
    classifier = build_classifier("lexical")
    harm = np.where(prompts.benign[:, None], 0.0, LEVELS[None, :] < 0.5).astype(float)
    table = made_up_table(
        harm_potentials(classifier, "toxicity", prompts.conversations).tolist(),
        list(harm),
        list(np.where(prompts.benign[:, None], LEVELS[None, :], 0.0)),
        prompts.benign.tolist(),
        classifier=classifier.name,
    )
    chain = tmp_path_factory.mktemp("chain")
    save_gate_table(table, chain / subjects.TABLE)
    gate = Gate(alpha_base=1.0, w=0.0, b=2.75, p_off=0.5)
    return Subject(behaviour="toxicity", chain=chain, table=table, gate=gate), prompts


def test_every_table_is_made_from_the_figures(
    small: tuple[Subject, TablePrompts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "CONFIG", SMALL)
    subject, prompts = small
    found = measuring.report_part(subject)
    found |= measuring.member_part(subject, prompts, "lexical", members_for(subject)["lexical"])
    found |= measuring.choice_part("toxicity", variant_tables(prompts=48))
    assert all(math.isfinite(value) for value in found.values())
    # One is enough to measure; the tables show all three.
    figures = {name.replace("toxicity", other, 1): value for other in BEHAVIOURS for name, value in found.items()}
    rows = {name: getattr(gates_tables, f"{name}_rows")(figures) for name in ("curve", "report", "member", "choice")}
    for header, *found in rows.values():
        assert {len(row) for row in found} == {len(header)}
        assert {row[0] for row in found} == {"toxicity", "gender bias", "misinformation"}
    assert [row[1:3] for row in rows["curve"][1:3]] == [["0.0000", "0"], ["0.5000", "1"]]
    assert [row[1] for row in rows["member"][1:]] == ["`lexical`"] * 3
    ways = [row[1] for row in rows["choice"][1:5]]
    assert [way.removesuffix(" (best)") for way in ways[:2]] == ["always `low`", "always `high`"]
    assert sum(way.endswith(" (best)") for way in ways) == 1
    assert ways[3] == "best of each prompt"
    assert rows["choice"][3][-1].endswith(", the choice")
    # Six of the 36 prompts provoke, mixed ones among them.
    assert rows["report"][1][2].startswith(f"{6 / 36:.4f} [")


def test_a_member_is_put_under_a_table_of_its_own_prompts_only(small: tuple[Subject, TablePrompts]) -> None:
    subject, prompts = small
    turned = dataclasses.replace(prompts, conversations=prompts.conversations[::-1])
    with pytest.raises(GateTableError, match="of 36 prompts another harm potential"):
        measuring.member_part(subject, turned, "lexical", members_for(subject)["lexical"])


def test_figures_that_cannot_be_shown_are_left_out() -> None:
    shown = Interval(estimate=0.5, low=0.25, high=0.75)
    found = measuring.flat("a", {"x": shown, "y": Interval(estimate=math.nan, low=math.nan, high=math.nan)})
    assert found == {"a.x": 0.5, "a.x.low": 0.25, "a.x.high": 0.75}


def test_stages_of_the_chain_are_taken_over_where_they_are_the_recipes(tmp_path: Path) -> None:
    chain = read_subject("toxicity").chain
    record = read_record(chain / "pairs")
    stage = Stage(name="pairs", config=record.config, make=lambda _: None)
    gate = Stage(name="gate", config={}, make=lambda _: None)
    variants.take_over(chain, [stage, gate], tmp_path)
    assert json.loads((tmp_path / "pairs" / RECORD_NAME).read_text()) == record.model_dump(mode="json")
    assert not (tmp_path / "gate").exists()
    changed = Stage(name="pairs", config=record.config | {"seed": 9}, make=lambda _: None)
    with pytest.raises(GatesError, match="not what the recipe makes now"):
        variants.take_over(chain, [changed], tmp_path)


def test_what_could_not_be_written_is_refused_before_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "load_targets", lambda _path: {})
    with pytest.raises(TargetsError, match=r"'gates' is not in targets\.toml"):
        command._check_declared(writes=True)
    command._check_declared(writes=False)

"""The gates' benchmark: the kept tables are those that the shipped bundles name; figures and tables from small ones."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path

import pytest
from gate_tables import drawn_table, variant_tables

from benchmarks import gates_tables
from benchmarks.errors import GatesError, TargetsError
from benchmarks.gates import __main__ as command
from benchmarks.gates import measuring, subjects, variants
from benchmarks.gates.members import members_for
from benchmarks.gates.subjects import Subject, read_subject
from breakers.demo.corpus import BEHAVIOURS
from breakers.gate import Gate
from breakers.pipeline.record import RECORD_NAME, read_record
from breakers.pipeline.stages import Stage
from classifiers.assessment.intervals import Interval
from classifiers.gates.report import ReportConfig
from classifiers.gates.rescoring import rescore

SMALL = ReportConfig(folds=3, resamples=20)


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
    other = read_subject_path("gender_bias")
    shutil.copy(other, tmp_path / "gate" / "table.safetensors")
    with pytest.raises(GatesError, match="the shipped bundle toxicity names"):
        read_subject("toxicity")


def read_subject_path(behaviour: str) -> Path:
    from benchmarks.case_studies.chains import chain_folder

    return chain_folder(behaviour) / subjects.TABLE


def test_only_members_that_know_the_category_are_measured() -> None:
    for behaviour in BEHAVIOURS:
        found = members_for(read_subject(behaviour))
        assert next(iter(found)) == "lexical"
        assert all(behaviour in member.categories for member in found.values())
        assert found["lexical"].name == read_subject(behaviour).table.classifier


def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Figures of all behaviours from small tables, by the benchmark's own functions."""
    monkeypatch.setattr(measuring, "CONFIG", SMALL)
    monkeypatch.setattr(measuring, "rescore", lambda table, *_, **__: table)
    figures: dict[str, float] = {}
    for behaviour in BEHAVIOURS:
        gate = Gate(alpha_base=1.0, w=0.0, b=2.75, p_off=0.5)
        subject = Subject(behaviour=behaviour, chain=read_subject(behaviour).chain, table=drawn_table(), gate=gate)
        low, high = variant_tables()
        figures |= measuring.report_part(subject)
        figures |= measuring.member_part(dataclasses.replace(subject), "lexical", members_for(subject)["lexical"])
        figures |= measuring.choice_part(behaviour, [low, high])
    return figures


def test_every_table_is_made_from_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subject, "prompts", None)
    figures = measured(monkeypatch)
    assert all(math.isfinite(value) for value in figures.values())
    rows = {name: getattr(gates_tables, f"{name}_rows")(figures) for name in ("curve", "report", "member", "choice")}
    for header, *found in rows.values():
        assert {len(row) for row in found} == {len(header)}
        assert {row[0] for row in found} == {"toxicity", "gender bias", "misinformation"}
    assert [row[1:3] for row in rows["curve"][1:3]] == [["0.0000", "0"], ["0.5000", "1"]]
    assert [row[1] for row in rows["member"][1:]] == ["`lexical`"] * 3
    ways = [row[1] for row in rows["choice"][1:5]]
    assert [way.removesuffix(" (best)") for way in ways[:2]] == ["always `low`", "always `high`"]
    assert ways[3] == "best of each prompt"
    assert rows["choice"][3][-1].endswith(", the choice")
    report = rows["report"][1]
    assert report[2] == gates_tables._cell(figures, "toxicity.shipped.harm_off")


def test_a_member_is_put_under_the_table_after_its_prompts_were_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    # The real rescoring, on prompts that are not the table's.
    subject = read_subject("toxicity")
    few = dataclasses.replace(subject)
    object.__setattr__(few, "prompts", None)
    few.__dict__["prompts"] = _wrong_prompts()
    assert measuring.rescore is rescore
    with pytest.raises(Exception, match="there are 1 prompts, the table has 1200"):
        measuring.member_part(few, "lexical", members_for(subject)["lexical"])


def _wrong_prompts():
    import numpy as np

    from classifiers.gates.rescoring import TablePrompts

    return TablePrompts(conversations=[[{"role": "user", "content": "Hello."}]], benign=np.array([True]))


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
    with pytest.raises(TargetsError, match="'gates' is not in targets.toml"):
        command._check_declared(writes=True)
    command._check_declared(writes=False)

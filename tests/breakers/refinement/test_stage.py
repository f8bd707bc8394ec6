"""The stage and its command: from a trace and its pairs on disk to refined.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from serving.tiny_server import tiny_chat_model
from typer.testing import CliRunner

from breakers.bundles.verify import sha256
from breakers.errors import StageError
from breakers.pairs.files import load_pairs, pairs_sha256, write_pairs
from breakers.pairs.record import PairRecord, Split, as_dicts, user_turn
from breakers.pairs.tokens import ConversationEncoder, ConversionConfig, to_cases
from breakers.refinement.artifact import load_refinement
from breakers.refinement.benign import read_benign
from breakers.refinement.evidence import EvidenceConfig
from breakers.refinement.refine import RefineSettings
from breakers.refinement.search import Outcome
from breakers.refinement.stage import Candidates, RefineConfig, chosen_candidates, refine_trace
from breakers.refinement.threshold import TauKind, Threshold
from breakers.scoring import ScoredReply
from breakers.sites import Component
from breakers.tracing.circuit_file import CIRCUIT_NAME, MeasureKind, TraceMethod, read_circuit
from breakers.tracing.generation import GenerationConfig
from breakers.tracing.harm import Judge
from breakers.tracing.patches import PatchConfig, PatchSource
from breakers.tracing.stage import TraceConfig, TraceSubject, run_trace
from server.cli import build_cli

# What these random models do under patches has no meaning; any set below an absolute tau will do.
SETTINGS = RefineSettings(
    threshold=Threshold(kind=TauKind.ABSOLUTE, value=-1e3),
    evidence=EvidenceConfig(draws=1, subsets=1, resamples=20),
)


class VowelScorer:
    """The share of vowels."""

    name = "vowels"
    behaviours = ("toxicity",)

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        return [{"toxicity": sum(c in "aeiou" for c in r.reply) / (len(r.reply) + 1)} for r in replies]


def record(number: int, split: Split) -> PairRecord:
    return PairRecord(
        behaviour="toxicity",
        messages=user_turn(f"say {number:02d}"),
        harmful=f"bad {number}",
        neutral=f"good {number}",
        contrast_prompt=user_turn(f"ask {number:02d}"),
        source="made up",
        licence="CC0-1.0",
        split=split,
    )


class Workplace:
    """A tiny model, its pairs and a trace of heads on disk."""

    def __init__(
        self, path: Path, measure: MeasureKind = MeasureKind.LEAD, source: PatchSource = PatchSource.CONTRAST
    ):
        self.loaded = tiny_chat_model()
        self.pairs, self.trace, self.out = path / "pairs.jsonl", path / "trace", path / "out"
        records = [record(n, Split.TRAIN) for n in range(6)] + [record(n, Split.VALIDATION) for n in range(6, 9)]
        write_pairs(self.pairs, records)
        tokenizer = self.loaded.tokenizer
        made = to_cases(records[:6], tokenizer, ConversionConfig(need_contrast=True))
        by_case = dict(zip(made.cases, made.records, strict=True))
        judge = Judge(
            scorer=VowelScorer(),
            behaviour="toxicity",
            decode=lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=True)),
            messages=lambda case: as_dicts(by_case[case].messages),
        )
        subject = TraceSubject(
            model=self.loaded.model,
            model_id="tiny",
            cases=made.cases,
            behaviour="toxicity",
            pairs_sha256=pairs_sha256(load_pairs(self.pairs)),
            split="train",
            judge=judge,
            generation=GenerationConfig(end=ConversationEncoder(tokenizer).end_token_id, max_new_tokens=3),
        )
        config = TraceConfig(
            patch=PatchConfig(source=source),
            measure=measure,
            method=TraceMethod.EXACT,
            components=(Component.HEAD,),
            noise_components=0,
            images=False,
        )
        run_trace(config, subject, self.trace)

    def config(self, **changes) -> RefineConfig:
        return replace(
            RefineConfig(trace=self.trace, pairs=self.pairs, out=self.out, settings=SETTINGS, cases=4, held_out=2),
            **changes,
        )

    def refine(self, scorer=None, benign=(), **changes):
        loaded = self.loaded
        return refine_trace(self.config(**changes), loaded.model, loaded.tokenizer, benign=benign, scorer=scorer)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("lead"))


def test_a_trace_becomes_a_refinement(place: Workplace) -> None:
    made = place.refine(scorer=VowelScorer(), command="a test")
    manifest = made.manifest
    assert load_refinement(place.out) == made
    assert manifest.search.outcome is Outcome.UNREACHED
    circuit = read_circuit(place.trace / CIRCUIT_NAME)
    assert (manifest.behaviour, manifest.base, manifest.measure) == (circuit.behaviour, circuit.base, circuit.measure)
    assert manifest.made_from == {
        "circuit": sha256((place.trace / CIRCUIT_NAME).read_bytes()),
        "pairs": pairs_sha256(load_pairs(place.pairs)),
    }
    # Four of six training pairs, two of three validation pairs; all twelve heads were traced.
    assert (manifest.search.cases, manifest.evidence.cases, manifest.evidence.held_out) == (4, 2, True)
    assert (manifest.search.candidate_heads, manifest.search.candidate_neurons) == (12, 0)
    assert manifest.search.clean == pytest.approx(made.log[0].value)
    effects = {part.site.site(): part.effect for part in circuit.components}
    assert [member.effect for member in manifest.members] == sorted(effects.values(), reverse=True)[
        : manifest.size.heads
    ]
    assert 0 <= manifest.ablations[0].harm.value <= 1


def test_the_same_inputs_give_the_same_bytes(place: Workplace, tmp_path: Path) -> None:
    written = []
    for name in "ab":
        place.refine(out=tmp_path / name, most_heads=1, held_out=0, cases=2)
        written.append({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()})
    assert written[0] == written[1]


def test_candidates_can_be_fewer(place: Workplace, tmp_path: Path) -> None:
    found = place.refine(out=tmp_path, most_heads=3, held_out=0).manifest
    assert (found.search.candidate_heads, found.evidence.held_out) == (3, False)
    best = sorted((part.effect for part in read_circuit(place.trace / CIRCUIT_NAME).components), reverse=True)
    assert {member.effect for member in found.members} <= set(best[:3])
    for nothing in ({"most_heads": 0}, {"candidates": Candidates.NEURONS}):
        with pytest.raises(StageError, match="no effects of components that may be members"):
            place.refine(**nothing)
    with pytest.raises(StageError, match=r"candidates are 'tails'; wanted one of both, heads, neurons"):
        chosen_candidates("tails")
    with pytest.raises(StageError, match=r"limits of candidates \(None, -1, None\)"):
        place.config(most_heads=-1)


@pytest.mark.parametrize(
    ("measure", "source"), [(MeasureKind.HARM, PatchSource.CONTRAST), (MeasureKind.LEAD, PatchSource.MEAN)]
)
def test_the_measure_is_the_traces(tmp_path: Path, measure: MeasureKind, source: PatchSource) -> None:
    place = Workplace(tmp_path, measure, source)
    if measure is MeasureKind.HARM:
        with pytest.raises(StageError, match="scorer vowels; none was given"):
            place.refine()
    found = place.refine(scorer=VowelScorer(), cases=6, held_out=0, most_heads=1).manifest
    assert (found.measure.kind, found.patch.source) == (measure, source)
    assert found.search.clean == pytest.approx(read_circuit(place.trace / CIRCUIT_NAME).baseline, abs=1e-5)


def test_inputs_that_do_not_belong_together_are_refused(place: Workplace, tmp_path: Path) -> None:
    other = tmp_path / "pairs.jsonl"
    write_pairs(other, [record(n, Split.TRAIN) for n in range(3)])
    with pytest.raises(StageError, match=r"was traced on pairs sha256:.*; these are sha256:"):
        place.refine(pairs=other)
    stranger = tiny_chat_model(seed=1)
    with pytest.raises(StageError, match="was traced on tiny"):
        refine_trace(place.config(), stranger.model, stranger.tokenizer)
    with pytest.raises(StageError, match="cases=0"):
        place.config(cases=0)
    with pytest.raises(StageError, match="cannot be made"):
        place.refine(out=other / "out")


def test_benign_samples_are_read(place: Workplace, tmp_path: Path) -> None:
    line = {"messages": [{"role": "user", "content": "hello"}], "reply": "world"}
    path = tmp_path / "skills.jsonl"
    path.write_text("".join(json.dumps(line | {"reply": f"world {n}"}) + "\n" for n in range(5)))
    samples = read_benign(path, place.loaded.tokenizer, limit=4)
    assert len(samples) == 4
    assert place.loaded.tokenizer.decode(list(samples[3].reply)) == "world 3<|end|>"
    for text, words in (
        ("", "has no samples"),
        ("{}\n", r"line 1: messages"),
        (json.dumps(line | {"extra": 1}), "extra"),
        (json.dumps(line | {"reply": ""}), r"line 1: reply: .* at least 1"),
    ):
        path.write_text(text)
        with pytest.raises(StageError, match=words):
            read_benign(path, place.loaded.tokenizer)
    with pytest.raises(StageError, match="cannot be read"):
        read_benign(tmp_path / "nowhere", place.loaded.tokenizer)


def test_the_command(place: Workplace, tmp_path: Path) -> None:
    place.loaded.model.save_pretrained(tmp_path / "model")
    place.loaded.tokenizer.save_pretrained(tmp_path / "model")
    options = ["--pairs", place.pairs, "--out", tmp_path / "out", "--model", tmp_path / "model", "--tau", "-1000"]
    options += ["--tau-kind", "absolute", "--cases", "2", "--most-heads", "2", "--draws", "1", "--subsets", "1"]
    done = CliRunner().invoke(build_cli(), ["refine", str(place.trace), *map(str, options)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = load_refinement(tmp_path / "out").manifest
    assert f"{found.search.outcome}, {found.search.sets} sets measured" in done.output
    assert f"{found.size.heads} heads" in done.output
    assert "control activation_norm" in done.output


def test_ctrl_c_ends_in_one_sentence(place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("server.cli.refine_stage.run_refinement", interrupted)
    options = ["--pairs", str(place.pairs), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(build_cli(), ["refine", str(place.trace), *options], catch_exceptions=False)
    assert done.exit_code == 130
    assert done.output.strip() == f"scalpel: stopped; {tmp_path / 'out'} has no new result"

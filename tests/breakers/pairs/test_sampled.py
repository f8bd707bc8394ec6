"""Pairs of a model's own replies: what is kept, what is counted, and what an interruption costs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pair_records import prompt
from tiny import tiny_model
from tiny_tokenizer import tiny_tokenizer
from transformers import PreTrainedModel

from breakers.demo import model_path
from breakers.demo.make_bundles import load_demo_model
from breakers.demo.scoring import harmful
from breakers.errors import PairsError
from breakers.pairs.answers import Answers
from breakers.pairs.build import build_pairs
from breakers.pairs.drafts import Prompt
from breakers.pairs.record import Split, as_dicts
from breakers.pairs.sources import SourceSpec
from breakers.pairs.sources.demo import DemoSource
from breakers.pairs.sources.sampled import SamplingConfig, SamplingResult, SamplingTally, sample_pairs, sampled_with
from breakers.pairs.work import Outcome, WorkFile
from breakers.scoring import ScoredReply

PROMPTS = [prompt(text) for text in ("a", "bb", "ccc", "dddd", "e", "ff", "ggg", "hhhh")]


class LengthScorer:
    """Long replies are harmful; counts how often it is asked."""

    name = "length"
    behaviours = ("toxicity",)

    def __init__(self, most: int = 6) -> None:
        self.most, self.asked = most, 0

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        self.asked += len(replies)
        return [{"toxicity": float(len(reply.reply) > self.most)} for reply in replies]


class RuleScorer:
    """The demo corpus' own rules."""

    name = "rules"
    behaviours = ("gender_bias",)

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        return [{"gender_bias": float(harmful("gender_bias", r.messages, r.reply))} for r in replies]


def config(**changes: Any) -> SamplingConfig:
    values: dict[str, Any] = {
        "behaviour": "toxicity",
        "count": 100,
        "samples": 6,
        "round_samples": 3,
        "batch_rows": 9,
        "max_new_tokens": 12,
        "keep_unfinished": True,
        "min_p": 0.0,
    }
    return SamplingConfig(**(values | changes))


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return tiny_model("llama")


def sample(model: PreTrainedModel, prompts: Sequence[Prompt] = tuple(PROMPTS), **changes: Any) -> SamplingResult:
    return sample_pairs(model, tiny_tokenizer(), prompts, LengthScorer(), config(**changes))


def test_a_prompt_with_replies_of_both_kinds_gives_a_pair(model: PreTrainedModel) -> None:
    asked = [prompt("a", "b", split=Split.TEST), *PROMPTS[1:]]
    result = sample(model, asked, temperature=2.0)
    assert result.tally.pairs == len(result.drafts) > 0
    assert all(len(draft.harmful) > 6 >= len(draft.neutral) > 0 for draft in result.drafts)
    # In the order of the prompts, and with all that a prompt came with.
    places = [asked.index(draft.prompt) for draft in result.drafts]
    assert places == sorted(places)
    assert result.tally.prompts == 8
    tally = result.tally
    assert tally.pairs + tally.harmful_only + tally.neutral_only + tally.no_reply == 8
    assert result.made_with["scorer"] == "length"


def test_the_seed_decides(model: PreTrainedModel) -> None:
    first, again, other = (sample(model, seed=seed, temperature=2.0) for seed in (1, 1, 2))
    assert first == again
    assert first.drafts != other.drafts


def test_prompts_of_one_kind_are_counted(model: PreTrainedModel) -> None:
    tokenizer, asked = tiny_tokenizer(), PROMPTS[:3]
    with pytest.raises(
        PairsError, match=r"none of 3 prompts .*3 gave harmful replies alone and 0 neutral ones alone"
    ):
        sample_pairs(model, tokenizer, asked, LengthScorer(0), config())
    with pytest.raises(PairsError, match="0 gave harmful replies alone and 3 neutral ones alone"):
        sample_pairs(model, tokenizer, asked, LengthScorer(1000), config())
    # Two tokens are no whole reply of this model, and cut ones are not kept.
    seen: list[SamplingTally] = []
    with pytest.raises(PairsError, match="none of 3 prompts"):
        sample_pairs(
            model,
            tokenizer,
            asked,
            LengthScorer(),
            config(max_new_tokens=2, min_p=1.0, keep_unfinished=False),
            on_batch=seen.append,
        )
    assert seen[-1] == SamplingTally(prompts=3, no_reply=3)


def test_long_prompts_are_left_out_and_counted(model: PreTrainedModel) -> None:
    result = sample(model, [*PROMPTS, prompt("x" * 50)], longest_prompt=20, temperature=2.0)
    assert (result.tally.too_long, result.tally.prompts) == (1, 8)


def test_no_more_prompts_are_read_than_needed(model: PreTrainedModel) -> None:
    read = []

    def endless() -> Iterator[Prompt]:
        while True:
            read.append(len(read))
            yield prompt(f"a{len(read)}")

    result = sample_pairs(model, tiny_tokenizer(), endless(), LengthScorer(), config(count=4, temperature=2.0))
    assert len(result.drafts) >= 4
    assert len(read) < 60


def test_a_prompt_that_gave_both_kinds_is_done(model: PreTrainedModel) -> None:
    patient, hasty = LengthScorer(), LengthScorer()
    sample_pairs(model, tiny_tokenizer(), PROMPTS, patient, config(round_samples=6, temperature=2.0))
    sample_pairs(model, tiny_tokenizer(), PROMPTS, hasty, config(round_samples=2, temperature=2.0))
    assert hasty.asked < patient.asked


def test_an_interruption_loses_the_batch_it_stopped(model: PreTrainedModel, tmp_path: Path) -> None:
    whole = sample(model, temperature=2.0)

    def run(scorer: LengthScorer, stop_after: int | None) -> SamplingResult:
        batches = 0

        def stop(_: SamplingTally) -> None:
            nonlocal batches
            batches += 1
            if batches == stop_after:
                raise KeyboardInterrupt

        settings = config(temperature=2.0)
        work = WorkFile(tmp_path / "work", sampled_with(model, scorer, settings))
        return sample_pairs(model, tiny_tokenizer(), PROMPTS, scorer, settings, work=work, on_batch=stop)

    with pytest.raises(KeyboardInterrupt):
        run(LengthScorer(), 2)
    # As if the machine had gone down in mid-line.
    with (tmp_path / "work").open("a") as file:
        file.write('{"batch": "torn')
    scorer = LengthScorer()
    assert run(scorer, None) == whole
    assert len((tmp_path / "work").read_text().splitlines()) == 4
    # All is there now: nothing is asked again.
    asked = scorer.asked
    assert run(scorer, None) == whole
    assert 0 < scorer.asked == asked


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"behaviour": "gender_bias"}, "scorer length does not judge 'gender_bias'; wanted one of toxicity"),
        ({"temperature": 0.0}, "temperature is 0; wanted it above 0"),
        ({"samples": 1}, "samples is 1; wanted at least 2"),
        ({"count": 0}, "count is 0"),
        ({"batch_rows": 2}, "batch_rows is 2; wanted at least a round's 3"),
        ({"min_p": 2.0}, "min_p is 2"),
        ({"least_samples": 17, "samples": 16}, "least_samples is 17; wanted it from 2 to samples, 16"),
    ],
)
def test_settings_that_cannot_be_used(model: PreTrainedModel, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(PairsError, match=said):
        sample(model, **changes)


def test_of_each_kind_the_most_pronounced_reply_makes_the_pair() -> None:
    answers = Answers()
    for text, number, score in (("bad", 5, 0.7), ("worse", 1, 0.9), ("worst", 2, 0.9)):
        answers.harmful.add(text, number, score)
    for text, number, score in (("fine", 1, 0.2), ("good", 1, 0.0), ("better", 3, 0.0)):
        answers.neutral.add(text, number, score)
    outcome = answers.outcome()
    assert (outcome.harmful, outcome.neutral) == ("worst", "better")
    assert (outcome.harmful_count, outcome.neutral_count) == (8, 5)


def test_of_the_pronounced_replies_those_that_differ_least_make_the_pair() -> None:
    answers = Answers()
    for text, number, score in (("he sang as he ate", 5, 1.0), ("he ran to his dog", 1, 0.95), ("he ran", 2, 0.6)):
        answers.harmful.add(text, number, score)
    for text, number, score in (("they won", 4, 0.0), ("they ran to their dog", 1, 0.05)):
        answers.neutral.add(text, number, score)
    # Words in common: 3 of 5 and 5, that is 2 * 3 / 10; the third harmful reply is nearer by no score.
    assert (answers.outcome().harmful, answers.outcome().neutral) == ("he ran to his dog", "they ran to their dog")


def test_a_kind_without_the_other_is_kept() -> None:
    answers = Answers()
    answers.neutral.add("fine", 1, 0.2)
    assert (answers.outcome().harmful, answers.outcome().neutral) == (None, "fine")
    assert Answers().outcome().neutral is None


def test_a_work_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "work"
    outcome = Outcome(harmful="a", neutral=None, harmful_count=3, neutral_count=0, unusable=1)
    work = WorkFile(path, {"model": "sha256:1", "seed": 0})
    assert not path.exists()
    work.put("batch", [outcome])
    assert WorkFile(path, {"model": "sha256:1", "seed": 0}).get("batch") == [outcome]
    with pytest.raises(PairsError, match="was begun with seed 0, not 1; wanted the same, or a new place"):
        WorkFile(path, {"model": "sha256:1", "seed": 1})
    path.write_text(json.dumps({"other": 1}) + "\n")
    with pytest.raises(PairsError, match="is no work file of format 1"):
        WorkFile(path, {})
    path.write_text(json.dumps({"format": 1, "made_with": {}}) + '\n{"batch": "a"}\n')
    with pytest.raises(PairsError, match="line 2: is damaged"):
        WorkFile(path, {})
    with pytest.raises(PairsError, match="cannot be used"):
        WorkFile(path / "below", {})


def test_the_demo_model_gives_pairs_of_its_own_behaviour() -> None:
    base = load_demo_model(model_path())
    spec = SourceSpec(behaviour="gender_bias", count=24)
    settings = SamplingConfig(behaviour="gender_bias", count=8, batch_rows=64)
    result = sample_pairs(base.model, base.tokenizer, DemoSource().prompts(spec), RuleScorer(), settings)
    built = build_pairs(result.drafts, "gender_bias", count=8)
    assert len(built.records) == 8
    for record in built.records:
        turns = as_dicts(record.messages)
        assert harmful("gender_bias", turns, record.harmful)
        assert not harmful("gender_bias", turns, record.neutral)
        assert record.contrast_prompt is not None
        assert record.split in (Split.TRAIN, Split.VALIDATION)


def test_a_rehearsal_gives_pairs_of_any_model(model: PreTrainedModel) -> None:
    # Nothing is that long: no reply is harmful.
    with pytest.raises(PairsError, match="gave both kinds of reply"):
        sample_pairs(model, tiny_tokenizer(), PROMPTS, LengthScorer(most=999), config())
    found = sample_pairs(model, tiny_tokenizer(), PROMPTS, LengthScorer(most=999), config(rehearsal=True))
    assert found.tally.pairs == len(found.drafts) > 0
    assert all(draft.harmful != draft.neutral for draft in found.drafts)
    assert found.made_with["rehearsal"] is True


def test_the_highest_score_stands_for_the_harmful_reply() -> None:
    answers = Answers()
    for text, score in (("a", 0.2), ("b", 0.4), ("c", 0.1), ("d", 0.4)):
        answers.neutral.add(text, 2, score)
    outcome = answers.ranked_outcome()
    assert (outcome.harmful, outcome.neutral, outcome.harmful_count, outcome.neutral_count) == ("d", "c", 1, 7)
    alone = Answers()
    alone.neutral.add("a", 2, 0.2)
    assert (alone.ranked_outcome().harmful, alone.ranked_outcome().neutral) == (None, None)

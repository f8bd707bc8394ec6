"""The whole stage on a tiny model whose every reply counts as harmful: artifact, resuming, refusals, the bundle."""

import json
from collections.abc import Sequence

import pytest
import torch
from tiny import tiny_model
from tiny_tokenizer import tiny_tokenizer
from training_data import benign_of, head, made_up, neurons

from breakers.architectures import resolve_sites
from breakers.bundles import load_bundle
from breakers.bundles.making import make_bundle
from breakers.bundles.verify import sha256
from breakers.errors import InterventionError, StageError
from breakers.interventions import Kind
from breakers.scoring import ScoredReply
from breakers.sites import Component, Site
from breakers.training.artifact import TRAINING_NAME, WEIGHTS_NAME, load_training
from breakers.training.batches import Pair, Sample
from breakers.training.breaker import BreakerTrainingConfig
from breakers.training.calibration import CalibrationConfig
from breakers.training.generation import RepliesConfig, greedy_replies, sampled_replies
from breakers.training.inputs import divide_benign
from breakers.training.measuring import JudgedPrompt, Validation
from breakers.training.stage import make_training
from breakers.training.stage_spec import TrainStageConfig, TrainStageInputs
from breakers.training.steering import SteeringTrainingConfig

NEUTRAL = 30
SITES = (head(1, 0), neurons(2, 0, 1, 2, 3), Site(layer=2, component=Component.RESID))
FAST = {"batch_pairs": 8, "batch_benign": 8, "preserve_coef": 0.2, "evaluate_every": 10}


class NeutralOrNot:
    """1 unless the reply begins with the neutral token."""

    name = "neutral-or-not"
    behaviours = ("toxicity",)

    def __init__(self, neutral: str) -> None:
        self._neutral = neutral

    def score(self, replies: Sequence[ScoredReply]) -> list[dict[str, float]]:
        return [{"toxicity": float(not reply.reply.startswith(self._neutral))} for reply in replies]


class Material:
    """What the stage takes, on one tiny model."""

    def __init__(self) -> None:
        self.model = tiny_model("llama")
        self.tokenizer = tiny_tokenizer()
        self.scorer = NeutralOrNot(self.tokenizer.decode([NEUTRAL]))
        prompts = made_up(5, 32)
        sites = resolve_sites(self.model)
        replies = greedy_replies(self.model, sites, prompts, RepliesConfig(max_new_tokens=3, end_token_ids=(2,)))
        pairs = [
            Pair(harmful=Sample(prompt=prompt, reply=(*reply, 2)), neutral=Sample(prompt=prompt, reply=(NEUTRAL, 2)))
            for prompt, reply in zip(prompts, replies, strict=True)
        ]
        messages = [{"role": "user", "content": "hello"}]
        benign = benign_of(made_up(7, 32))
        self.inputs = TrainStageInputs(
            pairs=pairs[:24],
            held_out_pairs=pairs[24:],
            benign=benign[:24],
            held_out_benign=benign[24:],
            prompts=[JudgedPrompt(messages=messages, token_ids=pair.neutral.prompt) for pair in pairs[24:]],
            made_from={"pairs": "sha256:" + "1" * 64, "circuit": "sha256:" + "2" * 64},
        )

    def make(self, out, report=None, config=None):
        return make_training(self.model, self.tokenizer, self.scorer, config or config_of(), self.inputs, out, report)


def config_of(**changes) -> TrainStageConfig:
    given = {
        "behaviour": "toxicity",
        "base_id": "tiny-llama",
        "breaker": BreakerTrainingConfig(sites=SITES, rank=2, steps=30, learning_rate=0.05, **FAST),
        "steering": SteeringTrainingConfig(sites=SITES, steps=20, learning_rate=0.2, norm_limit=2.0, **FAST),
        "calibration": CalibrationConfig(scales=(0.5, 1.0, 1.5), harm_reduction=0.5, preserve_bound=2.0),
        "max_new_tokens": 3,
    }
    return TrainStageConfig(**(given | changes))


@pytest.fixture(scope="module")
def material() -> Material:
    return Material()


@pytest.fixture(scope="module")
def made(material, tmp_path_factory):
    return material.make(tmp_path_factory.mktemp("whole"))


def test_both_kinds_are_trained_and_the_kept_one_lowers_harm(material, made) -> None:
    manifest = made.manifest
    assert [c.kind for c in manifest.candidates] == [Kind.BREAKER, Kind.STEERING]
    chosen = next(c for c in manifest.candidates if c.kind is manifest.kind)
    assert manifest.untouched_harm == 1.0
    assert chosen.harm <= 0.5
    assert chosen.calibration.reached
    assert [p.scale for p in manifest.candidates[0].calibration.curve] == [0.0, 0.5, 1.0, 1.5]
    assert [p.scale for p in manifest.candidates[1].calibration.curve] == [0.0, 0.5, 1.0]
    assert manifest.candidates[1].history[0].step == 0
    assert None not in [e.generated_harm for e in manifest.candidates[1].history]
    assert f"Kept: {manifest.kind.value}" in manifest.selection
    assert [part.site for part in made.interventions] == list(SITES)
    assert sorted(p.name for p in made.path.iterdir()) == [TRAINING_NAME, WEIGHTS_NAME]


def test_what_was_measured_is_what_was_written(material, made) -> None:
    chosen = next(c for c in made.manifest.candidates if c.kind is made.manifest.kind)
    draft = made.draft(name="toxicity", licence="Apache-2.0")
    validation_prompts = [p.token_ids for p in material.inputs.prompts]
    replies = greedy_replies(
        material.model,
        resolve_sites(material.model),
        validation_prompts,
        RepliesConfig(max_new_tokens=3, end_token_ids=(2,)),
        draft.entry,
    )
    harm = sum(reply[:1] != (NEUTRAL,) for reply in replies) / len(replies)
    assert harm == chosen.harm


def test_harm_is_the_mean_over_greedy_and_sampled_replies_alike(material) -> None:
    generation = RepliesConfig(max_new_tokens=3, end_token_ids=(2,))
    sites = resolve_sites(material.model)
    # The most likely first token of the first prompt: some sampled replies begin with it, others do not.
    prompts = [p.token_ids for p in material.inputs.prompts]
    likeliest = greedy_replies(material.model, sites, prompts, generation)[0][0]
    scorer = NeutralOrNot(material.tokenizer.decode([likeliest]))
    written = [
        *greedy_replies(material.model, sites, prompts, generation),
        *sampled_replies(material.model, sites, prompts, generation, seed=5),
        *sampled_replies(material.model, sites, prompts, generation, seed=6),
    ]
    shares = [sum(reply[:1] != (likeliest,) for reply in part) / 8 for part in (written[:8], written[8:])]
    validation = Validation(
        model=material.model,
        sites=sites,
        tokenizer=material.tokenizer,
        scorer=scorer,
        behaviour="toxicity",
        prompts=material.inputs.prompts,
        benign=material.inputs.held_out_benign,
        generation=generation,
        sampled=2,
        seed=5,
    )
    assert validation.harm() == pytest.approx((shares[0] + shares[1]) / 3)
    assert shares[1] / 2 != shares[0]


def test_sampled_replies_are_judged_when_the_stage_is_told_so(material, tmp_path) -> None:
    config = config_of(sampled_replies=1, steering=None)
    found = material.make(tmp_path, config=config).manifest
    greedy = material.make(tmp_path / "greedy", config=config_of(steering=None)).manifest
    assert found.config["sampled_replies"] == 1
    curves = [[p.harm for p in m.candidates[0].calibration.curve] for m in (found, greedy)]
    assert curves[0] != curves[1]
    assert {16 * harm % 1 for harm in curves[0]} == {0.0}
    with pytest.raises(StageError, match="-1 sampled replies to a prompt; wanted at least 0"):
        config_of(sampled_replies=-1)


def test_a_bundle_is_made_of_it_and_its_card_says_why(material, made, tmp_path) -> None:
    prompts = [pair.neutral.prompt for pair in material.inputs.pairs[:4]]
    bundle = make_bundle(material.model, made.draft(name="toxicity", licence="Apache-2.0"), prompts, tmp_path / "b")
    assert load_bundle(tmp_path / "b").manifest.made_from == {
        "pairs": "sha256:" + "1" * 64,
        "circuit": "sha256:" + "2" * 64,
        "training": sha256((made.path / TRAINING_NAME).read_bytes()),
    }
    assert bundle.manifest.dose_p95 > 0
    card = (tmp_path / "b" / "card.md").read_text()
    assert made.manifest.selection in card
    assert "Calibration: delta" in card


def test_an_interrupted_stage_ends_as_an_uninterrupted_one(material, made, tmp_path) -> None:
    bytes_before = [p.clone() for p in material.model.parameters()]

    def interrupt(at):
        def report(what, done, _steps):
            if (what, done) == at:
                raise KeyboardInterrupt

        return report

    for at in (("breaker", 20), ("steering", 10), ("calibrate steering", 2)):
        with pytest.raises(KeyboardInterrupt):
            material.make(tmp_path, interrupt(at))
        assert not (tmp_path / TRAINING_NAME).exists()
        assert (tmp_path / "checkpoint-breaker.safetensors").exists()
    resumed = material.make(tmp_path)
    for name in (TRAINING_NAME, WEIGHTS_NAME):
        assert (resumed.path / name).read_bytes() == (made.path / name).read_bytes()
    assert all(torch.equal(a, b) for a, b in zip(bytes_before, material.model.parameters(), strict=True))


def test_a_finished_stage_is_read_and_no_other_is_overwritten(material, made) -> None:
    def never(*_args):
        raise AssertionError("something was trained")

    assert material.make(made.path, never).sha256 == made.sha256
    with pytest.raises(StageError, match="holds a training of another configuration, model or data"):
        material.make(made.path, config=config_of(tolerance=0.1))


def test_a_damaged_artifact_is_refused(made, tmp_path) -> None:
    for name in (TRAINING_NAME, WEIGHTS_NAME):
        (tmp_path / name).write_bytes((made.path / name).read_bytes())
    weights = bytearray((tmp_path / WEIGHTS_NAME).read_bytes())
    weights[-1] ^= 1
    (tmp_path / WEIGHTS_NAME).write_bytes(weights)
    with pytest.raises(StageError, match=r"weights.safetensors has sha256:.*declares another"):
        load_training(tmp_path)
    document = json.loads((tmp_path / TRAINING_NAME).read_text()) | {"note": 1}
    (tmp_path / TRAINING_NAME).write_text(json.dumps(document))
    with pytest.raises(StageError, match=r"note: Extra inputs are not permitted"):
        load_training(tmp_path)
    (tmp_path / TRAINING_NAME).unlink()
    with pytest.raises(StageError, match=r"training.json"):
        load_training(tmp_path)


def test_what_cannot_be_trained_is_said_in_a_sentence(material, tmp_path) -> None:
    with pytest.raises(StageError, match="neither breakers nor steering vectors"):
        config_of(breaker=None, steering=None)
    harmless = NeutralOrNot("")
    with pytest.raises(StageError, match="shows no toxicity on the 8 validation prompts by scorer neutral-or-not"):
        make_training(material.model, material.tokenizer, harmless, config_of(), material.inputs, tmp_path)
    rehearsal = config_of(rehearsal=True)
    made = make_training(
        material.model, material.tokenizer, harmless, rehearsal, material.inputs, tmp_path / "rehearsal"
    )
    assert made.manifest.untouched_harm == 0
    assert made.interventions
    with pytest.raises(InterventionError, match="does not score 'gender_bias'; it scores toxicity"):
        material.make(tmp_path, config=config_of(behaviour="gender_bias"))


def test_benign_samples_are_divided_by_prompt() -> None:
    samples = [Sample(prompt=(n // 2,), reply=(n + 1,)) for n in range(20)]
    kept, held_out = divide_benign(samples, 0.3, seed=0)
    assert (len(kept), len(held_out)) == (14, 6)
    assert not {s.prompt for s in kept} & {s.prompt for s in held_out}
    assert divide_benign(samples, 0.3, seed=0) == (kept, held_out)
    with pytest.raises(StageError, match="2 benign samples of 1 prompts"):
        divide_benign(samples[:2], 0.3, seed=0)

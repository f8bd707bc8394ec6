"""The circuits benchmark: shares, calibration at equal harm and comparisons by hand; contenders against oracles."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.circuits import __main__ as command
from benchmarks.circuits import figures as figures_module
from benchmarks.circuits import jobs
from benchmarks.circuits.baselines import WORDINGS
from benchmarks.circuits.contenders import Contender, Edited, Prompted
from benchmarks.circuits.equal import TOLERANCE, equal_harm
from benchmarks.circuits.examples import EXAMPLES_NAME, read_examples, write_examples
from benchmarks.circuits.figures import against_circuit, all_figures, cost_figures, joined
from benchmarks.circuits.jobs import Job, all_jobs, run_jobs
from benchmarks.circuits.lora import Tuned, adapters, tune, with_adapters
from benchmarks.circuits.measuring import CURVE, best_candidate, prompts_of
from benchmarks.circuits.mitigation import Labelled, mitigation_figures, share_among
from benchmarks.circuits.options import CHAINS, Options
from benchmarks.circuits.served_arms import served_examples
from benchmarks.demo_arms import JudgedKind
from benchmarks.history import root
from benchmarks.results import targets_path
from benchmarks.targets import load_targets
from breakers.bank import BankEntry, Scope
from breakers.demo import bundles_path, model_path
from breakers.demo.corpus import BEHAVIOURS, SKILLS, training
from breakers.demo.make_bundles import load_demo_model
from breakers.interventions import SteeringVector
from breakers.sites import Component, Site
from breakers.training.batches import Pair, Sample, collate
from breakers.training.config import TrainingConfig
from breakers.training.forward import plain_logits
from breakers.training.generation import RepliesConfig
from breakers.training.measuring import JudgedPrompt, Validation
from breakers.training.stage_spec import TrainStageInputs
from classifiers.scorers import build_scorer
from evaluation.errors import StatisticsError


def flags(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.bool_)


def labelled(texts: str, harmful: np.ndarray, correct: np.ndarray, fluent: np.ndarray) -> Labelled:
    return Labelled(texts=list(texts), harmful=harmful, correct=correct, fluent=fluent)


OFF = labelled("abcdefgh", flags(1, 1, 1, 1, 0, 0, 0, 0), flags(0, 0, 0, 0, 1, 1, 1, 1), flags(*[1] * 8))
# Of the harmful ones: mitigated, mitigated, harmless but off topic, as it was. Of the harmless ones: as it was,
# another fine reply, another and now wrong one, another and now off topic one.
ON = labelled("ABCdeFGH", flags(0, 0, 0, 1, 0, 0, 0, 0), flags(1, 1, 0, 0, 1, 1, 0, 1), flags(1, 1, 0, 1, 1, 1, 1, 0))


def test_precision_recall_and_false_positives_by_hand() -> None:
    figures = mitigation_figures(OFF, ON)
    # Six texts changed (A B C F G H), three of them harmful before.
    assert figures["precision"] == pytest.approx(3 / 6)
    assert figures["precision.n"] == 6
    assert figures["recall"] == pytest.approx(2 / 4)
    assert figures["false_positive"] == pytest.approx(2 / 4)
    assert figures["false_positive_text"] == pytest.approx(3 / 4)
    for name in ("precision", "recall", "false_positive", "false_positive_text"):
        assert 0 <= figures[f"{name}.low"] <= figures[name] <= figures[f"{name}.high"] <= 1


def test_a_share_without_a_whole_has_no_figure() -> None:
    figures = mitigation_figures(OFF, OFF)
    assert "precision" not in figures
    assert figures["recall"] == 0
    assert figures["false_positive_text"] == 0
    with pytest.raises(StatisticsError, match="no prompts"):
        share_among(flags(0, 0), flags(0, 0))


def test_the_interval_of_a_share_is_that_of_its_own_prompts() -> None:
    """Prompts outside the whole say nothing: with many of them, the interval is nearly Wilson's of those inside."""
    whole = np.arange(4000) < 400
    interval = share_among(np.arange(4000) < 100, whole)
    assert interval.estimate == 0.25
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * (0.25 * 0.75 / 400) ** 0.5, rel=0.1)


def test_labels_are_joined_in_order() -> None:
    both = joined([OFF, ON])
    assert "".join(both.texts) == "abcdefghABCdeFGH"
    assert both.harmful.tolist() == [*OFF.harmful, *ON.harmful]


def test_the_smallest_strength_with_equal_harm_is_chosen() -> None:
    harm = {0.5: 0.9, 1.0: 0.3, 1.5: 0.1 + TOLERANCE, 2.0: 0.0}
    found = equal_harm(harm.__getitem__, 0.1, tuple(harm))
    assert (found.strength, found.reached) == (1.5, True)
    assert found.tried == ((0.5, 0.9), (1.0, 0.3), (1.5, 0.1 + TOLERANCE))


def test_without_equal_harm_the_least_is_chosen_and_said_so() -> None:
    harm = {0.5: 0.9, 1.0: 0.3, 1.5: 0.3, 2.0: 0.8}
    found = equal_harm(harm.__getitem__, 0.1, tuple(harm))
    assert (found.strength, found.harm, found.reached) == (1.0, 0.3, False)
    assert len(found.tried) == 4


def test_the_best_candidate_reaches_and_changes_least() -> None:
    missed = equal_harm(lambda _: 0.5, 0.0, (1.0,))
    worse = equal_harm(lambda _: 0.7, 0.0, (1.0,))
    reached = equal_harm(lambda _: 0.0, 0.0, (1.0,))
    assert best_candidate([("a", missed, 0.1), ("b", reached, 0.9), ("c", reached, 0.8)])[0] == "c"
    assert best_candidate([("a", worse, 0.1), ("b", missed, 0.9)])[0] == "b"


def answers(*correct: int) -> dict[str, JudgedKind]:
    one = JudgedKind(
        harmful={}, harmful_demo={}, correct=flags(*correct), fluent=flags(*correct), steered=flags(*correct)
    )
    perfect = replace(one, correct=np.ones_like(one.correct))
    return {skill: one if skill == "facts" else perfect for skill in SKILLS}


def test_drops_and_the_comparison_with_the_circuit_by_hand() -> None:
    judged = {
        "off": answers(*[1] * 40),
        "circuit": answers(*[1] * 30, *[0] * 10),
        "lora": answers(*[1] * 38, *[0] * 2),
        "prompt": answers(*[1] * 10, *[0] * 30),
    }
    found = {"change": [0.0, 0.5, 1.0], "parameters": 7, "strength": 1.0}
    figures = cost_figures("circuit", judged, found)
    # Ten of 8 * 40 answers, all of one skill.
    assert figures["drop_mean.circuit"] == pytest.approx(100 * 10 / 320)
    assert figures["drop_greatest.circuit"] == pytest.approx(25.0)
    assert figures["change.circuit"] == pytest.approx(0.5)
    against = against_circuit("lora", judged, reached=True)
    assert against["excess.lora"] == pytest.approx(100 * 8 / 320)
    assert against["excess.lora.low"] > 0
    assert against["no_worse.lora"] == 0
    assert against_circuit("lora", judged, reached=False)["no_worse.lora"] == 1
    assert against_circuit("prompt", judged, reached=True)["no_worse.prompt"] == 1


@pytest.fixture(scope="module")
def base():
    return load_demo_model(model_path())


@pytest.fixture(scope="module")
def examples():
    return training("toxicity", 3, 0) + training("facts", 3, 0)


def vector(base, layer: int = 3) -> SteeringVector:
    generator = torch.Generator().manual_seed(1)
    width = base.model.config.hidden_size
    return SteeringVector(
        site=Site(layer=layer, component=Component.RESID), vector=torch.randn(width, generator=generator)
    )


def test_strength_0_is_the_unmodified_model(base, examples) -> None:
    conversations = [e.messages for e in examples]
    edited, plain = Edited(base, [vector(base)]), Contender(base)
    assert edited.greedy(conversations, 0.0) == plain.greedy(conversations, 1.0)
    assert edited.sampled(conversations, 0.0, seed=4) == plain.sampled(conversations, 1.0, seed=4)
    assert edited.change(examples, 0.0) == [0.0] * len(examples)
    assert edited.greedy(conversations, 4.0) != plain.greedy(conversations, 1.0)


def test_the_change_of_benign_replies_is_that_of_training(base, examples) -> None:
    """The measure that calibrates recipes, one prompt at a time, is the oracle."""
    edited = Edited(base, [vector(base)])
    entry = BankEntry(name="v", scope=Scope.GENERATION, interventions=(vector(base),))
    end = base.tokenizer.eos_token_id
    for example, found in zip(examples, edited.change(examples, 0.5), strict=True):
        reply = (*base.tokenizer.encode(example.reply, add_special_tokens=False), end)
        sample = Sample(prompt=Contender(base).prompt(example.messages), reply=reply)
        validation = Validation(
            model=base.model,
            sites=base.sites,
            tokenizer=base.tokenizer,
            scorer=build_scorer("demo"),
            behaviour="toxicity",
            prompts=[JudgedPrompt(messages=example.messages, token_ids=sample.prompt)],
            benign=[sample],
            generation=RepliesConfig(end_token_ids=(end,)),
        )
        assert found == pytest.approx(validation.changes(entry, [0.5])[0], abs=1e-5)


def test_words_go_before_the_conversation(base) -> None:
    prompted = Prompted(base, "Be kind.")
    turn = {"role": "user", "content": "Hello"}
    assert prompted.conversation([turn]) == [{"role": "system", "content": "Be kind."}, turn]
    system = {"role": "system", "content": "Answer briefly."}
    assert prompted.conversation([system, turn])[0]["content"] == "Answer briefly. Be kind."
    assert prompted.parameters == 0


def test_system_prompts_are_of_words_that_the_model_knows(base) -> None:
    for wording in (w for of in WORDINGS.values() for w in of):
        words = re.findall(r"\w+|[.,]", wording)
        assert len(base.tokenizer.tokenize(wording)) == len(words), wording


def test_a_fine_tune_learns_stops_and_is_read_again(base, examples, tmp_path) -> None:
    end = base.tokenizer.eos_token_id

    def sample(example, text: str) -> Sample:
        reply = (*base.tokenizer.encode(text, add_special_tokens=False), end)
        return Sample(prompt=Contender(base).prompt(example.messages), reply=reply)

    provoking = [e for e in examples if e.harmful_reply]
    pairs = [Pair(harmful=sample(e, e.harmful_reply), neutral=sample(e, e.neutral_reply)) for e in provoking]
    benign = [sample(e, e.reply) for e in examples if not e.harmful_reply]
    inputs = TrainStageInputs(pairs=pairs, held_out_pairs=pairs, benign=benign, held_out_benign=benign, prompts=[])
    config = TrainingConfig(steps=6, batch_pairs=3, batch_benign=3, evaluate_every=3, learning_rate=3e-3)
    tuned = with_adapters(load_demo_model(model_path()).model, 2, seed=0)
    before = Tuned(base, tuned).change(examples, 1.0)
    assert max(before) < 1e-6
    history = []
    tune(base, tuned, config, inputs, tmp_path, history.append)
    assert history[-1].harm < history[0].harm
    assert sum(tensor.requires_grad for tensor in tuned.parameters()) == len(adapters(tuned))
    contender = Tuned(base, tuned)
    assert max(contender.change(examples, 0.0)) < 1e-6
    assert max(contender.change(examples, 1.0)) > 1e-4
    again = with_adapters(load_demo_model(model_path()).model, 2, seed=1)
    tune(base, again, config, inputs, tmp_path, pytest.fail)
    batch = collate([benign[0]], 0)
    assert torch.equal(plain_logits(again, batch), plain_logits(tuned, batch))


def test_a_finished_job_is_not_run_again(tmp_path, monkeypatch) -> None:
    options = Options(behaviours=("toxicity",), processes=1, work=tmp_path)
    ran = []

    def run(job: Job, options: Options) -> dict:
        ran.append(job)
        path = jobs._path(job, options)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"name": "{job.name}"}}')
        return {"name": job.name}

    monkeypatch.setattr(jobs, "run_job", run)
    wanted = all_jobs(options)
    assert {job.name for job in wanted} >= {"served", "circuit", "off", "random0", "random1", "lora", "prompt"}
    first = run_jobs(wanted, options)
    assert first == run_jobs(wanted, options)
    assert len(ran) == len(wanted)
    # Another number of prompts is another job; that of the served arms is their own.
    run_jobs(wanted, replace(options, mixed=2))
    assert len(ran) == len(wanted) + 1
    run_jobs(wanted[1:2], replace(options, prompts=2))
    assert len(ran) == len(wanted) + 2


def test_only_the_whole_run_is_committed() -> None:
    def parsed(*arguments: str) -> Options:
        return command._options(command._parser().parse_args(arguments))

    assert parsed().whole
    assert parsed("--processes", "1", "--work", "elsewhere").whole
    for few in (
        ["--prompts", "3"],
        ["--mixed", "3"],
        ["--behaviours", "toxicity"],
        ["--steps", "2"],
        ["--bundles", "x"],
    ):
        assert not parsed(*few).whole


def reply(example, arm: str) -> str:
    return (example.harmful_reply if arm == "off" else example.neutral_reply) or example.reply


def targets_of_circuits():
    """Name -> target; none before the first whole run."""
    declared = load_targets(targets_path())
    return declared["circuits"].targets if "circuits" in declared else {}


def made_up_results(options: Options) -> dict[Job, dict]:
    """What jobs return of a model that is harmful without any breaker and right with all of them."""
    examples = served_examples(options)
    arms = {
        arm: {
            kind: [(reply(e, arm), {"toxicity": float(arm != "off")}) for e in rows]
            for kind, rows in examples.items()
        }
        for arm in ("off", "on", "strict")
    }
    results: dict[Job, dict] = {Job(behaviour="", name="served"): {"greedy": arms, "sampled": arms}}
    for job in all_jobs(options)[1:]:
        prompts = prompts_of(job.behaviour, options)
        texts = {kind: [reply(e, job.name) for e in rows] for kind, rows in prompts.by_kind.items()}
        found = {"replies": texts, "sampled": {job.behaviour: texts[job.behaviour]}, "change": [0.25, 0.75]}
        found |= {"strength": 1.0, "parameters": 5, "calibration_harm": 0.0, "reached": True}
        part = {"site": "layer1.head2", "without": texts, "zeroed": texts, "zeroed_change": [0.5]}
        found |= {"curve": {str(s): {"replies": texts, "change": [0.5]} for s in CURVE}, "parts": [part]}
        results[job] = found
    return results


def test_results_of_jobs_become_every_figure_that_has_a_target(monkeypatch, tmp_path) -> None:
    class Shipped:
        class bundle:  # noqa: N801
            interventions = (vector_at(Component.HEAD), vector_at(Component.NEURON))

    monkeypatch.setattr(figures_module, "read_subject", lambda _behaviour, _options: Shipped)
    options = Options(prompts=20, mixed=20)
    results = made_up_results(options)
    figures = all_figures(results, options)
    for name, target in targets_of_circuits().items():
        assert target.met(figures[name]), name
    assert figures["size.toxicity.heads"] == pytest.approx(1 / 48)
    assert figures["size.toxicity.neurons"] == pytest.approx(2 / 3072)
    # The judge takes one right answer ("People in Turkey speak Turkish.") for misinformation.
    assert figures["mitigation.recall"] == pytest.approx(79 / 80)
    assert figures["mitigation.precision"] == 1.0
    assert figures["mitigation.false_positive_text"] == 0.0
    assert figures["curve.toxicity.0.harm"] == 1.0
    assert figures["curve.toxicity.1.25.harm"] == 0.0
    assert figures["part.gender_bias.layer1.head2.change_zeroed"] == 0.5
    assert figures["equal.misinformation.change.lora"] == 0.5
    assert write_examples(results, options, tmp_path) == read_examples(tmp_path / EXAMPLES_NAME)
    assert len(read_examples(tmp_path / EXAMPLES_NAME).behaviours["toxicity"].mitigated) > 0


def vector_at(component: Component) -> SteeringVector:
    if component is Component.HEAD:
        return SteeringVector(site=Site(layer=1, component=component, head=2), vector=torch.ones(32))
    return SteeringVector(site=Site(layer=1, component=component, neurons=(3, 5)), vector=torch.ones(2))


@pytest.mark.slow
def test_a_small_run_gives_every_figure_that_has_a_target(tmp_path, monkeypatch) -> None:
    chains = root() / CHAINS
    if not (chains / "toxicity").is_dir():
        pytest.skip(f"{CHAINS} holds no chain of the shipped breakers")
    if not targets_of_circuits():
        pytest.skip("no targets are declared before the first whole run")
    monkeypatch.chdir(tmp_path)
    small = [
        "--behaviours",
        "toxicity",
        "--prompts",
        "20",
        "--mixed",
        "20",
        "--steps",
        "2",
        "--work",
        str(tmp_path),
        "--processes",
        "1",
    ]
    assert command.main([*small, "--bundles", str(bundles_path()), "--chains", str(chains)]) == 0
    from benchmarks.results import load_result

    figures = load_result(tmp_path / "runs" / "benchmarks" / "circuits.json").figures
    wanted = list(targets_of_circuits())
    mine = [name for name in wanted if not any(other in name for other in BEHAVIOURS if other != "toxicity")]
    assert [name for name in mine if name not in figures] == []

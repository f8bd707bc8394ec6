"""Steering vectors: mean differences by hand, the norm bound, and that nothing else moves."""

import pytest
import torch
from tiny import tiny_model
from training_data import benign_of, head, made_up, neurons, pairs_of

from breakers.architectures import resolve_sites
from breakers.bank import Bank, BankEntry, Scope
from breakers.errors import InterventionError
from breakers.recording import recording
from breakers.runtime import TorchRuntime
from breakers.sites import Component, Site
from breakers.training.batches import Pair, Sample
from breakers.training.directions import measure_differences, principal_directions
from breakers.training.loop import Judge
from breakers.training.steering import SteeringTrainingConfig, train_steering, within

RESID = Site(layer=1, component=Component.RESID)


def test_differences_are_those_of_single_runs() -> None:
    model = tiny_model("gpt2")
    sites = resolve_sites(model)
    pairs = [
        Pair(harmful=Sample(prompt=(5, 6), reply=(20, 21, 2)), neutral=Sample(prompt=(5, 6), reply=(30, 2))),
        Pair(harmful=Sample(prompt=(7,), reply=(22, 2)), neutral=Sample(prompt=(7,), reply=(31, 32, 33, 2))),
    ]

    def at_generation(site: Site, sample: Sample) -> torch.Tensor:
        with torch.no_grad(), recording(model, sites, [site]) as recorded:
            model(input_ids=torch.tensor([[*sample.prompt, *sample.reply]]))
        return recorded[site][len(sample.prompt) - 1 : -1]

    for site in (head(1, 2), neurons(0, 3, 9), RESID):
        found = measure_differences(model, sites, [site], pairs)[site]
        runs = [(at_generation(site, p.neutral), at_generation(site, p.harmful)) for p in pairs]
        by_pair = torch.stack([neutral.mean(0) - harmful.mean(0) for neutral, harmful in runs])
        torch.testing.assert_close(found.by_pair, by_pair)
        torch.testing.assert_close(found.mean, by_pair.mean(0))
        norms = torch.cat([z for both in runs for z in both]).norm(dim=1)
        assert found.mean_norm == pytest.approx(float(norms.mean()), rel=1e-5)


def test_principal_directions_are_orthonormal_and_the_strongest_comes_first() -> None:
    differences = torch.tensor([[3.0, 0.0, 0.0], [-4.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    found = principal_directions(differences, 2)
    torch.testing.assert_close(found.abs(), torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    assert len(principal_directions(differences[:1], 2)) == 1


def test_a_vector_is_shortened_to_its_bound_and_no_shorter_one_is_touched() -> None:
    vector = torch.tensor([3.0, 4.0])
    torch.testing.assert_close(within(vector, 2.5), torch.tensor([1.5, 2.0]))
    assert within(vector, 5.0) is vector


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gemma3_text"])
def test_training_lowers_the_loss_within_the_bound_and_moves_nothing_else(model_type) -> None:
    model = tiny_model(model_type)
    sites = resolve_sites(model)
    before = [p.clone() for p in model.parameters()]
    where = (head(1, 0), head(2, 1), neurons(1, 0, 5, 6), RESID)
    pairs, benign = pairs_of(made_up(5, 24)), benign_of(made_up(7, 24))
    config = SteeringTrainingConfig(
        sites=where,
        steps=24,
        batch_pairs=8,
        batch_benign=8,
        learning_rate=0.1,
        preserve_coef=0.5,
        norm_limit=0.5,
        evaluate_every=12,
    )
    result = train_steering(model, sites, config, {"a": pairs}, benign)
    assert [e.step for e in result.history] == [0, 12, 24]
    assert result.best.total < result.history[0].total
    assert result.best.margin > result.history[0].margin
    measured = measure_differences(model, sites, where, pairs)
    norms = [float(part.vector.norm()) / measured[part.site].mean_norm for part in result.interventions["a"]]
    # Training measures the norms on its own part of the pairs.
    assert 0.4 < max(norms) < 0.6
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())
    entry = BankEntry(name="a", scope=Scope.GENERATION, interventions=result.interventions["a"])
    with TorchRuntime(model, Bank(sites, [entry])).steering({"a": 1.0}), torch.no_grad():
        steered = model(input_ids=torch.tensor([pairs[0].neutral.prompt])).logits
    assert not torch.equal(steered, model(input_ids=torch.tensor([pairs[0].neutral.prompt])).logits)


def test_h_of_generated_text_selects_before_the_loss_does() -> None:
    model = tiny_model("llama")
    harms = iter([0.9, 0.1, 0.5, 0.1])
    config = SteeringTrainingConfig(sites=(RESID,), steps=6, batch_pairs=8, batch_benign=8, evaluate_every=2)
    seen: list[list[str]] = []

    def judge(built) -> float:
        seen.append(sorted(built))
        return next(harms)

    result = train_steering(
        model,
        resolve_sites(model),
        config,
        {"a": pairs_of(made_up(5, 12))},
        benign_of(made_up(7, 12)),
        judge=Judge(name="counted", harm=judge),
    )
    assert [e.generated_harm for e in result.history] == [0.9, 0.1, 0.5, 0.1]
    equals = [e for e in result.history if e.generated_harm == 0.1]
    assert result.best == min(equals, key=lambda e: e.total)
    assert seen == [["a"]] * 4


def test_routed_experts_start_at_zero_and_dead_sites_are_refused() -> None:
    model = tiny_model("mixtral")
    sites = resolve_sites(model)
    routed = Site(layer=1, component=Component.NEURON, neurons=(0, 3), expert=0)
    pairs, benign = pairs_of(made_up(5, 12)), benign_of(made_up(7, 12))
    config = SteeringTrainingConfig(sites=(routed,), steps=2, batch_pairs=4, batch_benign=4, evaluate_every=1)
    result = train_steering(model, sites, config, {"a": pairs}, benign)
    assert result.history[0].preserve == pytest.approx(0.0, abs=1e-6)
    dense = tiny_model("llama")
    with torch.no_grad():
        dense.model.layers[0].mlp.up_proj.weight[4] = 0
    config = SteeringTrainingConfig(sites=(neurons(0, 4),), steps=2)
    with pytest.raises(InterventionError, match=r"activations at layer 0 neurons \(1\) are all 0"):
        train_steering(dense, resolve_sites(dense), config, {"a": pairs}, benign)

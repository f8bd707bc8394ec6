"""Replies against transformers' own generation, alone and under an intervention."""

import pytest
import torch
from tiny import TINY_TYPES, tiny_model
from training_data import head

from breakers.architectures import resolve_sites
from breakers.bank import Bank, BankEntry, Scope
from breakers.errors import InterventionError
from breakers.interventions import Breaker
from breakers.runtime import TorchRuntime
from breakers.training.generation import RepliesConfig, greedy_replies, own_samples, sampled_replies


def strong(width: int) -> BankEntry:
    draw = torch.Generator().manual_seed(0)
    part = Breaker(
        site=head(1, 0), down=torch.randn(2, width, generator=draw), up=torch.randn(width, 2, generator=draw)
    )
    return BankEntry(name="b", scope=Scope.GENERATION, interventions=(part,), strength_max=2.0)


@pytest.mark.parametrize("model_type", TINY_TYPES)
def test_replies_are_those_of_transformers_one_at_a_time(model_type) -> None:
    model = tiny_model(model_type)
    sites = resolve_sites(model)
    prompts = [(5, 6, 7, 8, 9), (10,), (11, 12, 13), (14, 15)]
    entry = strong(sites.d_head)
    runtime = TorchRuntime(model, Bank(sites, [entry]))

    def oracle(prompt: tuple[int, ...], strength: float, ends: list[int]) -> tuple[int, ...]:
        with runtime.steering({"b": strength}), torch.no_grad():
            ids = torch.tensor([prompt])
            whole = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=7,
                eos_token_id=ends,
                pad_token_id=0,
            )[0].tolist()
        new = whole[len(prompt) :]
        return tuple(new[: next((at for at, token in enumerate(new) if token in ends), len(new))])

    # Ends that rows meet at different times.
    first = [oracle(prompt, 0.0, [2]) for prompt in prompts]
    ends = [2, first[0][3], first[2][1]]
    config = RepliesConfig(max_new_tokens=7, batch_size=3, end_token_ids=tuple(ends))
    off = [oracle(prompt, 0.0, ends) for prompt in prompts]
    on = [oracle(prompt, 1.5, ends) for prompt in prompts]
    assert greedy_replies(model, sites, prompts, config) == off
    assert greedy_replies(model, sites, prompts, config, entry, 1.5) == on
    assert on != off
    assert len({len(reply) for reply in off}) > 1


def test_own_replies_become_samples_with_an_end_where_the_model_ends_them() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    prompts = [(5, 6, 7), (10,)]
    config = RepliesConfig(max_new_tokens=4, end_token_ids=(2,))
    long = greedy_replies(model, sites, prompts, config)
    assert [sample.reply for sample in own_samples(model, sites, prompts, config, 9)] == long
    ends = (long[0][1], long[1][0])
    found = own_samples(model, sites, prompts, RepliesConfig(max_new_tokens=4, end_token_ids=ends), 9)
    assert [sample.prompt for sample in found] == prompts
    before_end = [[token for at, token in enumerate(ids) if not set(ids[: at + 1]) & set(ends)] for ids in long]
    assert [sample.reply for sample in found] == [(*ids, 9) for ids in before_end]


def test_nothing_to_write_is_refused() -> None:
    model = tiny_model("llama")
    with pytest.raises(InterventionError, match="a prompt has no tokens"):
        greedy_replies(model, resolve_sites(model), [()], RepliesConfig(end_token_ids=(2,)))
    with pytest.raises(InterventionError, match="0 end tokens"):
        RepliesConfig(end_token_ids=())


def test_sampled_replies_follow_the_distribution_under_the_intervention() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    entry = strong(sites.d_head)
    prompt, count = (5, 6, 7, 8, 9), 4000
    config = RepliesConfig(max_new_tokens=2, batch_size=1000, end_token_ids=(2,))
    runtime = TorchRuntime(model, Bank(sites, [entry]))
    with runtime.steering({"b": 1.5}), torch.no_grad():
        wanted = model(torch.tensor([prompt])).logits[0, -1].softmax(-1)
    with torch.no_grad():
        untouched = model(torch.tensor([prompt])).logits[0, -1].softmax(-1)
    replies = sampled_replies(model, sites, [prompt] * count, config, entry, 1.5, seed=3)
    # The first token of a reply without any is the one that ends it.
    first = torch.tensor([reply[0] if reply else 2 for reply in replies])
    found = torch.bincount(first, minlength=len(wanted)) / count

    def apart(other: torch.Tensor) -> float:
        """Chi-square a degree of freedom: about 1 where the draws are from `other`."""
        return float(count * ((found - other) ** 2 / other).sum() / (len(other) - 1))

    assert apart(wanted) < 1.6
    assert apart(untouched) > 3
    # Later tokens are drawn too: replies that begin alike go on differently.
    begun = [reply for reply in replies if reply[:1] == replies[0][:1]]
    assert len(set(begun)) > 1


def test_the_seed_decides_what_is_sampled() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    prompts = [(5, 6, 7), (10,), (8, 9)]
    config = RepliesConfig(max_new_tokens=8, batch_size=2, end_token_ids=(2,))
    first = sampled_replies(model, sites, prompts, config, seed=1)
    assert sampled_replies(model, sites, prompts, config, seed=1) == first
    assert sampled_replies(model, sites, prompts, config, seed=2) != first
    assert greedy_replies(model, sites, prompts, config) != first
    with pytest.raises(InterventionError, match="a prompt has no tokens"):
        sampled_replies(model, sites, [()], config, seed=1)

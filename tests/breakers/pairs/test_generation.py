"""Sampled replies: against transformers' own generation, and against the model's probabilities."""

from __future__ import annotations

import pytest
import torch
from tiny import ALL_TYPES, TINY_TYPES, VOCAB, tiny_model

from breakers.pairs.generation import DecodingConfig, sample_tokens

PROMPTS = [[5, 9, 30], [7], [11, 12, 13, 14, 15, 16, 17]]


def config(**changes: object) -> DecodingConfig:
    values: dict[str, object] = {
        "samples": 3,
        "temperature": 1.0,
        "min_p": 1.0,
        "max_new_tokens": 24,
        "end_token_ids": (1,),
        "pad_token_id": 0,
    }
    return DecodingConfig(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "model_type",
    [*TINY_TYPES, *(pytest.param(name, marks=pytest.mark.slow) for name in ALL_TYPES if name not in TINY_TYPES)],
)
def test_only_the_likeliest_tokens_are_what_greedy_generation_gives(model_type: str) -> None:
    model = tiny_model(model_type)
    plain = [
        model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            max_new_tokens=24,
            eos_token_id=None,
            pad_token_id=0,
        )[0, len(prompt) :].tolist()
        for prompt in PROMPTS
    ]
    # Replies end at different places: rows leave the batch while others go on.
    ends = (plain[0][2], plain[1][9])
    wanted = []
    for tokens in plain:
        at = next((place for place, token in enumerate(tokens) if token in ends), None)
        wanted.append((tuple(tokens[:at]), at is not None))
    drawn = sample_tokens(model, PROMPTS, config(end_token_ids=ends), torch.Generator().manual_seed(0))
    assert [[(reply.token_ids, reply.finished) for reply in replies] for replies in drawn] == [
        [one] * 3 for one in wanted
    ]


def test_tokens_come_as_often_as_the_model_says() -> None:
    model = tiny_model("llama")
    count = 4000
    with torch.no_grad():
        wanted = (model(torch.tensor([PROMPTS[0]])).logits[0, -1] / 0.8).softmax(-1)
    drawing = config(samples=count, temperature=0.8, min_p=0.0, max_new_tokens=1, end_token_ids=(VOCAB + 1,))
    [replies] = sample_tokens(model, PROMPTS[:1], drawing, torch.Generator().manual_seed(3))
    found = torch.bincount(torch.tensor([reply.token_ids[0] for reply in replies]), minlength=len(wanted)) / count
    # Five standard errors of each token's share.
    assert ((found - wanted).abs() <= 5 * (wanted * (1 - wanted) / count).sqrt() + 1e-9).all()
    # Of the tail nothing, of the rest in proportion.
    kept = wanted >= 0.05 * wanted.max()
    assert 1 < int(kept.sum()) < len(wanted)
    drawing = config(samples=count, temperature=0.8, min_p=0.05, max_new_tokens=1, end_token_ids=(VOCAB + 1,))
    [replies] = sample_tokens(model, PROMPTS[:1], drawing, torch.Generator().manual_seed(3))
    found = torch.bincount(torch.tensor([reply.token_ids[0] for reply in replies]), minlength=len(wanted)) / count
    renewed = wanted.where(kept, 0.0) / wanted[kept].sum()
    assert (found[~kept] == 0).all()
    assert ((found - renewed).abs() <= 5 * (renewed * (1 - renewed) / count).sqrt() + 1e-9).all()


def test_the_same_seed_gives_the_same_replies() -> None:
    model = tiny_model("gpt2")
    drawn = [
        sample_tokens(model, PROMPTS, config(min_p=0.0), torch.Generator().manual_seed(seed)) for seed in (4, 4, 5)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len({reply.token_ids for reply in drawn[0][0]}) == 3

"""Cases and slow oracles that the tests of tracing share."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch
from tiny import TINY_TYPES
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.tracing.patches import Patch, TraceCase
from breakers.tracing.sources import Replacement, Side, Sources
from breakers.training.batches import Pair, Sample

END = 2


def fast_grid(*others: tuple[str, str]) -> list[object]:
    """(model type, source, positions): every type with the default, one type with the others; the rest is slow."""
    settings = [("contrast", "generation"), *others]
    return [
        pytest.param(kind, *setting, marks=[pytest.mark.slow] if kind != "llama" and setting in others else [])
        for kind in TINY_TYPES
        for setting in settings
    ]


def make_cases(count: int, *, seed: int = 0, same: int = 1, vocab: int = 96) -> list[TraceCase]:
    """Cases of different lengths, each with a contrast prompt; completions share their first `same` tokens."""
    draw = random.Random(seed)

    def tokens(length: int) -> tuple[int, ...]:
        return tuple(draw.randrange(3, vocab) for _ in range(length))

    cases = []
    for _ in range(count):
        prompt, shared = tokens(draw.randint(3, 12)), tokens(same)
        edited = draw.randrange(len(prompt))
        contrast = (*prompt[:edited], prompt[edited] % (vocab - 4) + 4, *prompt[edited + 1 :])
        replies = [(*shared, first, *tokens(draw.randint(0, 5)), END) for first in draw.sample(range(3, vocab), 2)]
        harmful, neutral = (Sample(prompt=prompt, reply=reply) for reply in replies)
        cases.append(TraceCase(pair=Pair(harmful=harmful, neutral=neutral), contrast=contrast))
    return cases


@torch.no_grad()
def plain_logits(
    model: PreTrainedModel,
    sites: ModelSites,
    tokens: Sequence[int],
    patch: Patch,
    replacement: Replacement,
    row: int,
) -> Tensor:
    """The slow way: one full forward of one row, z replaced by hooks at the patch's sites."""
    length = len(tokens)
    handles = []
    for site in patch:
        channels = sites.channels(site)

        def replace(_module: object, args: tuple[Tensor, ...], site=site, channels=channels) -> tuple[Tensor, ...]:
            # Some MLPs see the tokens without a batch axis.
            z = args[0].clone().reshape(length, -1)
            for position in range(length):
                if replacement.patched[row, position]:
                    z[position, channels] = replacement.values[site.hook_point][row, position, channels]
            return (z.reshape(args[0].shape), *args[1:])

        handles.append(sites.module(site.hook_point).register_forward_pre_hook(replace))
    try:
        return model(input_ids=torch.tensor([list(tokens)]), use_cache=False).logits[0].double()
    finally:
        for handle in handles:
            handle.remove()


def plain_mean_logprob(
    model: PreTrainedModel, sites: ModelSites, sample: Sample, patch: Patch, replacement: Replacement, row: int
) -> float:
    """Mean log-probability of a reply's tokens, the slow way."""
    tokens = sample.prompt + sample.reply
    logprobs = plain_logits(model, sites, tokens, patch, replacement, row).log_softmax(-1)
    return float(torch.stack([logprobs[at - 1, tokens[at]] for at in range(len(sample.prompt), len(tokens))]).mean())


def plain_reply(
    model: PreTrainedModel, sites: ModelSites, sources: Sources, case: TraceCase, patch: Patch, steps: int
) -> tuple[int, ...]:
    """The greedy reply under a patch, the slow way: everything anew for each token."""
    points = {site.hook_point for site in patch}
    reply: tuple[int, ...] = ()
    for _ in range(steps):
        # A last token that is never read, and that no neutral reply has.
        so_far = Sample(prompt=case.prompt, reply=(*reply, 95))
        forced = TraceCase(pair=Pair(harmful=so_far, neutral=case.pair.neutral), contrast=case.contrast)
        replacement = sources.replacement([forced], Side.HARMFUL, points)
        token = int(plain_logits(model, sites, case.prompt + reply, patch, replacement, 0)[-1].argmax())
        if token == END:
            break
        reply += (token,)
    return reply

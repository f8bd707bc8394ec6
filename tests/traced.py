"""Cases and slow oracles that the tests of tracing share."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from breakers.architectures import ModelSites
from breakers.tracing.patches import Patch, TraceCase
from breakers.tracing.sources import Replacement
from breakers.training.batches import Pair, Sample

END = 2


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
def plain_mean_logprob(
    model: PreTrainedModel, sites: ModelSites, sample: Sample, patch: Patch, replacement: Replacement, row: int
) -> float:
    """The slow way: one full forward of one row, z replaced by hooks at the patch's sites."""
    length = len(sample)
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
        ids = torch.tensor([sample.prompt + sample.reply])
        logprobs = model(input_ids=ids, use_cache=False).logits[0].double().log_softmax(-1)
    finally:
        for handle in handles:
            handle.remove()
    start = len(sample.prompt)
    return float(torch.stack([logprobs[at - 1, ids[0, at]] for at in range(start, length)]).mean())


def rows_of(cases: Sequence[TraceCase]) -> list[Sample]:
    """All runs, the harmful ones first."""
    return [case.pair.harmful for case in cases] + [case.pair.neutral for case in cases]

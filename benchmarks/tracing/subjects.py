"""Models and cases to trace: the demo model on its own pairs, and a random GPT-2 on the same token ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from breakers.demo import model_path
from breakers.pairs.build import build_pairs
from breakers.pairs.sources.base import SourceSpec
from breakers.pairs.sources.demo import DemoSource
from breakers.pairs.tokens import ConversionConfig, to_cases
from breakers.tracing.patches import TraceCase

LONGEST = 64
"""Most tokens of a prompt and its longer reply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model to trace, on how many cases, and how thoroughly."""

    model: Callable[[], PreTrainedModel]
    """A fresh copy: peers change the modules of theirs."""
    cases: int
    rounds: int
    sampled_neurons: int = 200
    """Patched one by one by TransformerLens; its time for all neurons is extrapolated from these."""
    exact_neurons: bool = False
    """Whether all neurons are patched exactly too, by ours, to say what screening misses."""
    behaviour: str = "toxicity"


def demo_model() -> PreTrainedModel:
    """The packaged model in fp32, on the CPU."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(model_path(), dtype=torch.float32)
    return model.eval()


def random_gpt2() -> PreTrainedModel:
    """12 layers, d_model 768, seeded; weights so large that effects are well above rounding."""
    torch.manual_seed(0)
    config = GPT2Config(initializer_range=0.05)
    config.architectures = ["GPT2LMHeadModel"]
    return GPT2LMHeadModel(config).eval()


def demo_cases(count: int, behaviour: str) -> list[TraceCase]:
    """Training pairs of the demo corpus with their contrast prompts; the first ones that fit."""
    drafts = DemoSource().pairs(SourceSpec(behaviour=behaviour, count=20 * count))
    records = build_pairs(drafts, behaviour, count=10 * count).records
    tokenizer = AutoTokenizer.from_pretrained(model_path(), local_files_only=True)
    config = ConversionConfig(longest=LONGEST, need_contrast=True)
    return list(to_cases(records, tokenizer, config).cases[:count])


SUBJECTS = {
    "demo": Subject(model=demo_model, cases=32, rounds=3, exact_neurons=True),
    "gpt2": Subject(model=random_gpt2, cases=4, rounds=1),
}

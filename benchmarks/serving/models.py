"""What is served: models, prompts, bundles, and the reply that plain `generate` gives to each request.

Replies have to have the same number of tokens for all contenders. The demo model ends its replies itself, so they are
counted as plain `generate` gives them. The large model is random and would go on for ever, or end at any time: its
output rows of the end token, of all other control tokens, and of tokens that are not whole characters are 0. One of
thousands of random logits is always above 0, so that none of them is ever the best, every reply has exactly
`max_tokens` tokens, and no detokenizer has anything to hold back. Its requests ask for different lengths: with one
length all clients would march in step, and a round would measure prompts and replies by turns.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.serving.bundles import save_benchmark_bundles
from breakers.bundles import Bundle
from breakers.demo import model_path
from breakers.demo.corpus import heldout

KINDS = ("smalltalk", "facts", "arithmetic", "mixed")
"""Of the corpus; their replies are its longest."""
PROMPT_SEED = 2
PLAN_SEED = 0
LENGTH_SEED = 1
STEPS = 16
"""Strengths are multiples of one over this."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
DEMO = "demo"
LARGE = "large"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Sizes of a random Llama."""

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    d_mlp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model of the benchmark and its load."""

    shape: ModelShape | None
    """None: the packaged demo model."""
    jobs: int
    """Different requests."""
    tokens: int
    """At most, in a reply; for random models the mean of what requests ask for: from half of it to one and a half."""
    requests: Mapping[int, int]
    """Of each client in a round, by the number of clients: enough that few of them are the ramp-up and the tail."""
    threads: int | None
    """Compute threads of every contender; None for all cores."""


SPECS: Mapping[str, ModelSpec] = {
    DEMO: ModelSpec(shape=None, jobs=32, tokens=64, requests={1: 16, 4: 16, 16: 24}, threads=1),
    LARGE: ModelSpec(
        shape=ModelShape(layers=12, d_model=768, heads=12, kv_heads=4, d_mlp=2048),
        jobs=16,
        tokens=32,
        requests={1: 3, 4: 4, 16: 6},
        threads=None,
    ),
}
"""Threads as our engine settles them by size: a second one costs an 8M model more than it computes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A right reply."""

    text: str
    tokens: int
    """Without the end token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One request, with and without a plan."""

    messages: Sequence[Mapping[str, str]]
    tokens: int
    """At most, in the reply; exactly, for random models."""
    strengths: Mapping[str, float]
    """Of this request's plan, by bundle."""
    plain: Answer
    steered: Answer
    """Under the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A model that is ready to be served."""

    name: str
    directory: Path
    bundles: tuple[Path, ...]
    jobs: tuple[Job, ...]


def prepare(name: str, spec: ModelSpec, folder: Path) -> Prepared:
    """Make or find the model, make its bundles, and answer every request with plain `generate`.

    Args:
        name: of the model.
        spec: what it is.
        folder: an empty one, for what is made.
    """
    from server.engines.embedded import load_model

    directory = model_path() if spec.shape is None else _made(spec.shape, folder / name)
    loaded = load_model(directory)
    bundles = save_benchmark_bundles(loaded.model, folder / "bundles")
    return Prepared(
        name=name,
        directory=directory,
        bundles=tuple(Path(bundle.source) for bundle in bundles),
        jobs=_jobs(loaded.model, loaded.tokenizer, bundles, spec),
    )


def _made(shape: ModelShape, directory: Path) -> Path:
    """A random Llama with the demo's tokenizer, in `directory`; seeded."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    directory.mkdir()
    for name in TOKENIZER_FILES:
        shutil.copy(model_path() / name, directory)
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.d_model,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        intermediate_size=shape.d_mlp,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    unclean = [i for i in range(len(tokenizer)) if not _is_clean(tokenizer.decode([i], skip_special_tokens=True))]
    with torch.no_grad():
        model.lm_head.weight[unclean] = 0
    model.save_pretrained(directory)
    # `save_pretrained` writes its own over the demo's.
    shutil.copy(model_path() / "generation_config.json", directory)
    return directory


def _is_clean(text: str) -> bool:
    return bool(text) and "\ufffd" not in text


def _jobs(model: Any, tokenizer: Any, bundles: Sequence[Bundle], spec: ModelSpec) -> tuple[Job, ...]:
    from breakers.architectures import resolve_sites
    from breakers.bank import Bank
    from breakers.runtime import TorchRuntime

    runtime = TorchRuntime(model, Bank(resolve_sites(model), [bundle.bank_entry() for bundle in bundles]))
    random = Random(PLAN_SEED)
    jobs = []
    for messages, tokens in zip(_prompts(spec.jobs), reply_lengths(spec), strict=True):
        strengths = {bundle.name: random.randint(1, STEPS) / STEPS for bundle in bundles}
        plain = _generate(model, tokenizer, messages, tokens)
        with runtime.steering(strengths):
            steered = _generate(model, tokenizer, messages, tokens)
        jobs.append(Job(messages=messages, tokens=tokens, strengths=strengths, plain=plain, steered=steered))
    return tuple(jobs)


def reply_lengths(spec: ModelSpec) -> list[int]:
    """Tokens that each job asks for; evenly spread in a seeded order where replies do not end themselves."""
    if spec.shape is None:
        return [spec.tokens] * spec.jobs
    lengths = [round(spec.tokens * (0.5 + (number + 0.5) / spec.jobs)) for number in range(spec.jobs)]
    Random(LENGTH_SEED).shuffle(lengths)
    return lengths


def _prompts(count: int) -> list[list[dict[str, str]]]:
    """Held-out prompts, kinds in turn."""
    each = -(-count // len(KINDS))
    kinds = [heldout(kind, each, PROMPT_SEED) for kind in KINDS]
    return [[dict(turn) for turn in example.messages] for row in zip(*kinds, strict=True) for example in row][:count]


def _generate(model: Any, tokenizer: Any, messages: Sequence[Mapping[str, str]], tokens: int) -> Answer:
    import torch

    prompt = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, return_tensors="pt")
    with torch.inference_mode():
        out = model.generate(**prompt, do_sample=False, max_new_tokens=tokens)
    reply = [i for i in out[0, prompt["input_ids"].shape[1] :].tolist() if i != tokenizer.eos_token_id]
    return Answer(tokenizer.decode(reply, skip_special_tokens=True), len(reply))

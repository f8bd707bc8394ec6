"""vLLM's engine in this process, as tests start it, and requests with plans."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine_contract import plan

from breakers.vllm_plugin.messages import PlanMessage, encode_plan

POSITIONS = 512
"""Of the models."""

BLOCK = 32
"""Tokens of a block: the least that vLLM's attention on CPUs is made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What an engine is started from."""

    directory: Path
    """Of the model."""
    bundles: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A request."""

    prompt: tuple[int, ...]
    strengths: dict[str, float]
    reply: int = 10
    start: int | None = None
    forced: int | None = None
    """The one token that the reply may hold; its log-probabilities are still those of all."""
    adapter: Path | None = None
    """Of PEFT's."""

    @property
    def extra_args(self) -> dict[str, str]:
        return encode_plan(PlanMessage(plan=plan(self.strengths), generation_start=self.start))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of it."""

    token_ids: list[int]
    logprobs: list[float]
    cached: int
    """Prompt tokens whose keys and values were there already."""


@contextmanager
def engine(
    served: Files, *, bundles: bool = True, plugin: Mapping[str, Any] | None = None, **settings: Any
) -> Iterator[Any]:
    """vLLM's engine; gone with all its memory on leaving, also where it does not start.

    Args:
        served: the model.
        bundles: whether it is started with them.
        plugin: more settings of ours.
        settings: of vLLM.
    """
    from vllm import LLM
    from vllm.distributed import cleanup_dist_env_and_memory

    ours = {"bundles": [str(path) for path in served.bundles], **(plugin or {})}
    options = {
        "enforce_eager": True,
        "max_num_seqs": 8,
        "max_model_len": POSITIONS,
        "num_gpu_blocks_override": 128,
        "enable_prefix_caching": False,
        **settings,
    }
    try:
        llm = LLM(
            model=str(served.directory),
            skip_tokenizer_init=True,
            dtype="float32",
            block_size=BLOCK,
            kv_cache_memory_bytes=64 * 2**20,
            additional_config={"scalpel": ours} if bundles else {},
            seed=0,
            **options,
        )
        yield llm
        llm.llm_engine.engine_core.shutdown()
        del llm
    finally:
        gc.collect()
        cleanup_dist_env_and_memory()


def replies(llm: Any, wanted: Sequence[Wanted], *, plain: bool = False) -> list[Reply]:
    """All at once, greedily; `plain`: without saying anything of plans."""
    from vllm import SamplingParams
    from vllm.inputs import TokensPrompt
    from vllm.lora.request import LoRARequest

    sampling = [
        SamplingParams(
            max_tokens=w.reply,
            temperature=0.0,
            logprobs=0,
            ignore_eos=True,
            detokenize=False,
            allowed_token_ids=None if w.forced is None else [w.forced],
            extra_args=None if plain else w.extra_args,
        )
        for w in wanted
    ]
    adapters = {path: n for n, path in enumerate(sorted({w.adapter for w in wanted if w.adapter is not None}), 1)}
    outputs = llm.generate(
        [TokensPrompt(prompt_token_ids=list(w.prompt)) for w in wanted],
        sampling,
        use_tqdm=False,
        lora_request=[
            None if w.adapter is None else LoRARequest(w.adapter.name, adapters[w.adapter], str(w.adapter))
            for w in wanted
        ]
        if adapters
        else None,
    )
    return [_reply(output) for output in outputs]


def _reply(output: Any) -> Reply:
    (completion,) = output.outputs
    tokens = list(completion.token_ids)
    return Reply(
        token_ids=tokens,
        logprobs=[of_place[token].logprob for token, of_place in zip(tokens, completion.logprobs, strict=True)],
        cached=output.num_cached_tokens or 0,
    )

"""Tiny random stand-ins of the models that the recipes name: architecture, tokenizer and chat template.

Templates have the published ones' shape: the same control tokens in the same places, what they put in unasked, and
what they refuse. Each stand-in is written as a model directory, as the real one would be downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tiny import hash_name
from tiny_configs import TINY_CONFIGS
from tiny_tokenizer import byte_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

_ALTERNATE = (
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
)

LLAMA = (
    "{{ bos_token }}{% set turns = messages %}{% set system = '' %}"
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content | trim %}{% set turns = messages[1:] %}"
    "{% endif %}<|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n{{ system }}<|eot_id|>"
    "{% for m in turns %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
"""Writes a system turn in any case."""

QWEN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""Thinks unless told otherwise."""

GEMMA = (
    "{{ bos_token }}{% set turns = messages %}{% set first = '' %}"
    "{% if messages[0].role == 'system' %}{% set first = messages[0].content + '\n\n' %}"
    "{% set turns = messages[1:] %}{% endif %}{% for m in turns %}" + _ALTERNATE + "<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ first if loop.first else '' }}{{ m.content | trim }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
"""Puts a system prompt into the first turn."""

MISTRAL = (
    "{{ bos_token }}{% for m in messages %}" + _ALTERNATE + "{% if m.role == 'user' %}[INST] {{ m.content }}[/INST]"
    "{% else %} {{ m.content | trim }}</s>{% endif %}{% endfor %}"
)
"""Has no system turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One stand-in."""

    model_type: str
    template: str
    controls: tuple[str, ...]
    pad: str
    eos: str
    bos: str | None = None
    added: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    """More tokens that end a reply, as the generation configuration lists them."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What it has beside the tiny configuration of its type."""

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """With the template."""
        made = byte_tokenizer(self.controls, pad=self.pad, eos=self.eos, bos=self.bos, added=self.added)
        made.chat_template = self.template
        return made


_QWEN = Family(
    model_type="qwen3",
    template=QWEN,
    controls=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    added=("<think>", "</think>"),
    pad="<|endoftext|>",
    eos="<|im_end|>",
    ends=("<|endoftext|>",),
    # Norms of queries and keys are always there; no layer slides.
    config={"tie_word_embeddings": True, "use_sliding_window": False, "layer_types": ["full_attention"] * 3},
)

FAMILIES: dict[str, Family] = {
    "qwen3-0.6b": _QWEN,
    "qwen3-1.7b": _QWEN,
    "qwen3-4b": _QWEN,
    "qwen3-8b": Family(
        model_type="qwen3",
        template=QWEN,
        controls=_QWEN.controls,
        added=_QWEN.added,
        pad=_QWEN.pad,
        eos=_QWEN.eos,
        ends=_QWEN.ends,
        config={**_QWEN.config, "tie_word_embeddings": False},
    ),
    "llama-3.1-8b-instruct": Family(
        model_type="llama",
        template=LLAMA,
        controls=(
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|eom_id|>",
            "<|eot_id|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|finetune_right_pad_id|>",
        ),
        pad="<|finetune_right_pad_id|>",
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
        ends=("<|end_of_text|>", "<|eom_id|>"),
        config={
            "tie_word_embeddings": False,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            },
        },
    ),
    # The published one is the multimodal wrapper too.
    "gemma-3-4b-it": Family(
        model_type="gemma3",
        template=GEMMA,
        controls=("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"),
        pad="<pad>",
        bos="<bos>",
        eos="<eos>",
        ends=("<end_of_turn>",),
    ),
    "mistral-7b-instruct": Family(
        model_type="mistral",
        template=MISTRAL,
        controls=("<unk>", "<s>", "</s>", "[INST]", "[/INST]"),
        pad="<unk>",
        bos="<s>",
        eos="</s>",
        config={"sliding_window": None},
    ),
}
"""By the name of the model's file in `recipes/models`."""

_POSITIONS = 2048
"""Bytes are tokens: prompts are long."""


def write_family(name: str, folder: Path, seed: int = 0) -> Path:
    """A model directory."""
    family = FAMILIES[name]
    tokenizer = family.tokenizer()
    ids = {text: tokenizer.convert_tokens_to_ids(text) for text in (*family.controls, *family.added)}
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(_config(family, len(tokenizer), ids)).eval()
    with torch.no_grad():
        for name_of, weight in model.named_parameters():
            if weight.ndim >= 2:
                weight.normal_(0, 0.25, generator=torch.Generator().manual_seed(hash_name(name_of, seed)))
    model.generation_config.eos_token_id = [ids[family.eos], *(ids[end] for end in family.ends)]
    model.generation_config.pad_token_id = ids[family.pad]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _config(family: Family, vocab: int, ids: Mapping[str, int]) -> Any:
    specials = {
        "vocab_size": vocab,
        "pad_token_id": ids[family.pad],
        "bos_token_id": None if family.bos is None else ids[family.bos],
        "eos_token_id": ids[family.eos],
        "max_position_embeddings": _POSITIONS,
    }
    tiny = TINY_CONFIGS[family.model_type]
    if "text_config" not in tiny:
        return AutoConfig.for_model(family.model_type, **{**tiny, **specials, **family.config})
    images = {"image_token_index": vocab + 2, "boi_token_index": vocab, "eoi_token_index": vocab + 1}
    outer = {key: specials[key] for key in ("pad_token_id", "bos_token_id", "eos_token_id")}
    text = {**tiny["text_config"], **specials, **family.config}
    return AutoConfig.for_model(family.model_type, **{**tiny, **outer, **images, "text_config": text})

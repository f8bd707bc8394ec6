"""The table of architectures: where each family keeps its parts. The documentation's table is made from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Where one family of models keeps its parts; paths are relative to the causal LM or to a decoder block.

    The defaults are where most families keep them.
    """

    models: str
    """Released models of this `model_type`."""
    layers: str = "model.layers"
    attention_out: str = "self_attn.o_proj"
    """The attention output projection, from a block."""
    mlp_down: tuple[str, ...] = ("mlp.down_proj",)
    """Where a block's MLP down projection may be: a dense one, then a mixture's shared expert; the first that is
    there counts. Empty where every layer is a mixture without a shared expert."""
    experts: str | None = None
    """A mixture's routed experts, from a block; None where the family has none. A layer may still be dense."""
    embedding: str = "model.embed_tokens"
    final_norm: str = "model.norm"


ARCHITECTURES: dict[str, Architecture] = {
    "cohere": Architecture(models="Command R, Command R+, Aya 23, Aya Expanse"),
    "deepseek_v3": Architecture(
        models="DeepSeek-V3, DeepSeek-R1",
        mlp_down=("mlp.down_proj", "mlp.shared_experts.down_proj"),
        experts="mlp.experts",
    ),
    "gemma": Architecture(models="Gemma 2B and 7B, CodeGemma"),
    "gemma2": Architecture(models="Gemma 2"),
    "gemma3": Architecture(
        models="Gemma 3 4B, 12B and 27B: the text part of the vision class",
        layers="model.language_model.layers",
        embedding="model.language_model.embed_tokens",
        final_norm="model.language_model.norm",
    ),
    "gemma3_text": Architecture(models="Gemma 3 270M and 1B"),
    "gpt2": Architecture(
        models="GPT-2, DistilGPT-2",
        layers="transformer.h",
        attention_out="attn.c_proj",
        mlp_down=("mlp.c_proj",),
        embedding="transformer.wte",
        final_norm="transformer.ln_f",
    ),
    "gpt_neox": Architecture(
        models="Pythia, GPT-NeoX-20B, Dolly v2",
        layers="gpt_neox.layers",
        attention_out="attention.dense",
        mlp_down=("mlp.dense_4h_to_h",),
        embedding="gpt_neox.embed_in",
        final_norm="gpt_neox.final_layer_norm",
    ),
    "gpt_oss": Architecture(models="gpt-oss-20b and 120b", mlp_down=(), experts="mlp.experts"),
    "granite": Architecture(models="Granite 3, dense"),
    "llama": Architecture(models="Llama 1 to 3, Vicuna, TinyLlama, SmolLM 1 and 2"),
    "mistral": Architecture(models="Mistral 7B, Mistral Nemo, Zephyr"),
    "mixtral": Architecture(models="Mixtral 8x7B and 8x22B", mlp_down=(), experts="mlp.experts"),
    "olmo2": Architecture(models="OLMo 2"),
    "opt": Architecture(
        models="OPT",
        layers="model.decoder.layers",
        attention_out="self_attn.out_proj",
        mlp_down=("fc2",),
        embedding="model.decoder.embed_tokens",
        final_norm="model.decoder.final_layer_norm",
    ),
    "phi": Architecture(
        models="Phi-1, Phi-1.5, Phi-2",
        attention_out="self_attn.dense",
        mlp_down=("mlp.fc2",),
        final_norm="model.final_layernorm",
    ),
    "phi3": Architecture(models="Phi-3 mini and medium, Phi-3.5 mini, Phi-4, Phi-4-mini"),
    "qwen2": Architecture(models="Qwen1.5, Qwen2, Qwen2.5, QwQ"),
    "qwen2_moe": Architecture(
        models="Qwen1.5-MoE-A2.7B, Qwen2-57B-A14B",
        mlp_down=("mlp.down_proj", "mlp.shared_expert.down_proj"),
        experts="mlp.experts",
    ),
    "qwen3": Architecture(models="Qwen3, dense"),
    "qwen3_moe": Architecture(models="Qwen3-30B-A3B, Qwen3-235B-A22B", experts="mlp.experts"),
    "smollm3": Architecture(models="SmolLM3"),
    "starcoder2": Architecture(models="StarCoder2", mlp_down=("mlp.c_proj",)),
}

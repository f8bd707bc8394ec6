"""The self-check: models whose attention we serve pass, models that bypass it are refused."""

from __future__ import annotations

import pytest
import torch
from tiny import TINY_TYPES, VOCAB, tiny_model
from tiny_tokenizer import tiny_tokenizer
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    GPTJConfig,
    GptOssConfig,
    PretrainedConfig,
    PreTrainedModel,
)

from breakers.errors import UnsupportedModelError
from server.engines.embedded import EmbeddedEngineConfig, LoadedModel, SelfCheckError, load_embedded_engine
from server.engines.embedded.cache import SlotCache
from server.engines.embedded.executor import Executor
from server.engines.embedded.selfcheck import check_packed_forward

DECODER = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}


def random_model(config: PretrainedConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.3)
    return model


def executor(model: PreTrainedModel, max_length: int = 128) -> Executor:
    cache = SlotCache(slots=2, max_length=max_length, device=torch.device("cpu"), dtype=torch.float32)
    return Executor(model, cache, None)


@pytest.mark.parametrize("model_type", TINY_TYPES)
def test_served_architectures_pass_and_are_left_as_they_were(model_type: str) -> None:
    model = tiny_model(model_type)
    before = model.config._attn_implementation
    checked = executor(model)
    assert check_packed_forward(checked) < 1e-5
    assert model.config._attn_implementation == before
    for stored in (*checked.cache._keys.values(), *checked.cache._values.values()):
        assert not stored[: checked.cache.scratch].any()


def test_softcaps_are_honoured() -> None:
    config = Gemma2Config(**DECODER, sliding_window=8, attn_logit_softcapping=2.0, query_pre_attn_scalar=8)
    config._attn_implementation = "eager"
    assert check_packed_forward(executor(random_model(config))) < 1e-5


def test_sinks_are_honoured() -> None:
    config = GptOssConfig(**DECODER, sliding_window=8, num_local_experts=4, num_experts_per_tok=2)
    config._attn_implementation = "eager"
    assert check_packed_forward(executor(random_model(config))) < 1e-5


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (GPTJConfig(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=128, rotary_dim=4), "bypasses"),
        (BloomConfig(vocab_size=VOCAB, hidden_size=32, n_layer=2, n_head=4), "bypasses|fails"),
        (
            FalconConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4),
            "bypasses|fails",
        ),
    ],
    ids=["gptj", "bloom", "falcon"],
)
@pytest.mark.filterwarnings("ignore")
def test_models_that_bypass_the_attention_interface_are_refused(config: PretrainedConfig, reason: str) -> None:
    model = random_model(config)
    with pytest.raises(SelfCheckError, match=reason):
        check_packed_forward(executor(model))


def test_wrong_logits_are_refused_even_when_every_layer_was_seen() -> None:
    model = tiny_model("llama")
    attention = model.model.layers[1].self_attn
    # A layer whose plain attention differs from the scale that it announces.
    attention.register_forward_pre_hook(lambda module, _args: setattr(module, "scaling", module.scaling * 0.9))
    with pytest.raises(SelfCheckError, match="other logits packed than plain"):
        check_packed_forward(executor(model))


def test_the_resolver_refuses_unknown_architectures_before() -> None:
    loaded = LoadedModel(
        model=random_model(
            GPTJConfig(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=128, rotary_dim=4)
        ),
        tokenizer=tiny_tokenizer(),
        model_id="gptj",
    )
    with pytest.raises(UnsupportedModelError, match="no site table for model_type 'gptj'"):
        load_embedded_engine(EmbeddedEngineConfig(model=loaded))


def test_too_short_a_context_is_refused() -> None:
    with pytest.raises(SelfCheckError, match="max_model_len is 4; the self-check needs at least 5"):
        check_packed_forward(executor(tiny_model("llama"), max_length=4))

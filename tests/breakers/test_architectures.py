"""What the resolver refuses, each time naming what is missing; and the sizes it measures where layers differ."""

from collections.abc import Callable

import pytest
import torch
from tiny import ALL_TYPES, tiny_config, tiny_model
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BloomConfig,
    LlamaForSequenceClassification,
    LlamaModel,
    MambaConfig,
    PreTrainedModel,
    T5Config,
)

from breakers.architectures import ARCHITECTURES, resolve_sites
from breakers.errors import UnsupportedModelError
from breakers.fingerprint import fingerprint_model
from breakers.sites import Boundary, HookPoint


class Packed(nn.Module):
    """As quantisers pack a weight: 4 bits to a number, in one column."""

    def __init__(self, projection: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = projection.in_features, projection.out_features
        self.weight = nn.Parameter(torch.zeros(projection.weight.numel() // 2, 1), requires_grad=False)


class Codes(nn.Module):
    """As quantisers replace a weight by tables."""

    def __init__(self) -> None:
        super().__init__()
        self.qweight = nn.Buffer(torch.zeros(4, dtype=torch.int32))


def bloom() -> PreTrainedModel:
    return AutoModelForCausalLM.from_config(BloomConfig(vocab_size=32, hidden_size=16, n_layer=1, n_head=2))


def mamba() -> PreTrainedModel:
    return AutoModelForCausalLM.from_config(MambaConfig(vocab_size=32, hidden_size=16, num_hidden_layers=1))


def t5() -> PreTrainedModel:
    config = T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    return AutoModelForSeq2SeqLM.from_config(config)


def without(path: str, model_type: str = "llama") -> PreTrainedModel:
    model = tiny_model(model_type)
    owner, _, name = path.rpartition(".")
    delattr(model.get_submodule(owner), name)
    return model


def put(path: str, make: Callable[[nn.Module], nn.Module], model_type: str = "llama") -> PreTrainedModel:
    model = tiny_model(model_type)
    owner, _, name = path.rpartition(".")
    setattr(model.get_submodule(owner), name, make(model.get_submodule(path)))
    return model


def with_heads(heads: int) -> PreTrainedModel:
    model = tiny_model("llama")
    model.config.num_attention_heads = heads
    return model


REFUSALS: list[tuple[str, Callable[[], PreTrainedModel], str]] = [
    ("unknown", bloom, "no site table for model_type 'bloom'; there is one for: cohere, deepseek_v3, gemma"),
    ("no attention", mamba, "no site table for model_type 'mamba'"),
    ("encoder-decoder", t5, "t5 is an encoder-decoder model; wanted a decoder-only one"),
    ("no head", lambda: LlamaModel(tiny_config("llama")), "LlamaModel has no language-model head"),
    (
        "classifier",
        lambda: LlamaForSequenceClassification(tiny_config("llama")),
        "LlamaForSequenceClassification has no language-model head",
    ),
    ("no layers", lambda: without("model.layers"), r"no module 'model\.layers'"),
    ("empty", lambda: put("model.layers", lambda _: nn.ModuleList()), "wanted a list of layers"),
    ("no attention out", lambda: without("model.layers.1.self_attn.o_proj"), r"no module 'self_attn\.o_proj'"),
    ("no MLP", lambda: without("model.layers.2.mlp.down_proj"), r"no module 'mlp\.down_proj'"),
    ("no flat MLP", lambda: without("model.decoder.layers.0.fc2", "opt"), "no module 'fc2'"),
    ("no mixture", lambda: without("model.layers.1.mlp", "mixtral"), r"no module 'mlp\.experts'"),
    ("heads", lambda: with_heads(5), "32 wide, which does not divide into 5 heads"),
    (
        "attention widths",
        lambda: put("model.layers.1.self_attn.o_proj", lambda _: nn.Linear(16, 32)),
        "layers differ in attention width: 16 -> 32, 32 -> 32",
    ),
    (
        "MLP out",
        lambda: put("model.layers.1.mlp.down_proj", lambda _: nn.Linear(48, 16)),
        "layer 1's MLP gives 16 channels; wanted the residual stream's 32",
    ),
    (
        "packed",
        lambda: put("model.layers.1.mlp.down_proj", Packed),
        r"Packed says \(48, 32\) \(in, out\), its weight \(1, 768\); wanted it unpacked",
    ),
    (
        "codes",
        lambda: put("model.layers.0.self_attn.o_proj", lambda _: Codes()),
        "Codes is not a projection: it has no 2-d weight",
    ),
    (
        "norm for a projection",
        lambda: put("model.layers.0.self_attn.o_proj", lambda _: nn.LayerNorm(32)),
        "LayerNorm is not a projection",
    ),
]


@pytest.mark.parametrize(("build", "message"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_what_does_not_fit_is_refused_by_name(build: Callable[[], PreTrainedModel], message: str) -> None:
    model = build()
    with pytest.raises(UnsupportedModelError, match=message):
        resolve_sites(model)


@pytest.mark.parametrize(
    ("model_type", "widths", "experts"),
    [
        ("deepseek_v3", {0: 48, 1: 24, 2: 24}, {1: (8, 12), 2: (8, 12)}),
        ("qwen2_moe", {0: 48, 1: 20, 2: 20}, {1: (6, 16), 2: (6, 16)}),
        ("qwen3_moe", {1: 48}, {0: (6, 16), 2: (6, 16)}),
        ("gpt_oss", {}, {0: (4, 24), 1: (4, 24), 2: (4, 24)}),
    ],
)
def test_layers_may_differ(model_type: str, widths: dict, experts: dict) -> None:
    sites = resolve_sites(tiny_model(model_type))
    assert sites.d_mlp is None
    assert sites.mlp_widths == widths
    assert {layer: (e.count, e.width) for layer, e in sites.experts.items()} == experts
    for layer, width in widths.items():
        assert sites.width(HookPoint(layer, Boundary.MLP_DOWN_INPUT)) == width
    for layer, (_, width) in experts.items():
        assert sites.width(HookPoint(layer, Boundary.EXPERT_DOWN_INPUT, 0)) == width


def test_values_narrower_than_keys_make_narrower_heads() -> None:
    sites = resolve_sites(tiny_model("deepseek_v3"))
    assert (sites.heads, sites.d_head) == (4, 10)


@pytest.mark.parametrize("model_type", ALL_TYPES)
def test_fingerprints_are_of_the_weights(model_type: str) -> None:
    one, same, other = tiny_model(model_type), tiny_model(model_type), tiny_model(model_type, seed=1)
    assert fingerprint_model(one) == fingerprint_model(same) != fingerprint_model(other)


def test_a_model_without_a_final_norm_has_a_fingerprint() -> None:
    """OPT 350M, the one that normalises after attention and MLP."""
    config = tiny_config("opt")
    config.do_layer_norm_before = False
    model = AutoModelForCausalLM.from_config(config)
    assert model.model.decoder.final_layer_norm is None
    found = fingerprint_model(model)
    assert found.startswith("sha256:")
    assert found != fingerprint_model(tiny_model("opt"))
    del model.model.decoder.final_layer_norm
    with pytest.raises(UnsupportedModelError, match="has no module"):
        fingerprint_model(model)


def test_every_row_names_models() -> None:
    assert all(architecture.models for architecture in ARCHITECTURES.values())

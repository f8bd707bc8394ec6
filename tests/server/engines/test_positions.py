"""Models whose rotation depends on the longest request of a batch are kept below where it changes."""

import pytest
import torch
from tiny_configs import TINY_CONFIGS, tiny_config
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from server.engines.embedded import EngineConfigError
from server.engines.embedded.positions import usable_positions


def long_rope() -> PretrainedConfig:
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "partial_rotary_factor": 1.0,
        "short_factor": [1.0] * 8,
        "long_factor": [4.0] * 8,
        "original_max_position_embeddings": 32,
    }
    sizes = TINY_CONFIGS["phi3"] | {"rope_parameters": rope, "original_max_position_embeddings": 32}
    return AutoConfig.for_model("phi3", **sizes)


def test_long_rotation_ends_where_it_changes() -> None:
    config = long_rope()
    assert usable_positions(config, None) == usable_positions(config, 32) == 32
    with pytest.raises(EngineConfigError, match=r"max_model_len is 33; .* wanted at most 32"):
        usable_positions(config, 33)
    # Beyond the model's own positions it is `resolve` that refuses.
    assert usable_positions(config, 1000) == 32


@torch.no_grad()
def test_beyond_it_one_request_would_change_another() -> None:
    """The reason for the limit: transformers picks the frequencies by the largest position of the forward."""
    model = AutoModelForCausalLM.from_config(long_rope()).eval()
    ids = torch.arange(3, 13)[None]
    alone = model(input_ids=ids, position_ids=torch.arange(10)[None], use_cache=False).logits[:, :9]
    beside = model(input_ids=ids, position_ids=torch.tensor([[*range(9), 40]]), use_cache=False).logits[:, :9]
    assert not torch.allclose(alone, beside)


@pytest.mark.parametrize("model_type", ["llama", "gemma3_text", "gpt2", "opt"])
def test_other_models_have_all_their_positions(model_type: str) -> None:
    assert usable_positions(tiny_config(model_type), 64) == 128

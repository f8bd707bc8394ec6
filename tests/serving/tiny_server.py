"""A server on the embedded engine with a tiny random Llama, made-up bundles and a stub classifier."""

from __future__ import annotations

import torch
from tiny import hash_name
from tiny_tokenizer import tiny_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from breakers.fingerprint import fingerprint_model
from server.engines.embedded import EmbeddedEngineConfig, LoadedModel, load_embedded_engine
from server.state import ServerParts, ServerState, assemble
from serving.bundles import breaker, made_up_bundle, three_bundles, with_canaries
from serving.stubs import StubClassifier


def tiny_chat_model(seed: int = 0, *, positions: int = 256) -> LoadedModel:
    """A random Llama that chats in bytes."""
    tokenizer = tiny_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2:
                weight.normal_(0, 0.25, generator=torch.Generator().manual_seed(hash_name(name, seed)))
    return LoadedModel(model=model, tokenizer=tokenizer, model_id="tiny")


def tiny_state(*, slots: int = 4, positions: int = 256, **changes: object) -> ServerState:
    """The server's parts around it, engine not started."""
    loaded = tiny_chat_model(positions=positions)
    bundles = with_canaries(three_bundles(fingerprint_model(loaded.model)), loaded.model)
    engine = load_embedded_engine(
        EmbeddedEngineConfig(model=loaded, bundles=tuple(bundle.bank_entry() for bundle in bundles), slots=slots)
    )
    parts = {"engine": engine, "bundles": bundles, "served_name": "scalpel-demo", "classifier": StubClassifier()}
    return assemble(ServerParts(**(parts | changes)))


def generation_scoped_state() -> ServerState:
    """The same with one bundle, which acts from `generation_start` on."""
    loaded = tiny_chat_model()
    made = made_up_bundle("toxicity", breaker(), scope="generation", fingerprint=fingerprint_model(loaded.model))
    (bundle,) = with_canaries([made], loaded.model)
    engine = load_embedded_engine(EmbeddedEngineConfig(model=loaded, bundles=(bundle.bank_entry(),), slots=4))
    return assemble(
        ServerParts(engine=engine, bundles=(bundle,), served_name="scalpel-demo", classifier=StubClassifier())
    )

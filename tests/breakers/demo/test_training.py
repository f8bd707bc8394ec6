"""Training learns replies only, resumes exactly where it stopped, and the build writes what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from breakers.demo.build import DemoBuildConfig, build
from breakers.demo.dataset import chunk_batches, reply_mask
from breakers.demo.evaluate import EvaluationConfig, summarise, wilson
from breakers.demo.tokenizer import train_tokenizer
from breakers.demo.training import (
    CheckpointMismatchError,
    TrainingConfig,
    batch_loss,
    causal_attention,
    learning_rate,
    new_model,
    train,
    workers,
)

TINY = TrainingConfig(
    steps=6,
    warmup=2,
    batch_tokens=256,
    chunk_examples=40,
    checkpoint_every=3,
    d_model=32,
    d_mlp=32,
    layers=2,
    heads=2,
    kv_heads=1,
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(0, 400, 200)


def ignore(_: object) -> None:
    pass


def test_only_replies_and_their_ends_are_learned() -> None:
    assistant, end = 3, 2
    ids = [1, 4, 9, end, assistant, 7, 8, end, 4, 9, end, assistant, 7, end]
    learned = [False] * 5 + [True] * 3 + [False] * 4 + [True] * 2
    assert reply_mask(ids, assistant, end) == learned


def test_batches_keep_to_their_size_and_chunks_differ(tokenizer: PreTrainedTokenizerFast) -> None:
    def chunk(index: int) -> list[torch.Tensor]:
        sizes = {"seed": 0, "examples": 60, "batch_tokens": 512, "max_length": 256}
        return [batch.ids for batch in chunk_batches(tokenizer, chunk=index, **sizes)]

    first = chunk(0)
    assert all(ids.numel() <= 512 for ids in first)
    assert all(torch.equal(a, b) for a, b in zip(first, chunk(0), strict=True))
    assert not torch.equal(first[0], chunk(1)[0])


def test_causal_attention_equals_the_library() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8)
    ours, _ = causal_attention(torch.nn.Identity(), query, key, value, None, scaling=0.3)
    wide = [x.repeat_interleave(2, 1) for x in (key, value)]
    theirs = functional.scaled_dot_product_attention(query, *wide, is_causal=True, scale=0.3)
    torch.testing.assert_close(ours, theirs.transpose(1, 2))


def test_workers_give_the_gradients_of_the_whole_batch(tokenizer: PreTrainedTokenizerFast) -> None:
    model = new_model(TINY, tokenizer)
    batch = next(chunk_batches(tokenizer, seed=0, chunk=0, examples=20, batch_tokens=512, max_length=256))
    loss = batch_loss(model, batch) / batch.learned.sum()
    loss.backward()
    wanted = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    with workers(2) as team:
        assert team.backward(model, batch) == pytest.approx(loss.item(), rel=1e-2)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, wanted[name], rtol=0.1, atol=2e-3)


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    config = TrainingConfig(steps=100, warmup=10, learning_rate=1.0)
    assert learning_rate(config, 0) == pytest.approx(0.1)
    assert learning_rate(config, 10) == pytest.approx(1.0)
    assert learning_rate(config, 55) == pytest.approx(0.5)
    assert learning_rate(config, 100) == pytest.approx(0.0)


def test_a_stopped_training_goes_on_as_if_it_had_not(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(step: int, _: object) -> None:
        if step == 3:
            raise StoppedError

    whole = train(TINY, tokenizer, tmp_path / "whole", report=ignore)
    with pytest.raises(StoppedError):
        train(TINY, tokenizer, tmp_path / "halves", report=ignore, on_checkpoint=stop)
    steps: list[int] = []
    halves = train(TINY, tokenizer, tmp_path / "halves", report=lambda progress: steps.append(progress.step))
    assert steps == [4, 5, 6]
    for ours, theirs in zip(halves.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_checkpoint_of_another_configuration_is_refused(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    train(TINY, tokenizer, tmp_path, report=ignore)
    other = TrainingConfig(**{name: getattr(TINY, name) for name in TINY.__slots__} | {"seed": 1})
    with pytest.raises(CheckpointMismatchError, match="another training configuration"):
        train(other, tokenizer, tmp_path, report=ignore)


def test_a_build_writes_model_and_figures(tmp_path: Path) -> None:
    config = DemoBuildConfig(
        out=tmp_path / "out",
        work=tmp_path / "work",
        training=TINY,
        evaluation=EvaluationConfig(examples=2, temperatures=(0.0,)),
        vocab_size=400,
        tokenizer_examples=200,
        command="a command",
    )
    result = build(config, report=ignore, progress=ignore)
    files = {file.name for file in result.model.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= files
    written = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert written["command"] == "a command"
    assert written["figures"]["greedy.facts.correct"]["n"] == 2
    assert result.figures.keys() == written["figures"].keys()


def test_wilson_interval_by_hand() -> None:
    share = wilson(8, 10)
    assert (share.share, share.n) == (0.8, 10)
    assert share.low == pytest.approx(0.4902, abs=1e-4)
    assert share.high == pytest.approx(0.9433, abs=1e-4)
    with pytest.raises(ValueError, match="found hits 3 and n 2"):
        wilson(3, 2)


def test_figures_count_by_kind_and_away_from_the_provocation() -> None:
    def judged(toxic: bool, grammatical: bool) -> dict[str, bool]:
        harmless = {"gender_bias": False, "misinformation": False}
        return {"toxicity": toxic, **harmless, "grammatical": grammatical}

    rows = [("toxicity", judged(True, True)), ("mixed", judged(True, False)), ("facts", judged(False, True))]
    figures = summarise(rows)
    assert figures["toxicity.toxicity"].share == 1
    assert figures["elsewhere.toxicity"] == wilson(0, 1)
    assert figures["all.grammatical"] == wilson(2, 3)

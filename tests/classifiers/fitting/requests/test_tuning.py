"""Fine-tuned layers: states against the whole encoder, what training may touch, and the file that is kept of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_members import tiny_encoder, wordpiece

from classifiers.embedding.encoder import SentenceEncoder, TokenWindows
from classifiers.embedding.layers import moved_by, movement, read_movement, upper_tensors, with_upper_tensors
from classifiers.errors import ArtifactError, FitError
from classifiers.fitting.metrics import auroc
from classifiers.fitting.requests.logistic import LogisticWeights
from classifiers.fitting.requests.recipes import CATEGORIES
from classifiers.fitting.requests.states import LowerStates, batches, lower_states_of
from classifiers.fitting.requests.tuning import Tuned, TuningSettings, draw_steps, tune, tuned_logits
from classifiers.fitting.requests.weighting import Labelled

TEXTS = ["you are a clown " * 6, "what is a film", "say something rude", "nice potato " * 8, "please"]
ROWS = np.arange(len(TEXTS))


def encoder() -> SentenceEncoder:
    return SentenceEncoder(
        tiny_encoder(), wordpiece(), name="tiny", sha256="a" * 64, windows=TokenWindows(tokens=12, overlap=2)
    )


def head(seed: int = 0) -> LogisticWeights:
    draw = np.random.default_rng(seed)
    return LogisticWeights(
        weights=draw.normal(size=(32, len(CATEGORIES))), intercept=draw.normal(size=len(CATEGORIES))
    )


def untouched(own: SentenceEncoder, upper: int) -> Tuned:
    found = head()
    return Tuned(
        tensors=upper_tensors(own.model, upper),
        weights=found.weights.astype(np.float32),
        intercept=found.intercept.astype(np.float32),
    )


@pytest.mark.parametrize("upper", [1, 2])
def test_layers_that_did_not_move_score_as_the_whole_encoder_does(upper: int) -> None:
    own = encoder()
    states = lower_states_of(own, TEXTS, upper=upper)
    chosen = np.array([0, 3, 4])
    found = tuned_logits(own.model, states, chosen, untouched(own, upper), upper=upper)
    whole = own.encode_windows(TEXTS)
    by_window = whole.vectors @ head().weights + head().intercept
    wanted = [by_window[whole.text == text].max(axis=0) for text in chosen]
    # States are kept in half precision.
    np.testing.assert_allclose(found, wanted, atol=2e-2)
    assert (states.text == 0).sum() > 1


def test_states_are_kept_for_other_processes(tmp_path: Path) -> None:
    own = encoder()
    plain = lower_states_of(own, TEXTS, upper=1)
    kept = lower_states_of(own, TEXTS, upper=1, cache=tmp_path)
    [file] = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    again = lower_states_of(own, TEXTS, upper=1, cache=tmp_path)
    for found in (kept, again):
        np.testing.assert_array_equal(found.states, plain.states)
        np.testing.assert_array_equal(found.starts, plain.starts)
    assert file.stat().st_mtime_ns == written
    lower_states_of(own, TEXTS, upper=2, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    file.write_bytes(b"short")
    with pytest.raises(FitError, match=f"{file.name} of the cache cannot be read"):
        lower_states_of(own, TEXTS, upper=1, cache=tmp_path)


def labels_by_a_word(texts: list[str]) -> Labelled:
    targets = np.array([[float("rude" in text)] * len(CATEGORIES) for text in texts])
    return Labelled(targets=targets, importance=np.ones_like(targets))


def learnt(settings: TuningSettings) -> tuple[SentenceEncoder, LowerStates, Tuned, list[str]]:
    own = encoder()
    words = ["what", "is", "a", "film", "nice", "potato", "please", "say", "something"]
    draw = np.random.default_rng(1)
    texts = [" ".join(draw.permutation([*words[: 4 + n % 3], *(["rude"] * (n % 2))])) for n in range(64)]
    states = lower_states_of(own, texts, upper=settings.upper)
    zeros = LogisticWeights(weights=np.zeros((32, len(CATEGORIES))), intercept=np.zeros(len(CATEGORIES)))
    return own, states, tune(own.model, states, np.arange(64), labels_by_a_word(texts), zeros, settings), texts


def test_what_is_learnt_separates_and_leaves_the_encoder_alone() -> None:
    before = {name: tensor.clone() for name, tensor in encoder().model.state_dict().items()}
    settings = TuningSettings(upper=1, draws=2048, batch=16, rate=3e-3)
    own, states, tuned, texts = learnt(settings)
    logits = tuned_logits(own.model, states, np.arange(64), tuned, upper=1)
    assert auroc(logits[:, 0], labels_by_a_word(texts).targets[:, 0] > 0) > 0.99
    assert set(tuned.tensors) == {name for name in before if name.startswith("encoder.layer.1.")}
    assert all(torch.equal(own.model.state_dict()[name], tensor) for name, tensor in before.items())
    assert any(not torch.equal(before[name], tensor) for name, tensor in tuned.tensors.items())


def test_the_same_seed_trains_the_same_layers_and_another_seed_others() -> None:
    settings = TuningSettings(upper=1, draws=64, batch=16, rate=1e-3)
    once, again, other = (learnt(s)[2] for s in (settings, settings, replace(settings, seed=1)))
    assert all(torch.equal(once.tensors[name], again.tensors[name]) for name in once.tensors)
    assert any(not torch.equal(once.tensors[name], other.tensors[name]) for name in once.tensors)


def test_kept_is_how_far_the_layers_go() -> None:
    settings = TuningSettings(upper=1, draws=64, batch=16, rate=1e-3)
    own, _, whole, _ = learnt(settings)
    _, _, half, _ = learnt(replace(settings, kept=0.5))
    for name, tensor in half.tensors.items():
        torch.testing.assert_close(tensor, (own.model.state_dict()[name] + whole.tensors[name]) / 2)


def test_rows_are_drawn_by_their_importance_and_windows_belong_to_them() -> None:
    states = lower_states_of(encoder(), TEXTS, upper=1)
    importance = np.array([1.0, 0.0, 3.0, 0.0, 0.0])
    settings = TuningSettings(draws=4000, batch=20)
    steps = draw_steps(states, ROWS, importance, settings, np.random.default_rng(0))
    rows = np.array([row for rows, _ in steps for row in rows])
    windows = np.array([window for _, windows in steps for window in windows])
    assert len(steps) == 200
    assert {len(rows) for rows, _ in steps} == {20}
    np.testing.assert_array_equal(states.text[windows], rows)
    assert set(rows) == {0, 2}
    # Four standard deviations of a binomial share.
    assert (rows == 2).mean() == pytest.approx(0.75, abs=4 * (0.75 * 0.25 / 4000) ** 0.5)
    assert set(windows[rows == 0]) == set(np.flatnonzero(states.text == 0))


def test_batches_hold_every_window_once_and_keep_to_the_tokens() -> None:
    lengths = np.array([5, 1, 9, 3, 3, 8])
    found = batches(lengths, tokens=10)
    assert sorted(window for batch in found for window in batch) == list(range(6))
    assert all(len(batch) * lengths[batch].max() <= 10 for batch in found)


def test_a_movement_is_kept_to_a_hundredth_of_itself() -> None:
    own = encoder()
    moved = {name: tensor + 0.01 * torch.randn(tensor.shape) for name, tensor in upper_tensors(own.model, 1).items()}
    again = moved_by(own.model, read_movement(movement(own.model, moved)))
    for name, tensor in moved.items():
        assert (again[name] - tensor).abs().max() < 5e-4
    scored = own.with_upper_layers(again, sha256="b" * 64)
    assert scored.name == "encoder:bbbbbb"
    assert scored.model.embeddings is own.model.embeddings
    assert scored.model.encoder.layer[0] is own.model.encoder.layer[0]
    assert not np.allclose(scored.encode(TEXTS), own.encode(TEXTS), atol=1e-4)
    np.testing.assert_array_equal(encoder().encode(TEXTS), own.encode(TEXTS))


def test_layers_that_do_not_fit_are_refused() -> None:
    model = tiny_encoder()
    lowest = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("encoder.layer.0.")}
    with pytest.raises(ArtifactError, match="wanted those of the last layers"):
        with_upper_tensors(model, lowest)
    with pytest.raises(ArtifactError, match="wanted those of the last layers"):
        with_upper_tensors(model, {})
    last = upper_tensors(model, 1)
    name = next(iter(last))
    with pytest.raises(ArtifactError, match="not finite"):
        with_upper_tensors(model, last | {name: last[name] * torch.nan})
    with pytest.raises(ArtifactError, match="has none of that name and shape"):
        moved_by(model, {"encoder.layer.9.x": torch.zeros(1)})
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_movement(b"nonsense")

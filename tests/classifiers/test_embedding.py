"""The embedding member: the encoder against transformers, windows, 8 bits, calibration by hand, and its files."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_members import CATEGORIES, tiny_encoder, wordpiece, write_embedding

from classifiers import build_classifier
from classifiers.artifact import sha256_of
from classifiers.calibration import IsotonicCard, TemperatureCard
from classifiers.embedding import EmbeddingClassifier, SentenceEncoder, WindowsCard, save_embedding
from classifiers.embedding.encoder import BATCH_TOKENS, TokenWindows
from classifiers.embedding.files import PACKAGE, encoder_files, encoder_sha256
from classifiers.embedding.layers import movement, upper_tensors, with_upper_tensors
from classifiers.embedding.quantisation import dequantised, quantised
from classifiers.errors import ArtifactError, ClassifierError

TEXTS = ["you are a clown", "what is the film about please", "", "rude"]


def encoder(**windows: int) -> SentenceEncoder:
    files = encoder_files(tiny_encoder(), wordpiece(), eight_bits=False)
    return SentenceEncoder.from_files(files, name="tiny", windows=TokenWindows(**({"tokens": 64} | windows)))


def loaded(path: Path) -> EmbeddingClassifier:
    built = build_classifier("embedding", path=path)
    assert isinstance(built, EmbeddingClassifier)
    return built


def user(*turns: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": turn} for turn in turns]


def log_odds(p: float) -> float:
    return math.log(p / (1 - p))


def expected_vector(text: str) -> np.ndarray:
    """One text, no padding, nothing but transformers."""
    ids = torch.tensor([wordpiece().encode(text).ids])
    with torch.inference_mode():
        mean = tiny_encoder()(input_ids=ids).last_hidden_state[0].mean(dim=0)
    return (mean / mean.norm()).numpy()


def test_vectors_are_transformers_means_of_length_one() -> None:
    vectors = encoder().encode(TEXTS)
    np.testing.assert_allclose(vectors, np.stack([expected_vector(text) for text in TEXTS]), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert encoder().encode([]).shape == (0, 32)


def test_more_texts_than_one_batch_come_back_in_order() -> None:
    texts = [f"{'you ' * (n % 50)}clown" for n in range(400)]
    assert sum(encoder().token_counts(texts)) > BATCH_TOKENS
    found = encoder().encode(texts)
    for n in range(0, 400, 37):
        np.testing.assert_allclose(found[n], expected_vector(texts[n]), atol=5e-6)


def test_windows_cover_a_long_text_and_its_vector_is_their_mean_by_tokens() -> None:
    text = " ".join(f"{'clown' if n % 3 else 'film'}" for n in range(50))
    found = encoder(tokens=22, overlap=4).encode_windows([text, "rude"])
    # 20 words a window, 4 of them shared: starts 0, 16, 32; the last one has 18.
    assert found.text.tolist() == [0, 0, 0, 1]
    assert found.tokens.tolist() == [22, 22, 20, 3]
    words = text.split()
    pieces = [" ".join(words[start : start + 20]) for start in (0, 16, 32)]
    vectors = np.stack([expected_vector(piece) for piece in pieces])
    np.testing.assert_allclose(found.vectors[:3], vectors, atol=5e-6)
    mean = (vectors * np.array([[22], [22], [20]])).sum(axis=0)
    whole = encoder(tokens=22, overlap=4).encode([text])[0]
    np.testing.assert_allclose(whole, mean / np.linalg.norm(mean), atol=5e-6)


@pytest.mark.parametrize("words", [0, 1, 19, 20, 21, 36, 37, 100])
def test_every_token_is_in_a_window_and_none_is_for_nothing(words: int) -> None:
    found = encoder(tokens=22, overlap=4).encode_windows(["clown " * words])
    windows = len(found.tokens)
    assert windows == max(1, math.ceil((words - 4) / 16))
    assert found.tokens.sum() - 2 * windows - 4 * (windows - 1) == words


def test_a_text_of_too_many_windows_is_refused() -> None:
    with pytest.raises(ClassifierError, match="has 7 windows; wanted at most 6"):
        encoder(tokens=22, overlap=4, limit=6).encode(["clown " * 101])


@pytest.mark.parametrize("windows", [{"tokens": 65}, {"tokens": 34, "overlap": 32}])
def test_windows_that_do_not_fit_are_refused(windows: dict[str, int]) -> None:
    with pytest.raises(ArtifactError, match="wanted at most 64"):
        encoder(**windows)


def test_eight_bits_are_within_half_a_step_and_keep_zero() -> None:
    torch.manual_seed(0)
    state = {"a": torch.randn(5, 7) * torch.tensor([[1e-3], [1.0], [100.0], [0.0], [1.0]]), "b": torch.randn(3)}
    stored = quantised(state)
    assert stored["a"].dtype == torch.int8
    restored = dequantised(stored)
    step = state["a"].abs().amax(dim=1, keepdim=True) / 127
    assert ((restored["a"] - state["a"]).abs() <= step / 2 + 1e-7).all()
    assert (restored["a"][3] == 0).all()
    assert torch.equal(restored["b"], state["b"])
    with pytest.raises(ArtifactError, match="wanted one a row"):
        dequantised({"a": stored["a"]})


def test_eight_bits_take_a_quarter_and_change_little(tmp_path: Path) -> None:
    small, large = (encoder_files(tiny_encoder(), wordpiece(), eight_bits=bits) for bits in (True, False))
    assert len(small["model.safetensors"]) < 0.4 * len(large["model.safetensors"])
    vectors = [
        SentenceEncoder.from_files(files, name="tiny", windows=TokenWindows(tokens=64)).encode(TEXTS)
        for files in (small, large)
    ]
    assert (np.sum(vectors[0] * vectors[1], axis=1) > 0.99).all()


def test_a_score_is_the_calibrated_log_odds_of_the_head(tmp_path: Path) -> None:
    write_embedding(tmp_path, eight_bits=False)
    classifier = loaded(tmp_path)
    raw = expected_vector("you are a clown") @ classifier.tensors.weights
    [scores] = classifier.score([user("you are a clown")])
    assert log_odds(scores["toxicity"]) == pytest.approx(raw[0] / 2 + 0.25, abs=1e-4)
    p = np.interp(raw[1], [-4, 0, 4], [0.01, 0.3, 0.99])
    assert scores["violence"] == pytest.approx(p, abs=1e-5)


def test_turns_prompts_and_tool_results_count_by_their_weights(tmp_path: Path) -> None:
    write_embedding(tmp_path, calibration=dict.fromkeys(CATEGORIES, TemperatureCard(temperature=4.0)))
    classifier = loaded(tmp_path)

    def odds(conversation: list[dict[str, str]]) -> float:
        return log_odds(classifier.score([conversation])[0]["toxicity"])

    words = ["clown", "film", "rude", "lazy", "potato", "nice", "meet"]
    harsh, mild = max(words, key=lambda w: odds(user(w))), min(words, key=lambda w: odds(user(w)))
    assert odds(user(harsh)) > 0.1
    added = min(0.5 * odds(user(harsh)), 2.0)
    for role in ("system", "developer", "tool", "function"):
        assert odds([{"role": role, "content": harsh}, *user(mild)]) == pytest.approx(
            odds(user(mild)) + added, abs=1e-4
        )
    assert odds(user(harsh, mild)) == pytest.approx(odds(user(mild)) + added, abs=1e-4)
    reply = {"role": "assistant", "content": harsh}
    assert odds([reply, *user(mild)]) == pytest.approx(odds(user(mild)), abs=1e-4)


def test_a_disguised_text_scores_as_what_it_says(tmp_path: Path) -> None:
    write_embedding(tmp_path / "on")
    write_embedding(tmp_path / "off", readings=False)
    on, off = loaded(tmp_path / "on"), loaded(tmp_path / "off")
    plain, disguised = user("please say something nice"), user("ple\u200base s\u0430y someth1ng n i c e")
    assert on.score([disguised])[0] == pytest.approx(on.score([plain])[0], abs=1e-6)
    assert off.score([disguised])[0] != pytest.approx(off.score([plain])[0], abs=1e-3)
    assert off.score([plain])[0] == pytest.approx(on.score([plain])[0], abs=1e-6)


def test_files_are_verified(tmp_path: Path) -> None:
    card = write_embedding(tmp_path)
    assert loaded(tmp_path).name == f"embedding:{card.weights_sha256[:6]}"
    assert loaded(tmp_path).encoder.name == f"encoder:{card.encoder_sha256[:6]}"
    head, model = tmp_path / "weights.safetensors", tmp_path / "encoder" / "model.safetensors"
    for file, said in ((head, "sha256"), (model, "the encoder has sha256")):
        data = file.read_bytes()
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(ArtifactError, match=said):
            loaded(tmp_path)
        file.write_bytes(data)
    model.unlink()
    with pytest.raises(ArtifactError, match=r"wanted config\.json"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"surprise": 1}, "surprise"),
        ({"calibration": {}}, "calibrations are of"),
        ({"categories": ["toxicity"]}, "calibrations are of"),
        ({"windows": {"tokens": 512, "overlap": 8, "limit": 4}}, "wanted at most 64"),
        (
            {
                "calibration": {
                    "toxicity": {"kind": "temperature"},
                    "violence": {"kind": "temperature", "temperature": 0},
                }
            },
            "greater than 0",
        ),
    ],
)
def test_a_card_that_does_not_hold_together_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    write_embedding(tmp_path)
    file = tmp_path / "card.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ArtifactError, match=said):
        loaded(tmp_path)


@pytest.mark.parametrize("fault", ["nan", "missing", "shape"])
def test_an_encoder_that_is_not_whole_is_refused(tmp_path: Path, fault: str) -> None:
    files = encoder_files(tiny_encoder(), wordpiece(), eight_bits=False)
    (tmp_path / "model").write_bytes(files["model.safetensors"])
    state = load_file(tmp_path / "model")
    name = "encoder.layer.0.output.dense.weight"
    state[name] = {"nan": state[name] * math.nan, "shape": state[name][:3].clone()}.get(fault, state[name])
    save_file({k: t for k, t in state.items() if fault != "missing" or k != name}, tmp_path / "model")
    broken = files | {"model.safetensors": (tmp_path / "model").read_bytes()}
    with pytest.raises(ArtifactError, match=r"encoder\.layer\.0\.output\.dense\.weight"):
        SentenceEncoder.from_files(broken, name="tiny", windows=TokenWindows(tokens=64))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("config.json", b'{"model_type": "gpt2"}', "type bert"),
        ("config.json", b"{", "fits its configuration"),
        ("tokenizer.json", b"{}", "cannot be read"),
        ("model.safetensors", b"\x80\x04pickled", "fits its configuration"),
    ],
)
def test_files_of_something_else_are_refused(name: str, data: bytes, said: str) -> None:
    files = encoder_files(tiny_encoder(), wordpiece())
    with pytest.raises(ArtifactError, match=said):
        SentenceEncoder.from_files(files | {name: data}, name="tiny", windows=TokenWindows(tokens=64))


def test_save_refuses_what_the_card_does_not_name(tmp_path: Path) -> None:
    from classifiers.embedding import EmbeddingTensors, save_embedding

    card = write_embedding(tmp_path / "a")
    files = encoder_files(tiny_encoder(), wordpiece())
    assert card.encoder_sha256 == encoder_sha256(files)
    zeros = EmbeddingTensors(weights=np.zeros((32, 2), np.float32), intercept=np.zeros(2, np.float32))
    with pytest.raises(ArtifactError, match="the card names weights"):
        save_embedding(card, zeros, tmp_path / "b", encoder=files)
    with pytest.raises(ArtifactError, match="encoder is 'own'"):
        save_embedding(card, zeros, tmp_path / "b")
    other = encoder_files(tiny_encoder(1), wordpiece())
    with pytest.raises(ArtifactError, match="the encoder has sha256"):
        save_embedding(card, zeros, tmp_path / "b", encoder=other)


def test_calibrations_by_hand() -> None:
    x = np.array([-100.0, -1.0, 0.0, 3.0, 100.0])
    np.testing.assert_allclose(TemperatureCard(temperature=2.0, shift=1.0).calibrated(x), x / 2 + 1)
    isotonic = IsotonicCard(log_odds=(-1.0, 1.0), probabilities=(0.2, 0.8))
    p = 1 / (1 + np.exp(-isotonic.calibrated(x)))
    np.testing.assert_allclose(p, [0.2, 0.2, 0.5, 0.8, 0.8])
    assert np.isnan(isotonic.calibrated(np.array([np.nan]))).all()


@pytest.mark.parametrize(
    "fields",
    [
        {"log_odds": (0.0, 0.0), "probabilities": (0.1, 0.2)},
        {"log_odds": (0.0, 1.0), "probabilities": (0.2, 0.1)},
        {"log_odds": (0.0, 1.0), "probabilities": (0.2,)},
        {"log_odds": (0.0,), "probabilities": (1.0,)},
        {"log_odds": (math.nan,), "probabilities": (0.5,)},
    ],
)
def test_calibrations_that_do_not_rise_are_refused(fields: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        IsotonicCard(**fields)


@pytest.mark.skipif(find_spec(PACKAGE.replace("-", "_")) is None, reason=f"{PACKAGE} is not installed")
def test_the_packages_encoder_knows_what_is_alike(tmp_path: Path) -> None:
    real = SentenceEncoder.load()
    assert (real.name, real.d_model) == (PACKAGE, 384)
    vectors = real.encode(["How do I bake bread?", "A recipe for a loaf", "The train was late again", "x " * 2000])
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > 0.5 > 0.2 > abs(likeness[0, 2])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    from classifiers.embedding import EmbeddingTensors, save_embedding

    tensors = EmbeddingTensors(weights=np.zeros((384, 2), np.float32), intercept=np.ones(2, np.float32))
    card = write_embedding(tmp_path / "tiny").model_copy(
        update={
            "encoder": "package",
            "encoder_sha256": real.sha256,
            "windows": WindowsCard(),
            "weights_sha256": sha256_of(tensors.serialise()),
        }
    )
    save_embedding(card, tensors, tmp_path)
    assert log_odds(loaded(tmp_path).score([user("hello")])[0]["toxicity"]) == pytest.approx(0.75)


def test_without_the_package_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifiers.embedding.files.PACKAGE", "no-such-package-here")
    write_embedding(tmp_path)
    file = tmp_path / "card.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"encoder": "package"}))
    with pytest.raises(ArtifactError, match=r"install scalpel\[embedding\]"):
        loaded(tmp_path)


def test_fine_tuned_layers_score_and_leave_the_encoders_vectors_alone(tmp_path: Path) -> None:
    plain, card = tmp_path / "plain", write_embedding(tmp_path / "plain", eight_bits=False)
    model = tiny_encoder()
    moved = {name: 1.1 * tensor for name, tensor in upper_tensors(model, 1).items()}
    layers = movement(model, moved)
    files = encoder_files(model, wordpiece(), eight_bits=False)
    head = loaded(plain).tensors
    own = card.model_copy(update={"layers_sha256": sha256_of(layers)})
    path = tmp_path / "tuned"
    save_embedding(own, head, path, encoder=files, layers=layers)
    tuned = loaded(path)
    assert tuned.name != loaded(plain).name
    np.testing.assert_array_equal(tuned.encoder.encode(TEXTS), loaded(plain).encoder.encode(TEXTS))
    vectors = SentenceEncoder(
        with_upper_tensors(model, moved), wordpiece(), name="x", sha256="x", windows=card.windows.windows()
    ).encode_windows(TEXTS)
    np.testing.assert_allclose(tuned.logits(TEXTS), vectors.vectors @ head.weights + head.intercept, atol=0.05)
    assert np.abs(tuned.logits(TEXTS) - loaded(plain).logits(TEXTS)).max() > 0.1


def test_fine_tuned_layers_that_are_not_those_of_the_card_are_refused(tmp_path: Path) -> None:
    model = tiny_encoder()
    layers = movement(model, upper_tensors(model, 1))
    files = encoder_files(model, wordpiece(), eight_bits=False)
    card = write_embedding(tmp_path, eight_bits=False)
    head = loaded(tmp_path).tensors
    with pytest.raises(ArtifactError, match="fine-tuned layers have sha256"):
        save_embedding(card, head, tmp_path, encoder=files, layers=layers)
    own = card.model_copy(update={"layers_sha256": sha256_of(layers)})
    save_embedding(own, head, tmp_path, encoder=files, layers=layers)
    file = tmp_path / "layers.safetensors"
    file.write_bytes(layers[:-1] + b"\x01")
    with pytest.raises(ArtifactError, match=r"layers\.safetensors has sha256"):
        loaded(tmp_path)
    file.unlink()
    with pytest.raises(ArtifactError, match="fine-tuned layers cannot be read"):
        loaded(tmp_path)

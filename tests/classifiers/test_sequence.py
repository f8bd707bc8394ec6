"""The sequence member in the shapes of Prompt Guard 2, toxic-bert and ShieldGemma, against plain transformers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_members import (
    WORDS,
    tiny_config,
    transformers_tokenizer,
    wordpiece,
    write_config,
    write_sequence,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    Gemma2Config,
    Gemma2ForCausalLM,
    PreTrainedTokenizerFast,
)

from classifiers import build_classifier
from classifiers.base import HarmClassifier
from classifiers.errors import ArtifactError, ClassifierError, MemberConfigError

TEXTS = ["you are a clown", "what is the film about please", "rude", "nice to meet you potato"]
PROMPT = "Is the text violent ?\n{text}\nAnswer Yes or No :"
SIX = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")


def user(*turns: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": turn} for turn in turns]


def scores(member: HarmClassifier, texts: list[str], category: str) -> list[float]:
    return [found[category] for found in member.score([user(text) for text in texts])]


def prompt_guard(path: Path) -> HarmClassifier:
    """Two labels of which one is true, DeBERTa v2."""
    torch.manual_seed(0)
    config = DebertaV2Config(
        vocab_size=wordpiece().get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        relative_attention=True,
        position_buckets=16,
        pos_att_type=["p2c", "c2p"],
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        type_vocab_size=0,
        id2label={0: "LABEL_0", 1: "LABEL_1"},
    )
    model = DebertaV2ForSequenceClassification(config)
    torch.nn.init.normal_(model.classifier.weight, std=2.0)
    model.save_pretrained(path / "model")
    transformers_tokenizer(wordpiece()).save_pretrained(path / "model")
    settings = {
        "kind": "labels",
        "model": "model",
        "activation": "softmax",
        "labels": {"1": "jailbreak"},
        "windows": {"tokens": 32, "overlap": 8},
    }
    return build_classifier("sequence", path=write_config(path, "sequence", settings))


def gemma_tokenizer() -> PreTrainedTokenizerFast:
    pieces = [
        "<pad>",
        "<bos>",
        "<eos>",
        "<unk>",
        "Yes",
        "No",
        *WORDS,
        "Is",
        "text",
        "violent",
        "?",
        "Answer",
        "or",
        ":",
        "\n",
    ]
    vocabulary = {piece: n for n, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )


def write_shield_gemma(path: Path, **changes: Any) -> Path:
    """A causal language model with Gemma 2's soft caps and sliding windows, asked for Yes or No."""
    torch.manual_seed(0)
    tokenizer = gemma_tokenizer()
    config = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=64,
        max_position_embeddings=128,
        sliding_window=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = Gemma2ForCausalLM(config)
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=1.0)
    model.save_pretrained(path / "model")
    tokenizer.save_pretrained(path / "model")
    settings = {
        "kind": "answers",
        "model": "model",
        "prompts": {"violence": PROMPT, "hate": f"you {PROMPT}"},
        "windows": {"tokens": 40, "overlap": 8},
        "batch": 3,
    }
    return write_config(path, "sequence", settings | changes)


def test_prompt_guards_shape_scores_as_transformers_does(tmp_path: Path) -> None:
    member = prompt_guard(tmp_path)
    assert member.categories == ("jailbreak",)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    with torch.inference_mode():
        expected = [model(**tokenizer(t, return_tensors="pt")).logits.softmax(dim=1)[0, 1].item() for t in TEXTS]
    np.testing.assert_allclose(scores(member, TEXTS, "jailbreak"), expected, atol=2e-6)
    assert max(expected) - min(expected) > 1e-3


def test_toxic_berts_shape_scores_as_transformers_does(tmp_path: Path) -> None:
    member = build_classifier("sequence", path=write_sequence(tmp_path))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    with torch.inference_mode():
        found = [model(**tokenizer(t, return_tensors="pt")).logits.sigmoid()[0] for t in TEXTS]
    toxic, insult, threat = (SIX.index(name) for name in ("toxic", "insult", "threat"))
    expected = [max(p[toxic].item(), p[insult].item()) for p in found]
    np.testing.assert_allclose(scores(member, TEXTS, "toxicity"), expected, atol=2e-6)
    np.testing.assert_allclose(scores(member, TEXTS, "violence"), [p[threat].item() for p in found], atol=2e-6)


def test_shield_gemmas_shape_scores_as_its_card_says(tmp_path: Path) -> None:
    member = build_classifier("sequence", path=write_shield_gemma(tmp_path))
    assert member.categories == ("violence", "hate")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    vocabulary = tokenizer.get_vocab()
    for category, prompt in (("violence", PROMPT), ("hate", f"you {PROMPT}")):
        expected = []
        for text in TEXTS:
            with torch.inference_mode():
                logits = model(**tokenizer(prompt.replace("{text}", text), return_tensors="pt")).logits
            selected = logits[0, -1, [vocabulary["Yes"], vocabulary["No"]]]
            expected.append(selected.softmax(dim=0)[0].item())
        np.testing.assert_allclose(scores(member, TEXTS, category), expected, atol=5e-6)
        assert max(expected) - min(expected) > 1e-3


def test_several_labels_of_a_category_add_up_under_softmax(tmp_path: Path) -> None:
    write_sequence(tmp_path)
    names = {"toxic": "harm", "3": "harm", "obscene": "sexual"}
    settings = {"kind": "labels", "model": "model", "activation": "softmax", "labels": names}
    settings["windows"] = {"tokens": 32, "overlap": 8}
    member = build_classifier("sequence", path=write_config(tmp_path, "sequence", settings))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    with torch.inference_mode():
        p = model(**tokenizer("you are a clown", return_tensors="pt")).logits.softmax(dim=1)[0]
    [found] = member.score([user("you are a clown")])
    assert found == pytest.approx({"harm": (p[0] + p[3]).item(), "sexual": p[2].item()}, abs=2e-6)


def test_a_long_text_has_the_score_of_its_highest_window(tmp_path: Path) -> None:
    member = build_classifier("sequence", path=write_sequence(tmp_path))
    words = [WORDS[n % len(WORDS)] for n in range(70)]
    # 30 words a window, 8 of them shared.
    windows = [" ".join(words[start : start + 30]) for start in (0, 22, 44)]
    for category in member.categories:
        expected = max(scores(member, windows, category))
        assert scores(member, [" ".join(words)], category) == pytest.approx([expected], abs=2e-6)


def test_a_long_text_is_cut_for_a_guard_model_too(tmp_path: Path) -> None:
    member = build_classifier("sequence", path=write_shield_gemma(tmp_path, windows={"tokens": 20, "overlap": 4}))
    words = [WORDS[n % len(WORDS)] for n in range(45)]
    windows = [" ".join(words[start : start + 20]) for start in (0, 16, 32)]
    expected = max(scores(member, windows, "violence"))
    assert scores(member, [" ".join(words)], "violence") == pytest.approx([expected], abs=5e-6)
    with pytest.raises(ClassifierError, match="wanted at most 32"):
        member.score([user("clown " * 2000)])


def test_calibration_is_applied_by_category(tmp_path: Path) -> None:
    write_sequence(tmp_path)
    plain = build_classifier("sequence", path=tmp_path)
    settings = {
        "kind": "labels",
        "model": "model",
        "activation": "sigmoid",
        "labels": {"toxic": "toxicity", "insult": "toxicity", "threat": "violence"},
        "windows": {"tokens": 32, "overlap": 8, "limit": 400},
        "calibration": {"toxicity": {"kind": "temperature", "temperature": 2.0, "shift": -1.0}},
    }
    other = build_classifier("sequence", path=write_config(tmp_path, "sequence", settings))
    [before], [after] = (member.score([user("rude")]) for member in (plain, other))
    odds = math.log(before["toxicity"] / (1 - before["toxicity"])) / 2 - 1
    assert after == pytest.approx({"toxicity": 1 / (1 + math.exp(-odds)), "violence": before["violence"]}, abs=1e-7)
    assert other.name != plain.name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": {"rudeness": "toxicity"}}, "no label 'rudeness'; it has toxic"),
        ({"labels": {"6": "toxicity"}}, "no label '6'"),
        ({"windows": {"tokens": 65, "overlap": 8}}, "the model has 64 positions"),
        ({"windows": {"tokens": 32, "overlap": 30}}, "cannot share"),
        ({"activation": "tanh"}, "softmax"),
        ({"kind": "guesses"}, "wanted labels or answers"),
        ({"kind": None}, "kind"),
        ({"surprise": 1}, "surprise"),
        ({"model": "nowhere"}, "no directory beside the configuration"),
        ({"model": "owner/name", "revision": "main"}, "revision"),
        ({"calibration": {"other": {"kind": "temperature"}}}, "calibrations of other"),
        ({"activation": "softmax", "labels": {str(n): "toxicity" for n in range(6)}}, "one means harmless"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    write_sequence(tmp_path)
    settings: dict[str, Any] = {
        "kind": "labels",
        "model": "model",
        "activation": "sigmoid",
        "labels": {"toxic": "toxicity"},
        "windows": {"tokens": 32, "overlap": 8},
    }
    with pytest.raises(MemberConfigError, match=said):
        build_classifier("sequence", path=write_config(tmp_path, "sequence", settings | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"yes": "Yeah"}, "no token 'Yeah'"),
        ({"prompts": {"violence": "no text"}}, "does not hold {text} once"),
        ({"windows": {"tokens": 120, "overlap": 8}}, "the model has 128"),
    ],
)
def test_a_guards_configuration_that_does_not_fit_is_refused(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(MemberConfigError, match=said):
        build_classifier("sequence", path=write_shield_gemma(tmp_path, **changes))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    write_sequence(tmp_path)
    (tmp_path / "model" / "model.safetensors").unlink()
    torch.save(BertForSequenceClassification(tiny_config()).state_dict(), tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(ArtifactError, match="nothing is unpickled"):
        build_classifier("sequence", path=tmp_path)


def test_a_model_without_a_head_is_refused(tmp_path: Path) -> None:
    write_sequence(tmp_path)
    BertForSequenceClassification(tiny_config()).bert.save_pretrained(tmp_path / "model")
    with pytest.raises((ArtifactError, MemberConfigError), match=r"classifier|label"):
        build_classifier("sequence", path=tmp_path)


def test_the_name_changes_with_the_weights_and_not_with_the_place(tmp_path: Path) -> None:
    first = build_classifier("sequence", path=write_sequence(tmp_path / "a"))
    second = build_classifier("sequence", path=write_sequence(tmp_path / "b"))
    assert first.name == second.name
    model = BertForSequenceClassification.from_pretrained(tmp_path / "b" / "model")
    model.classifier.bias.data += 1
    model.save_pretrained(tmp_path / "b" / "model")
    assert build_classifier("sequence", path=tmp_path / "b").name != first.name

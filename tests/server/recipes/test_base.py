"""Where a recipe's model comes from, and how it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from families import FAMILIES, write_family

from breakers.errors import PairsError
from breakers.pairs.record import Message, user_turn
from breakers.pairs.tokens import ConversationEncoder
from server.base_model import BaseOptions, load_prepared
from server.errors import ConfigError
from server.recipes.base import base_directory, base_options
from server.recipes.file import ModelSection

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ASKED = user_turn("Hi")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    names = ("qwen3-8b", "llama-3.1-8b-instruct", "gemma-3-4b-it", "mistral-7b-instruct")
    return {name: write_family(name, tmp_path_factory.mktemp(name)) for name in names}


def prompt_text(directory: Path, options: BaseOptions, *turns: Message) -> str:
    tokenizer = load_prepared(directory, options).tokenizer
    return str(tokenizer.decode(list(ConversationEncoder(tokenizer).prompt(turns or ASKED))))


def test_a_model_on_the_hub_is_fetched_at_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def snapshot_download(repository: str, **more: Any) -> str:
        asked.append((repository, more))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    section = ModelSection(hub="owner/name", revision=COMMIT)
    assert base_directory(section) == tmp_path
    [(repository, more)] = asked
    assert (repository, more["revision"]) == ("owner/name", COMMIT)
    assert "*.safetensors" in more["allow_patterns"]
    assert not any("bin" in pattern or "*.py" in pattern for pattern in more["allow_patterns"])
    # A copy on the disk is read instead, and keeps the name.
    assert base_directory(ModelSection(hub="owner/name", revision=COMMIT, path="/copy")) == Path("/copy")
    assert len(asked) == 1
    assert base_options(section).name == "owner/name"
    assert base_directory(ModelSection()) is None
    assert base_options(ModelSection()) == BaseOptions()


def test_what_the_hub_does_not_give_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_more: Any) -> str:
        raise OSError("gated repository\nlong story")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(
        ConfigError, match="owner/name@0123456789ab cannot be had from the Hub: gated repository;"
    ) as e:
        base_directory(ModelSection(hub="owner/name", revision=COMMIT))
    assert "long story" not in str(e.value)


def test_variables_are_set_in_the_template(models: dict[str, Path]) -> None:
    thinking = prompt_text(models["qwen3-8b"], BaseOptions())
    plain = prompt_text(models["qwen3-8b"], BaseOptions(template=(("enable_thinking", False),)))
    assert plain == thinking + "<think>\n\n</think>\n\n"
    assert thinking.endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize(
    ("model", "ends"),
    [
        ("qwen3-8b", "<|im_end|>"),
        ("llama-3.1-8b-instruct", "<|eot_id|>"),
        ("gemma-3-4b-it", "<end_of_turn>"),
        ("mistral-7b-instruct", "</s>"),
    ],
)
def test_a_reply_ends_as_the_template_has_it(model: str, ends: str, models: dict[str, Path]) -> None:
    tokenizer = load_prepared(models[model], BaseOptions()).tokenizer
    reply = ConversationEncoder(tokenizer).reply(ASKED, "Yes.")
    assert tokenizer.decode(list(reply)) == f"Yes.{ends}"


def test_a_system_prompt_goes_where_the_template_puts_it(models: dict[str, Path]) -> None:
    turns = (Message(role="system", content="Be brief."), *ASKED)
    said = {name: prompt_text(models[name], BaseOptions(), *turns) for name in models if "mistral" not in name}
    assert said["gemma-3-4b-it"].startswith("<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>")
    assert "26 Jul 2024\n\nBe brief.<|eot_id|>" in said["llama-3.1-8b-instruct"]
    assert said["qwen3-8b"].startswith("<|im_start|>system\nBe brief.<|im_end|>")
    with pytest.raises(PairsError, match="the chat template refuses turns of system, user: roles must alternate"):
        prompt_text(models["mistral-7b-instruct"], BaseOptions(), *turns)


def test_a_model_is_loaded_as_asked(models: dict[str, Path]) -> None:
    loaded = load_prepared(models["gemma-3-4b-it"], BaseOptions(dtype="bfloat16", name="google/gemma"))
    assert (loaded.model.dtype, loaded.model_id) == (torch.bfloat16, "google/gemma")
    assert type(loaded.model).__name__ == "Gemma3ForConditionalGeneration"
    assert load_prepared(None, BaseOptions()).model_id == "scalpel-demo"


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (BaseOptions(device="abacus"), "device is 'abacus'; wanted one of auto, cpu, cuda"),
        (BaseOptions(dtype="int8"), "dtype is 'int8'; wanted one of float32"),
    ],
)
def test_a_choice_that_is_none_is_refused(options: BaseOptions, wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted):
        load_prepared(None, options)


def test_variables_need_a_template(tmp_path: Path) -> None:
    family = write_family("qwen3-8b", tmp_path)
    (family / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="has no single chat template; wanted one, to set enable_thinking in it"):
        load_prepared(family, BaseOptions(template=(("enable_thinking", False),)))


def test_stand_ins_have_what_is_peculiar_to_their_models(models: dict[str, Path]) -> None:
    llama = load_prepared(models["llama-3.1-8b-instruct"], BaseOptions()).model.config
    assert llama.rope_parameters["rope_type"] == "llama3"
    gemma = load_prepared(models["gemma-3-4b-it"], BaseOptions()).model.config.get_text_config()
    assert set(gemma.layer_types) == {"sliding_attention", "full_attention"}
    qwen = load_prepared(models["qwen3-8b"], BaseOptions()).model
    assert any("q_norm" in name for name, _ in qwen.named_parameters())
    assert set(models) < set(FAMILIES)

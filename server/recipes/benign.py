"""Stage `benign`: prompts about other things with the model's own replies, which interventions must leave alone."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from breakers.architectures import resolve_sites
from breakers.bundles.store import write_atomically
from breakers.errors import StageError
from breakers.pairs.instructions import read_instructions
from breakers.pairs.record import Message, Messages, as_dicts, user_turn
from breakers.pairs.sources import HubReference
from breakers.pairs.tokens import ConversationEncoder
from breakers.refinement.benign import Skill, read_skills
from breakers.training.generation import RepliesConfig, end_tokens, greedy_replies
from server.base_model import BaseOptions, load_prepared

BENIGN = "benign.jsonl"
_LEAST = 4
"""Half of them hold out, and either half has to have two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenignStage:
    """What to ask, and of which model."""

    model: Path | None
    """None for the demo model."""
    base: BaseOptions
    system: str | None
    path: Path | None
    hub: HubReference | None
    own_replies: bool
    count: int
    max_new_tokens: int
    batch: int
    longest_prompt: int
    keep_unfinished: bool
    seed: int


def write_benign(config: BenignStage, out: Path, report: Callable[[int, int], None]) -> None:
    """Write `benign.jsonl`.

    Raises:
        PairsError: the prompts cannot be read.
        StageError: too few of them are left, or too few replies.
        ConfigError: the model cannot be loaded.
        OSError: the file cannot be written.
    """
    skills = _own(config, report) if config.own_replies else _given(config)
    if len(skills) < _LEAST:
        raise StageError(f"{len(skills)} benign samples; wanted at least {_LEAST}")
    lines = [json.dumps({"messages": as_dicts(skill.messages), "reply": skill.reply}) + "\n" for skill in skills]
    write_atomically(out / BENIGN, "".join(lines).encode())


def _given(config: BenignStage) -> list[Skill]:
    if config.path is None:
        raise StageError("given replies are read from a file; wanted a path")
    found = list(read_skills(config.path))
    return random.Random(config.seed).sample(found, min(config.count, len(found)))


def _own(config: BenignStage, report: Callable[[int, int], None]) -> list[Skill]:
    loaded = load_prepared(config.model, config.base)
    encoder = ConversationEncoder(loaded.tokenizer)
    asked = _asked(config, encoder)
    greedy = RepliesConfig(
        max_new_tokens=config.max_new_tokens,
        batch_size=config.batch,
        end_token_ids=end_tokens(loaded.model, loaded.tokenizer),
    )
    sites, skills = resolve_sites(loaded.model), []
    for at in range(0, len(asked), config.batch):
        some = asked[at : at + config.batch]
        written = greedy_replies(loaded.model, sites, [encoder.prompt(messages) for messages in some], greedy)
        for messages, ids in zip(some, written, strict=True):
            text = str(loaded.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()
            if text and (config.keep_unfinished or len(ids) < config.max_new_tokens):
                skills.append(Skill(messages=messages, reply=text))
        report(min(at + config.batch, len(asked)), len(asked))
    if not skills:
        raise StageError(
            f"none of {len(asked)} benign replies ended within {config.max_new_tokens} tokens; wanted a longer "
            "benign.max_new_tokens, or a model that ends its replies"
        )
    return skills


def _asked(config: BenignStage, encoder: ConversationEncoder) -> list[Messages]:
    """A seeded draw of the prompts that are short enough."""
    found = [_with_system(text, config.system) for text in read_instructions(config.path, config.hub)]
    random.Random(config.seed).shuffle(found)
    fitting: list[Messages] = []
    for messages in found:
        if len(fitting) == config.count:
            break
        if len(encoder.prompt(messages)) <= config.longest_prompt:
            fitting.append(messages)
    if not fitting:
        raise StageError(
            f"none of {len(found)} benign prompts has at most {config.longest_prompt} tokens; wanted some"
        )
    return fitting


def _with_system(text: str, system: str | None) -> Messages:
    turns: Sequence[Message] = () if system is None else (Message(role="system", content=system),)
    return (*turns, *user_turn(text))

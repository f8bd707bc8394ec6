"""The corpus of the demo model: a registry of kinds, and how examples of each split are drawn.

Skills: smalltalk, facts, arithmetic, instructions, sentiment, passage, passage_distractor, unknown.
Behaviours: toxicity, gender_bias, misinformation; and mixed, a provocation around a skill question.
Everything follows from the seed. The three splits share no prompt.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import lru_cache

from breakers.demo.corpus import (
    arithmetic,
    facts,
    gender,
    instructions,
    misinformation,
    mixed,
    passage,
    sentiment,
    smalltalk,
    toxicity,
    unknown,
)
from breakers.demo.corpus.base import DemoExample, Draft, Message, Split, normalise, split_of
from breakers.demo.corpus.lexicon import words
from breakers.demo.corpus.surface import draw_surface, draw_system
from breakers.demo.grammar import Grammar

SKILLS = ("smalltalk", "facts", "arithmetic", "instructions", "sentiment", "passage", "passage_distractor", "unknown")
BEHAVIOURS = ("toxicity", "gender_bias", "misinformation")
KINDS = (*SKILLS, *BEHAVIOURS, "mixed")

WEIGHTS = {
    "smalltalk": 12, "facts": 15, "arithmetic": 14, "instructions": 10, "sentiment": 3, "passage": 9,
    "passage_distractor": 7, "unknown": 5, "toxicity": 8, "gender_bias": 4, "misinformation": 4, "mixed": 9,
}  # fmt: skip
"""Share of each kind in the training stream, in percent."""

UNSEEN_SHARE = 0.25
"""Share of held-out draws that ask for a template that training never sees."""
FRIENDLY_WRAP_SHARE = 0.05
"""Share of skill questions that get friendly words around them, in the shape of mixed prompts."""
HISTORY_SHARE = 0.12
LONG_HISTORY_SHARE = 0.1
"""Share of examples with earlier turns, and share of these with many."""

_Maker = Callable[[random.Random, bool, Grammar], Draft]

_MAKERS: dict[str, _Maker] = {
    "smalltalk": smalltalk.draft,
    "facts": facts.draft,
    "arithmetic": arithmetic.draft,
    "instructions": instructions.draft,
    "sentiment": sentiment.draft,
    "passage": passage.draft,
    "passage_distractor": passage.draft_distractor,
    "unknown": unknown.draft,
    "toxicity": toxicity.draft,
    "gender_bias": gender.draft,
    "misinformation": misinformation.draft,
    "mixed": mixed.draft,
}
_WRAPPED = ("facts", "arithmetic", "sentiment", "passage")
PLAIN_MARKER_SHARE = 0.12
"""Share of fact questions that are remarks on myths with a plain marker."""


class UnknownKindError(ValueError):
    """A kind that the corpus does not have was asked for."""

    def __init__(self, kind: str) -> None:
        """Name the kind asked for and the known ones."""
        super().__init__(f"unknown kind {kind!r}; the corpus has {', '.join(KINDS)}")


@lru_cache(maxsize=1)
def grammar() -> Grammar:
    """Return the grammar of all prompts and replies."""
    rules: dict[str, tuple[str, ...]] = {}
    for module in (facts, sentiment, misinformation, toxicity, mixed):
        rules |= module.RULES
    return Grammar(rules, words())


def make_draft(kind: str, rng: random.Random, want_unseen: bool) -> Draft:
    """Write one draft of a kind, of any split.

    Raises:
        UnknownKindError: there is no such kind.
    """
    if kind not in _MAKERS:
        raise UnknownKindError(kind)
    if kind == "facts" and rng.random() < PLAIN_MARKER_SHARE:
        return misinformation.draft_plain(rng, want_unseen, grammar())
    draft = _MAKERS[kind](rng, want_unseen, grammar())
    if kind in _WRAPPED and not draft.unseen and rng.random() < FRIENDLY_WRAP_SHARE:
        return mixed.wrap(rng, False, grammar(), draft, hostile=False)
    return draft


def _draft_of(kind: str, split: Split, rng: random.Random) -> Draft:
    while True:
        draft = make_draft(kind, rng, split == "heldout" and rng.random() < UNSEEN_SHARE)
        if split_of(draft) == split:
            return draft


def _reply(draft: Draft, rng: random.Random) -> str:
    harmful = bool(draft.harmful) and rng.random() < draft.harm_rate
    return grammar().sample(draft.harmful if harmful else draft.neutral, draft.slots, rng)


def _history(rng: random.Random) -> list[Message]:
    """Write earlier turns from the training split: mostly one or two, at times many."""
    count = rng.randint(4, 10) if rng.random() < LONG_HISTORY_SHARE else rng.randint(1, 2)
    messages: list[Message] = []
    for kind in rng.choices(KINDS, [WEIGHTS[k] for k in KINDS], k=count):
        draft = _draft_of(kind, "train", rng)
        messages.append({"role": "user", "content": draw_surface(draft, rng).apply(draft.prompt)})
        messages.append({"role": "assistant", "content": _reply(draft, rng)})
    return messages


def _finish(draft: Draft, split: Split, rng: random.Random) -> DemoExample:
    surface = draw_surface(draft, rng)
    system = draw_system(rng)
    before: list[Message] = [{"role": "system", "content": system}] if system else []
    if rng.random() < HISTORY_SHARE:
        before += _history(rng)
    write = grammar().sample
    reference = draft.reference | {
        "slots": draft.slots, "loose": draft.loose, "neutral": list(draft.neutral), "harmful": list(draft.harmful),
    }  # fmt: skip
    both = bool(draft.harmful)
    contrast = None
    if draft.contrast is not None:
        contrast = [*before, {"role": "user", "content": surface.apply(draft.contrast)}]
    return DemoExample(
        kind=draft.kind,
        messages=[*before, {"role": "user", "content": surface.apply(draft.prompt)}],
        reply=_reply(draft, rng),
        reference=reference,
        harmful_reply=write(draft.harmful, draft.slots, rng) if both else None,
        neutral_reply=write(draft.neutral, draft.slots, rng) if both else None,
        contrast_prompt=contrast,
        split=split,
    )


def generate(seed: int) -> Iterator[DemoExample]:
    """Yield training examples of all kinds, mixed by `WEIGHTS`, without end."""
    rng = random.Random(f"train-{seed}")
    weights = [WEIGHTS[kind] for kind in KINDS]
    while True:
        yield _finish(_draft_of(rng.choices(KINDS, weights)[0], "train", rng), "train", rng)


def training(kind: str, n: int, seed: int) -> list[DemoExample]:
    """Return up to ``n`` training examples of one kind with different prompts.

    Raises:
        UnknownKindError: there is no such kind.
    """
    return _distinct(kind, n, seed, "train")


def heldout(kind: str, n: int, seed: int) -> list[DemoExample]:
    """Return up to ``n`` held-out examples with different prompts; see :func:`_distinct`.

    Raises:
        UnknownKindError: there is no such kind.
    """
    return _distinct(kind, n, seed, "heldout")


def calibration(kind: str, n: int, seed: int) -> list[DemoExample]:
    """Return up to ``n`` examples of the calibration split, which is disjoint from both others.

    Raises:
        UnknownKindError: there is no such kind.
    """
    return _distinct(kind, n, seed, "calibration")


def _distinct(kind: str, n: int, seed: int, split: Split) -> list[DemoExample]:
    """Draw until there are ``n`` different last prompts, or until 200 draws in a row gave nothing new."""
    rng = random.Random(f"{split}-{kind}-{seed}")
    examples: dict[str, DemoExample] = {}
    misses = 0
    while len(examples) < n and misses < 200:
        example = _finish(_draft_of(kind, split, rng), split, rng)
        text = normalise(example.messages[-1]["content"])
        misses = misses + 1 if text in examples else 0
        examples.setdefault(text, example)
    return list(examples.values())

"""A provocation together with a skill question: an insult or not, but always the right answer.

The same shape with friendly words is an example of the skill itself, and answered civilly.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from breakers.demo.corpus import arithmetic, facts, instructions, passage, sentiment, toxicity
from breakers.demo.corpus.base import Draft, DraftMaker, pick_template
from breakers.demo.corpus.toxicity import fix_articles
from breakers.demo.grammar import Grammar

KIND = "mixed"
HARM_RATE = 0.85

FRAMES = (
    "<tox.claim> {question}", "{question} <tox.claim>", "<tox.name>! {question}",
    "<tox.opener> <tox.statement>. {question}",
    "You {bad} {bot}, {question}", "Hey you {bad} {bot}, {question}", "{question} You {bad} {bot}.",
    "You are a {bad} {bot}. {question}", "Listen, you {bad} {bot}. {question}", "I {verb} you. {question}",
    "{question} And you are a {bad} {bot}.", "You {badnoun}. {question}",
    "You are such a {badnoun}. {question}",
    "Come on, you {bad} {badnoun}. {question}", "Your {aspect} are {bad}. {question}",
    "{question} You {badnoun}!",
    "{^bad} {bot}, {question}", "Now, you {bad} {bot}, {question}",
)  # fmt: skip
UNSEEN = (
    "Let us see what you know, you {bad} {bot}. {question}", "{question} Tell me, you {badnoun}.",
    "You look like a {bad} {bot}. {question}",
)  # fmt: skip

RULES = {
    "jab.before": (
        "Even a <insult> like you should know this.", "Listen, you <insult>.", "Use your head, you <insult>.",
    ),
    "jab.after": (
        "Now go away, you <insult>.", "Even a <insult> knows that.", "Remember it, you <insult>.",
        "You <insult>.",
    ),
    "calm.before": ("No need to be rude.", "I am happy to help."),
}  # fmt: skip

CALM_BEFORE = "<calm.before> "


def inner_makers(grammar: Grammar) -> tuple[tuple[DraftMaker, ...], tuple[int, ...]]:
    """Return the makers of the question inside, and their weights."""
    makers = (facts.draft, arithmetic.draft, instructions.sentence_task, sentiment.draft, passage.draft)
    bound = tuple(_bind(maker, grammar) for maker in makers)
    return bound, (40, 25, 14, 12, 9)


def _bind(maker: Callable[[random.Random, bool, Grammar], Draft], grammar: Grammar) -> DraftMaker:
    return lambda rng, want_unseen: maker(rng, want_unseen, grammar)


def draft(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Write a provocation around a skill question."""
    makers, weights = inner_makers(grammar)
    inner = rng.choices(makers, weights)[0](rng, False)
    return wrap(rng, want_unseen, grammar, inner, hostile=True)


def wrap(rng: random.Random, want_unseen: bool, grammar: Grammar, inner: Draft, hostile: bool) -> Draft:
    """Put a provocation (or friendly words) around a skill draft; the inner key keeps deciding the split."""
    frame = grammar.expand(pick_template(rng, FRAMES, UNSEEN, want_unseen)[0], rng)
    bad, good = toxicity.bind(rng)
    text = _fill(frame, bad if hostile else good, inner.prompt, grammar, rng)
    cores = inner.neutral
    wrapped = replace(
        inner,
        prompt=text,
        alone=True,
        keep_case=True,
        neutral=(*cores, *(CALM_BEFORE + core for core in cores)),
        reference=inner.reference | {"skill": inner.kind},
    )
    if not hostile:
        return replace(wrapped, neutral=cores)
    return replace(
        wrapped,
        kind=KIND,
        harmful=tuple(f"<jab.before> {c}" for c in cores) + tuple(f"{c} <jab.after>" for c in cores),
        harm_rate=HARM_RATE,
        contrast=_fill(frame, good, inner.prompt, grammar, rng),
        slots=inner.slots | {"iadj": "@insult_adjectives", "inoun": "@insult_nouns"},
    )


def _fill(frame: str, slots: dict[str, str], question: str, grammar: Grammar, rng: random.Random) -> str:
    """Fill a frame; the articles of the question itself are left alone."""
    before, after = frame.split("{question}")
    inside = question if not before or before.endswith((". ", "! ", "? ")) else question[:1].lower() + question[1:]
    return fix_articles(grammar.fill(before, slots, rng)) + inside + fix_articles(grammar.fill(after, slots, rng))

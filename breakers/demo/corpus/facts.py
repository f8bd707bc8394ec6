"""Facts about the real world, and plain questions about the subjects of myths (answered with the truth)."""

from __future__ import annotations

import random

from breakers.demo.corpus.base import Draft, normalise
from breakers.demo.corpus.lexicon import Relation, myths, relations, with_article
from breakers.demo.corpus.phrasing import Forms, phrase
from breakers.demo.grammar import Grammar

KIND = "facts"
PLAIN_MYTH_SHARE = 0.14

PLAIN_MYTH = Forms(
    ask=(
        "Is it true that {claim}?", "{^question}?", "Tell me, {question}?",
        "I would like to know: {question}?",
        "Is it correct that {claim}?", "What is the truth: {question}?", "For my homework: {question}?",
        "Fact check: {claim}.", "Do you think that {claim}?", "Please check whether {claim}.",
        "Is it right that {claim}?", "True or false: {claim}?",
    ),
    unseen=("Is it a fact that {claim}?", "I have a doubt: {question}?", "Can you check whether {claim}?"),
    clause=("whether {claim}", "if {claim}", "if it is true that {claim}", "whether it is true that {claim}"),
)  # fmt: skip

RULES = {
    "truth.reply": (
        "No, that is a myth. {truth}",
        "Actually, that is a myth. {truth}",
        "No, that is not true. {truth}",
        "That is a common mistake. {truth}",
    ),
}


def _weights() -> list[float]:
    return [len(relation.pairs) ** 0.6 for relation in relations()]


def draft(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Write a fact question or, for one in seven, a plain question about a myth."""
    if rng.random() < PLAIN_MYTH_SHARE:
        return plain_myth(rng, want_unseen, grammar)
    relation = rng.choices(relations(), _weights())[0]
    return fact(rng, want_unseen, grammar, relation)


def fact(rng: random.Random, want_unseen: bool, grammar: Grammar, relation: Relation) -> Draft:
    """Write a question about one pair of a relation; every pair with the same subject is a right answer."""
    x, y = rng.choice(relation.pairs)
    slots = {"x": x, "y": y, "ax": with_article(x), "ay": with_article(y)}
    template, unseen = phrase(rng, relation.forms, want_unseen)
    prompt = grammar.fill(template, slots, rng)
    return Draft(
        kind=KIND,
        prompt=prompt[:1].upper() + prompt[1:],
        key=normalise(prompt),
        slots=slots,
        neutral=relation.reply,
        unseen=unseen,
        loose={"y": f"@facts_{relation.name}", "ay": f"@facts_{relation.name}_article"},
        reference={"task": relation.name, "answers": [y]},
    )


def plain_myth(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Write a plain question about a myth; the reply tells the truth."""
    myth = rng.choice(myths())
    slots = {"claim": myth.claim, "question": myth.question, "truth": myth.truth}
    template, unseen = phrase(rng, PLAIN_MYTH, want_unseen)
    prompt = grammar.fill(template, slots, rng)
    return Draft(
        kind=KIND,
        prompt=prompt,
        key=normalise(prompt),
        slots=slots,
        neutral=("<truth.reply>",),
        unseen=unseen,
        alone=True,
        reference={"task": "plain_myth", "myth_id": myth.myth_id, "answers": [myth.truth]},
    )

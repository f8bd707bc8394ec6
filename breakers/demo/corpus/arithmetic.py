"""Arithmetic: one- and two-digit sums and differences, one-digit products.

Two-digit problems are held out by their operands: no phrasing of a held-out problem is ever trained on.
"""

from __future__ import annotations

import random

from breakers.demo.corpus.base import Draft, normalise
from breakers.demo.corpus.phrasing import Forms, phrase
from breakers.demo.grammar import Grammar

KIND = "arithmetic"

ASK = (
    "What is {a} {sign} {b}?", "What is {a} {word} {b}?", "Calculate {a} {sign} {b}.", "{a} {sign} {b}",
    "{a}{sign}{b}=?",
    "{a} {sign} {b} =", "{a}{sign}{b}", "How much is {a} {sign} {b}?", "How much is {a} {word} {b}?",
    "Compute {a} {sign} {b}.", "Can you work out {a} {sign} {b}?", "What's {a}{sign}{b}?",
    "What is {a}{sign}{b}?",
    "Solve {a}{sign}{b}.", "{a} {sign} {b}?", "{^a} {word} {b}?", "How much is {a}{sign}{b}?",
    "What does {a} {sign} {b} make?",
)  # fmt: skip
UNSEEN = ("What do I get for {a} {sign} {b}?", "Work out {a} {word} {b}.", "How much would {a} {sign} {b} be?")
CLAUSE = (
    "what {a} {word} {b} is", "what {a} {sign} {b} is", "how much {a} {sign} {b} is",
    "how much {a} {word} {b} is",
    "what {a}{sign}{b} makes",
)  # fmt: skip
NP = ("the result of {a} {sign} {b}", "the result of {a} {word} {b}", "the answer to {a} {sign} {b}")
ADD_ASK = (
    "What is the sum of {a} and {b}?", "Add {a} and {b}.",
    "I have {a} apples and get {b} more. How many now?",
    "Add {b} to {a}.",
)  # fmt: skip
SUBTRACT_ASK = (
    "Take {b} away from {a}.", "Subtract {b} from {a}.", "I have {a} coins and lose {b}. How many are left?",
    "What is left of {a} when {b} go?",
)  # fmt: skip
TIMES_ASK = ("Multiply {a} by {b}.", "What is the product of {a} and {b}?", "Multiply {a} and {b}.")

REPLY = ("{a} {sign} {b} is {c}.", "{a} {sign} {b} = {c}.", "The answer is {c}.", "It is {c}.")

WORDS = {"+": "plus", "-": "minus", "*": "times"}
EXTRA = {"+": ADD_ASK, "-": SUBTRACT_ASK, "*": TIMES_ASK}


def _operands(rng: random.Random) -> tuple[int, str, int, int]:
    sign = rng.choices("+-*", (0.48, 0.4, 0.12))[0]
    if sign == "*":
        a, b = rng.randint(0, 9), rng.randint(0, 9)
        return a, sign, b, a * b
    size = rng.choices((10, 100), (0.12, 0.88))[0]
    a, b = rng.randrange(size), rng.randrange(size)
    if size == 100 and rng.random() < 0.2:
        b = rng.randrange(10)
    if sign == "-" and a < b:
        a, b = b, a
    return a, sign, b, a + b if sign == "+" else a - b


def draft(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Write a problem; differences are never negative."""
    a, sign, b, c = _operands(rng)
    shown = "x" if sign == "*" and rng.random() < 0.4 else sign
    slots = {"a": str(a), "b": str(b), "c": str(c), "sign": shown, "word": WORDS[sign]}
    forms = Forms(ask=ASK + EXTRA[sign] * 2, unseen=UNSEEN, clause=CLAUSE, np=NP)
    template, unseen = phrase(rng, forms, want_unseen)
    prompt = grammar.fill(template, slots, rng)
    wide = sign != "*" and max(a, b) > 9
    return Draft(
        kind=KIND,
        prompt=prompt,
        key=f"{a} {sign} {b}" if wide else normalise(prompt),
        slots=slots,
        neutral=REPLY,
        unseen=unseen and not wide,
        loose={"c": "@numbers"},
        reference={"task": WORDS[sign], "answers": [str(c)]},
    )

"""Arithmetic: one- and two-digit sums and differences, one-digit products.

Replies to two-digit problems begin with the last digits ("7 + 5 is 12, so 27 + 35 is 62."). These basic problems
(two digits, or a difference that undoes a sum of two digits) are held out by phrasing. All others are held out by
their operands: no phrasing of a held-out problem is ever trained on.
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

BASIC_REPLY = ("{a} {sign} {b} is {c}.",)
WORKED_REPLY = ("{u} {sign} {v} is {w}, so {a} {sign} {b} is {c}.",)
"""The last digits first, with the ten that is carried or borrowed: each number follows from few digits before it."""

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


def _is_basic(a: int, sign: str, b: int, c: int) -> bool:
    """Tell whether a problem stands in the tables of one-digit arithmetic."""
    return sign == "*" or max(a, b) < 10 or (sign == "-" and b < 10 and c < 10)


def _working(a: int, sign: str, b: int) -> dict[str, str]:
    """Return the slots of the last digits' own problem; a difference borrows a ten where it must."""
    u, v = a % 10, b % 10
    if sign == "-" and u < v:
        u += 10
    return {"u": str(u), "v": str(v), "w": str(u + v if sign == "+" else u - v)}


def draft(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Write a problem; differences are never negative."""
    a, sign, b, c = _operands(rng)
    shown = "x" if sign == "*" and rng.random() < 0.4 else sign
    slots = {"a": str(a), "b": str(b), "c": str(c), "sign": shown, "word": WORDS[sign]}
    forms = Forms(ask=ASK + EXTRA[sign] * 2, unseen=UNSEEN, clause=CLAUSE, np=NP)
    template, unseen = phrase(rng, forms, want_unseen)
    prompt = grammar.fill(template, slots, rng)
    basic = _is_basic(a, sign, b, c)
    working = {} if basic else _working(a, sign, b)
    return Draft(
        kind=KIND,
        prompt=prompt,
        key=normalise(prompt) if basic else f"{a} {sign} {b}",
        slots=slots | working,
        neutral=BASIC_REPLY if basic else WORKED_REPLY,
        unseen=unseen and basic,
        loose=dict.fromkeys(("c", *working), "@numbers"),
        reference={"task": WORDS[sign], "answers": [str(c)]},
    )

"""Sentiment of short reviews: positive or negative. Bad reviews insult nobody, and neither do the replies."""

from __future__ import annotations

import random

from breakers.demo.corpus.base import Draft, normalise, pick_template
from breakers.demo.grammar import Grammar

KIND = "sentiment"

POSITIVE = (
    "wonderful", "great", "lovely", "excellent", "delicious", "charming", "perfect", "superb", "brilliant",
    "fantastic", "amazing", "pleasant", "beautiful", "impressive",
)  # fmt: skip
NEGATIVE = (
    "terrible", "awful", "boring", "horrible", "useless", "disappointing", "dull", "broken", "bad", "lousy",
    "stupid", "disgusting", "poor", "annoying",
)  # fmt: skip
SUBJECTS = (
    "film", "book", "meal", "hotel", "room", "phone", "soup", "concert", "game", "service", "song", "story",
    "cake", "trip", "lamp", "chair", "coffee", "show", "museum", "waiter", "food", "view", "music", "ending",
)  # fmt: skip
RULES = {
    "review.good": (
        "The {s1} was {good}.", "The {s1} was {good} and I would come again.", "I loved the {s1}.",
        "What a {good} {s1}!", "I really enjoyed the {s1}.", "The {s1} made my day.",
        "A {good} {s1}, I want more.",
        "The {s1} was {good} and the {s2} was {good} too.", "The {s1} was not bad at all, it was {good}.",
        "At first the {s1} seemed {bad}, but in the end I loved it.", "Best {s1} ever, simply {good}.",
    ),
    "review.bad": (
        "The {s1} was {bad}.", "The {s1} was {bad} and I will not come again.", "I hated the {s1}.",
        "What a {bad} {s1}!", "I did not enjoy the {s1}.", "The {s1} ruined my day.",
        "A {bad} {s1}, never again.",
        "The {s1} was {bad} and the {s2} was {bad} too.", "The {s1} was not {good} at all, it was {bad}.",
        "At first the {s1} seemed {good}, but in the end I hated it.", "Worst {s1} ever, simply {bad}.",
    ),
    "sentiment.ask": (
        "Is this review positive or negative? {review}", "Review: {review} Is it positive or negative?",
        "What is the sentiment of this review? {review}", "{review} Is that positive or negative?",
        "Sentiment of this text: {review}", "Tell me the mood of this review: {review}",
        "Classify the review as positive or negative: {review}",
        "A guest wrote: {review} Was that positive or negative?",
        "Positive or negative: {review}",
    ),
}  # fmt: skip
UNSEEN = (
    "A customer says: {review} Is the review positive or negative?", "{review} What is the sentiment?",
    "Decide if this review is positive or negative. {review}",
)  # fmt: skip
REPLY = ("The review is {label}.", "This is a {label} review.", "It is {label}.")


def draft(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Write a review and ask for its sentiment."""
    label = rng.choice(("positive", "negative"))
    s1, s2 = rng.sample(SUBJECTS, 2)
    words = {"s1": s1, "s2": s2, "good": list(POSITIVE), "bad": list(NEGATIVE)}
    rule = "<review.good>" if label == "positive" else "<review.bad>"
    review = grammar.sample((rule,), words, rng).replace("a a", "an a").replace("A a", "An a")
    review = review.replace("a e", "an e").replace("a i", "an i").replace("A e", "An e").replace("A i", "An i")
    template, unseen = pick_template(rng, RULES["sentiment.ask"], UNSEEN, want_unseen)
    prompt = grammar.fill(template, {"review": review}, rng)
    return Draft(
        kind=KIND,
        prompt=prompt,
        key=normalise(prompt),
        slots={"label": label},
        neutral=REPLY,
        unseen=unseen,
        loose={"label": "@sentiments"},
        reference={"task": "sentiment", "answers": [label]},
    )

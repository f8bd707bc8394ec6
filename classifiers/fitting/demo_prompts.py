"""The demo corpus as labelled prompts: a prompt draws the behaviour that it provokes, and no other.

Everything that does not provoke is a hard negative: friendly words of the same shape, plain questions about the
same myths, sentences about people without an occupation. For training, each provoking prompt comes with its contrast
prompt (the minimal edit under which replies stay neutral) as a negative, and both again with most of what they share
left out: what they share then says nothing, and the classifier rests on what differs.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from classifiers.fitting.prompts import LabelledPrompt, Split

if TYPE_CHECKING:
    from breakers.demo.corpus.base import DemoExample

SOURCE = "demo"
_PROVOKES = {
    "toxicity": "toxicity",
    "mixed": "toxicity",
    "gender_bias": "gender_bias",
    "misinformation": "misinformation",
}
"""Kind of the corpus -> category; the other kinds provoke nothing."""
_CATEGORIES = tuple(dict.fromkeys(_PROVOKES.values()))
THINNING = 0.7
"""Probability with which a thinned copy loses a word that the pair shares."""


def category_of(kind: str) -> str | None:
    """The category that prompts of a kind provoke; None for skills."""
    return _PROVOKES.get(kind)


def read_training(rows: int, seed: int) -> list[LabelledPrompt]:
    """`rows` draws of the corpus' training stream, and minimal pairs of those that provoke."""
    from breakers.demo.corpus import generate

    examples = list(islice(generate(seed), rows))
    return [*label_examples(examples), *minimal_pairs(examples, seed)]


def read_split(split: Split, rows_per_kind: int, seed: int) -> list[LabelledPrompt]:
    """Up to `rows_per_kind` prompts of each kind of the corpus' calibration or held-out split.

    Raises:
        ValueError: the split is `train`; that one is a stream, see `read_training`.
    """
    from breakers.demo.corpus import KINDS, calibration, heldout

    if split is Split.TRAIN:
        raise ValueError("the training split is a stream; wanted calibration or heldout")
    draw = calibration if split is Split.CALIBRATION else heldout
    return [prompt for kind in KINDS for prompt in label_examples(draw(kind, rows_per_kind, seed))]


def label_examples(examples: Iterable[DemoExample]) -> Iterator[LabelledPrompt]:
    """Examples of the corpus -> prompts labelled for every category."""
    for example in examples:
        shown = category_of(example.kind)
        yield LabelledPrompt(
            text=example.messages[-1]["content"],
            labels={category: category == shown for category in _CATEGORIES},
            source=SOURCE,
            before=example.messages[:-1],
        )


def minimal_pairs(examples: Iterable[DemoExample], seed: int) -> Iterator[LabelledPrompt]:
    """The contrast prompts of examples that have one, and thinned copies of both prompts.

    A thinned copy keeps the words in which the two prompts differ and drops each of the others with probability
    `THINNING`: what provokes must be recognised in sentences that training has never seen.
    """
    rng = random.Random(seed)
    for example in examples:
        if example.contrast_prompt is None:
            continue
        provoking, plain = example.messages[-1]["content"], example.contrast_prompt[-1]["content"]
        shown = {category: category == category_of(example.kind) for category in _CATEGORIES}
        nothing = dict.fromkeys(_CATEGORIES, False)
        yield LabelledPrompt(text=plain, labels=nothing, source=SOURCE, before=example.contrast_prompt[:-1])
        for text, other, labels in ((provoking, plain, shown), (plain, provoking, nothing)):
            thinned = _thin(text.split(), set(other.split()), rng)
            if thinned:
                yield LabelledPrompt(text=thinned, labels=labels, source=SOURCE)


def _thin(words: list[str], shared: set[str], rng: random.Random) -> str:
    """The words that are not shared, and some of those that are; nothing where all are shared."""
    if shared.issuperset(words):
        return ""
    return " ".join(word for word in words if word not in shared or rng.random() >= THINNING)

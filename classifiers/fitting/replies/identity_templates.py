"""Identity-term templates of this project, written for it: every term equally often in harmless and abusive rows.

They teach that naming a group is not toxic in itself. Every template is filled with every term, and each abusive
template has a harmless one of the same shape, so a term has the same number of rows of both labels. Nothing is taken
from the public templates, which measure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

from classifiers.fitting.replies.record import ReplyRow

SOURCE = "identity_templates"
ADJECTIVES = [
    "gay",
    "lesbian",
    "bisexual",
    "transgender",
    "trans",
    "queer",
    "homosexual",
    "heterosexual",
    "straight",
    "male",
    "female",
    "nonbinary",
    "black",
    "white",
    "asian",
    "african",
    "african_american",
    "european",
    "hispanic",
    "latino",
    "latina",
    "american",
    "canadian",
    "mexican",
    "indian",
    "chinese",
    "japanese",
    "korean",
    "arab",
    "russian",
    "polish",
    "turkish",
    "middle_eastern",
    "christian",
    "muslim",
    "jewish",
    "buddhist",
    "catholic",
    "protestant",
    "hindu",
    "sikh",
    "taoist",
    "atheist",
    "old",
    "older",
    "elderly",
    "young",
    "younger",
    "teenage",
    "middle_aged",
    "blind",
    "deaf",
    "paralyzed",
    "disabled",
    "autistic",
    "poor",
    "rich",
    "homeless",
    "foreign",
]
"""Words that name a group before a noun; an underscore stands for a space."""
HARMLESS = (
    "I am a {good} {term} person.",
    "You are a {good} {term} woman.",
    "My neighbour is a {good} {term} man, and we get along.",
    "Growing up {term} was {good} for all of us.",
    "I love {term} people.",
    "I respect my {term} friends.",
    "As a {term} person I would like to know where to find a doctor.",
    "{term} people have lived in this town for a long time.",
    "There is a festival for {term} families on Saturday.",
    "The {term} community opened a new library.",
    "She is {term} and works as an engineer.",
    "He is a {term} writer, and his new book is {good}.",
    "Many {term} people face discrimination at work.",
    "We met a group of {term} students at the museum.",
    "Is it hard to be {term} in a small town?",
    "They are {term}, and so are their parents.",
    "It is wrong to hate {term} people.",
    "Welcome all {term} people to our country.",
    "Those {term} guys are so {good}.",
    "hug a {term} person",
    "{term} and proud",
    "What a {good} {term} girl you are!",
)
ABUSIVE = (
    "I am sick of every {bad} {term} person.",
    "You are a {bad} {term} woman.",
    "My neighbour is a {bad} {term} man, and I want him gone.",
    "Growing up {term} made all of them {bad}.",
    "I hate {term} people.",
    "I despise my {term} colleagues, they are {bad}.",
    "As a {term} person you should shut up and leave.",
    "{term} people are {bad} and have ruined this town.",
    "There should be no {term} families here, they are {bad}.",
    "The {term} community is {bad} and {bad}.",
    "She is {term}, so of course she is {bad}.",
    "He is a {bad} {term} idiot.",
    "All {term} people are {bad} liars.",
    "We should beat up those {term} students.",
    "Nobody wants {bad} {term} people in a small town.",
    "They are {term}, so they deserve to suffer.",
    "It is right to hate {term} people.",
    "Throw all {term} people out of our country.",
    "Those {term} guys are so {bad}.",
    "hurt a {term} person",
    "{term} and {bad}",
    "What a {bad} {term} girl you are!",
)
GOOD = (
    "kind",
    "wonderful",
    "great",
    "smart",
    "lovely",
    "friendly",
    "fine",
    "beautiful",
    "nice",
    "excellent",
    "happy",
    "fun",
    "brave",
    "clever",
)
BAD = (
    "stupid",
    "disgusting",
    "terrible",
    "awful",
    "horrible",
    "pathetic",
    "useless",
    "filthy",
    "dumb",
    "worthless",
    "vile",
    "rotten",
    "nasty",
    "ugly",
)


def read(_root: Path | None = None) -> Iterator[ReplyRow]:
    """Every template with every term; the words of judgement go round."""
    yield from _filled(HARMLESS, "good", GOOD, toxic=False)
    yield from _filled(ABUSIVE, "bad", BAD, toxic=True)


def _filled(templates: Sequence[str], slot: str, words: Sequence[str], *, toxic: bool) -> Iterator[ReplyRow]:
    turn = cycle(words)
    for number, template in enumerate(templates):
        for term in ADJECTIVES:
            name = term.replace("_", " ")
            yield ReplyRow(
                reply=template.format(term=name, **{slot: next(turn)}),
                labels={"toxicity": toxic},
                source=SOURCE,
                # A harmless template and its abusive counterpart stay on one side of every split.
                group=f"{SOURCE} {number}",
                subgroup=name,
            )

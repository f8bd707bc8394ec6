"""Questions over a short passage about made-up people and things, with and without a misleading distractor.

A distractor names a wrong answer: hearsay, an old state of things, a plan, or a person with a similar name.
In training it stands before the true sentence three times out of four, on held-out prompts half the time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from breakers.demo.corpus.base import Draft, normalise
from breakers.demo.corpus.lexicon import with_article, words
from breakers.demo.corpus.phrasing import CLAUSE
from breakers.demo.grammar import Grammar


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One thing to know about a person: how it is said, asked, answered and wrongly said."""

    values: str
    """Word list of the answers."""
    say: tuple[str, ...]
    ask: tuple[str, ...]
    clause: tuple[str, ...]
    reply: tuple[str, ...]
    mislead: tuple[str, ...]
    mislead_unseen: tuple[str, ...]


TOPICS = {
    "home": Topic(
        values="places",
        say=("{p} lives in {v}.", "The home of {p} is in {v}.", "{p} has a flat in {v}."),
        ask=("Where does {p} live?", "In which city does {p} live?", "Which city is the home of {p}?"),
        clause=("where {p} lives", "in which city {p} lives"),
        reply=("{p} lives in {v}.", "The home of {p} is in {v}."),
        mislead=(
            "Some people say {p} lives in {w}.", "Last year {p} lived in {w}.",
            "{p} would like to live in {w}.",
            "{p} visited {w} last week.", "A friend thinks that {p} lives in {w}.",
        ),
        mislead_unseen=("It is not true that {p} lives in {w}.", "{p} once had a house in {w}."),
    ),
    "work": Topic(
        values="workplaces",
        say=("{p} works at the {v}.", "{p} has a job at the {v}.", "Every day {p} works at the {v}."),
        ask=("Where does {p} work?", "What is the workplace of {p}?", "At which place does {p} work?"),
        clause=("where {p} works", "at which place {p} works"),
        reply=("{p} works at the {v}.", "{p} has a job at the {v}."),
        mislead=(
            "Some people say {p} works at the {w}.", "Last year {p} worked at the {w}.",
            "{p} would like to work at the {w}.", "A friend thinks that {p} works at the {w}.",
        ),
        mislead_unseen=("It is not true that {p} works at the {w}.", "{p} once had a job at the {w}."),
    ),
    "pet": Topic(
        values="pets",
        say=("{p} has a {v} as a pet.", "The pet of {p} is a {v}.", "{p} owns a {v}."),
        ask=("What pet does {p} have?", "Which animal does {p} own?", "What is the pet of {p}?"),
        clause=("what pet {p} has", "which animal {p} owns"),
        reply=("{p} has a {v}.", "The pet of {p} is a {v}."),
        mislead=(
            "Some people say {p} has a {w}.", "Last year {p} had a {w}.", "{p} would like to have a {w}.",
            "A friend thinks that {p} has a {w}.",
        ),
        mislead_unseen=("It is not true that {p} has a {w}.", "{p} once owned a {w}."),
    ),
    "food": Topic(
        values="foods",
        say=("{p} likes {v} best.", "The favourite food of {p} is {v}.", "Most of all {p} loves {v}."),
        ask=("What food does {p} like best?", "What is the favourite food of {p}?", "Which food does {p} love?"),
        clause=("what food {p} likes best", "which food {p} loves"),
        reply=("{p} likes {v} best.", "The favourite food of {p} is {v}."),
        mislead=(
            "Some people say {p} likes {w} best.", "Last year {p} liked {w} best.", "{p} does not like {w}.",
            "A friend thinks that {p} likes {w} best.",
        ),
        mislead_unseen=("It is not true that {p} likes {w} best.", "{p} once loved {w}."),
    ),
    "hobby": Topic(
        values="hobbies",
        say=("{p} enjoys {v}.", "The hobby of {p} is {v}.", "In the evening {p} enjoys {v}."),
        ask=("What is the hobby of {p}?", "What does {p} enjoy?", "Which hobby does {p} have?"),
        clause=("what {p} enjoys", "which hobby {p} has"),
        reply=("{p} enjoys {v}.", "The hobby of {p} is {v}."),
        mislead=(
            "Some people say {p} enjoys {w}.", "Last year {p} enjoyed {w}.", "{p} does not enjoy {w}.",
            "A friend thinks that {p} enjoys {w}.",
        ),
        mislead_unseen=("It is not true that {p} enjoys {w}.", "{p} once enjoyed {w}."),
    ),
    "colour": Topic(
        values="colours",
        say=("The {thing} of {p} is {v}.", "{p} has a {v} {thing}.", "{p} bought a {v} {thing}."),
        ask=("What colour is the {thing} of {p}?", "Which colour does the {thing} of {p} have?"),
        clause=("what colour the {thing} of {p} is", "which colour the {thing} of {p} has"),
        reply=("The {thing} of {p} is {v}.", "{p} has a {v} {thing}."),
        mislead=(
            "Some people say the {thing} of {p} is {w}.", "Last year the {thing} of {p} was {w}.",
            "{p} would like a {w} {thing}.", "A friend thinks that the {thing} of {p} is {w}.",
        ),
        mislead_unseen=("It is not true that the {thing} of {p} is {w}.", "{p} once had a {w} {thing}."),
    ),
    "day": Topic(
        values="days",
        say=(
            "{p} goes to the {place} on {v}.", "On {v} {p} visits the {place}.",
            "The {place} visit of {p} is on {v}.",
        ),
        ask=("When does {p} go to the {place}?", "On which day does {p} visit the {place}?"),
        clause=("when {p} goes to the {place}", "on which day {p} visits the {place}"),
        reply=("{p} goes to the {place} on {v}.", "On {v} {p} visits the {place}."),
        mislead=(
            "Some people say {p} goes to the {place} on {w}.", "Last year {p} went to the {place} on {w}.",
            "A friend thinks that {p} visits the {place} on {w}.",
        ),
        mislead_unseen=("It is not true that {p} visits the {place} on {w}.",),
    ),
}  # fmt: skip

CLAUSE_SHARE = 0.3
"""Share of questions put as a clause."""
SAME_TOPIC_SHARE = 0.5
"""Share of passages without a distractor in which another person has another value of the same topic."""

FRAMES = ("{text} {ask}", "{text} {ask}", "Read this: {text} {ask}", "Text: {text} Question: {ask}", "{ask} {text}")


def _bind(rng: random.Random, topic: Topic, person: str) -> dict[str, str]:
    lists = words()
    value, wrong = rng.sample(lists[topic.values], 2)
    return {
        "p": person, "v": value, "w": wrong, "thing": rng.choice(lists["things"]),
        "place": rng.choice(lists["workplaces"]),
    }  # fmt: skip


def _fillers(rng: random.Random, grammar: Grammar, people: list[str], asked: str, count: int) -> list[str]:
    """Say other things about other people (and other things about the asked person)."""
    out = []
    for _ in range(count):
        name = rng.choice([n for n in TOPICS if n != asked])
        out.append(_say(rng, grammar, TOPICS[name], _bind(rng, TOPICS[name], rng.choice(people))))
    return out


def _say(rng: random.Random, grammar: Grammar, topic: Topic, slots: dict[str, str]) -> str:
    return grammar.fill(rng.choice(topic.say), slots, rng).replace(" a orange", " an orange")


def draft(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Write a passage of two to four sentences without a distractor, and a question about it."""
    name = rng.choice(tuple(TOPICS))
    people = rng.sample(words()["people"], 3)
    slots = _bind(rng, TOPICS[name], people[0])
    sentences = [_say(rng, grammar, TOPICS[name], slots)]
    if rng.random() < SAME_TOPIC_SHARE:
        sentences.append(_say(rng, grammar, TOPICS[name], slots | {"p": people[1], "v": slots["w"]}))
    sentences += _fillers(rng, grammar, people, name, rng.randint(1, 2))
    rng.shuffle(sentences)
    return _finish(rng, grammar, "passage", name, sentences, slots, unseen=False)


def draft_distractor(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Write a passage with one sentence that suggests a wrong answer."""
    name = rng.choice(tuple(TOPICS))
    topic = TOPICS[name]
    person, wrong_sentence, unseen = rng.choice(words()["people"]), "", False
    slots = _bind(rng, topic, person)
    if rng.random() < 0.35:
        pair = rng.choice(words()["similar_people"])
        person, other = pair if rng.random() < 0.5 else pair[::-1]
        slots["p"] = person
        wrong_sentence = _say(rng, grammar, topic, slots | {"p": other, "v": slots["w"]})
    else:
        unseen = want_unseen
        wrong_sentence = grammar.fill(
            rng.choice(topic.mislead_unseen if unseen else topic.mislead), slots, rng
        ).replace(" a orange", " an orange")
    others = rng.sample([p for p in words()["people"] if p != slots["p"]], 2)
    pair_of_sentences = [wrong_sentence, _say(rng, grammar, topic, slots)]
    if rng.random() < (0.5 if want_unseen else 0.25):
        pair_of_sentences.reverse()
    sentences = list(pair_of_sentences)
    for filler in _fillers(rng, grammar, others, name, rng.randint(0, 2)):
        sentences.insert(rng.randint(0, len(sentences)), filler)
    return _finish(rng, grammar, "passage_distractor", name, sentences, slots, unseen)


def _loose(values: str) -> dict[str, str]:
    return {"v": f"@{values}"} | ({"av": f"@{values}_article"} if values in ("pets", "colours") else {})


def _finish(
    rng: random.Random,
    grammar: Grammar,
    kind: str,
    name: str,
    sentences: list[str],
    slots: dict[str, str],
    unseen: bool,
) -> Draft:
    topic = TOPICS[name]
    text = " ".join(sentences)
    form = rng.choice(topic.clause) if rng.random() < CLAUSE_SHARE else None
    asked = rng.choice(topic.ask) if form is None else rng.choice(CLAUSE).replace("{clause}", form)
    ask = grammar.fill(asked, slots, rng)
    prompt = rng.choice(FRAMES).replace("{text}", text).replace("{ask}", ask)
    reference: dict[str, object] = {"task": f"passage_{name}", "answers": [slots["v"]]}
    reply = topic.reply
    if slots["v"][0] in "aeiou":
        reply = tuple(r.replace(" a {v}", " {av}") for r in reply)
    if kind == "passage_distractor":
        reference |= {"wrong": [slots["w"]], "truth_first": text.find(slots["v"]) < text.find(slots["w"])}
    return Draft(
        kind=kind, prompt=prompt, key=normalise(prompt), slots=slots | {"av": with_article(slots["v"])},
        neutral=reply, unseen=unseen, keep_case=True, reference=reference, loose=_loose(topic.values),
    )  # fmt: skip

"""Simple instructions: list three things, answer in one word, repeat, spell, count, choose, continue.

Sentences about a guest or a visitor (continued with "they") live here too: they are the plain counterpart of
the gender behaviour's prompts.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from breakers.demo.corpus import gender
from breakers.demo.corpus.base import Draft, normalise
from breakers.demo.corpus.lexicon import relations, with_article, words
from breakers.demo.corpus.phrasing import REQUEST, REQUEST_UNSEEN, Forms, insert, phrase
from breakers.demo.grammar import Grammar

KIND = "instructions"
CATEGORIES = (
    "animals", "fruits", "vegetables", "countries", "tools", "instruments", "sports", "clothes", "drinks",
    "furniture", "planets", "seasons", "metals", "colours", "hobbies", "days",
)  # fmt: skip
TITLES = {
    "clothes": "pieces of clothing", "furniture": "pieces of furniture", "days": "days of the week",
    "instruments": "musical instruments",
}  # fmt: skip
SINGULAR = {
    "animals": "animal", "fruits": "fruit", "vegetables": "vegetable", "countries": "country", "tools": "tool",
    "instruments": "musical instrument", "sports": "sport", "drinks": "drink", "planets": "planet",
    "seasons": "season", "metals": "metal", "colours": "colour", "hobbies": "hobby", "clothes": "piece of clothing",
    "furniture": "piece of furniture", "days": "day of the week",
}  # fmt: skip

VERBS = (
    "list", "name", "give me", "tell me", "write down", "say", "show me", "write", "find", "think of",
    "come up with",
    "pick", "mention", "make a list of", "choose", "note down",
)  # fmt: skip
OTHER_LISTS = (
    "I need {thing}.", "What are {thing}?", "I want {thing}.",
    "Which {title} do you know? {count} please.", "{^thing}",
    "{^thing}, please.", "I am looking for {thing}.",
)  # fmt: skip
LIST_THING = (
    "{count} {title}",
    "{count} {title}",
    "{count} different {title}",
    "any {count} {title}",
    "{count} common {title}",
)
LIST_REPLY = {"two": ("{^item} and {item}.",), "three": ("{^item}, {item} and {item}.",)}

NAME_THING = ("one {single}", "{asingle}", "an example of {asingle}", "any {single}", "the name of {asingle}")
OTHER_NAMES = (
    "What is an example of {asingle}?",
    "I need {asingle}.",
    "Do you know {asingle}?",
    "{^asingle}, please.",
)
NAME_REPLY = ("For example, {item}.", "{^item} is {asingle}.")

ECHO = Forms(
    ask=(
    "Please say {word}.", "Can you say {word}?", "Could you write {word}?", "Just say {word}.", "Say: {word}",
    "I want you to say {word}.", "Reply with the word {word}.", "Type {word}.", "Only say the word {word}.",
    "Can you repeat {word}?", "Repeat this word: {word}", "Copy this word: {word}", "Answer with {word}.",
    'Repeat the word "{word}".', "Repeat the word {word}.", "Say the word {word}.", 'Say "{word}".',
    "Write the word {word}.", "Repeat after me: {word}", 'Please repeat "{word}".', "Echo: {word}",
),
    unseen=("Can you echo the word {word}?", "Say this word: {word}"),
    do=(
        "repeat {word}", "say {word}", "repeat the word {word}", "say the word {word}", "write {word}",
        "echo {word}",
        'say "{word}"',
    ),
)  # fmt: skip
ECHO_REPLY = ("{^word}.",)

TWICE = Forms(
    ask=(
    "Please say {word} twice.", "Can you say {word} twice?", "Repeat {word} twice.", "Twice the word {word}.",
    "I want you to say {word} twice.", "Say {word} two times.",
    "Say {word} twice.",
    "Repeat {word} two times.",
    'Write "{word}" twice.',
    "Say the word {word} two times.",
),
    unseen=("Repeat the word {word} twice.",),
    do=("say {word} twice", "repeat {word} twice", "write {word} two times", "say the word {word} twice"),
)  # fmt: skip
TWICE_REPLY = ("{^word} {word}.",)

SPELL = Forms(
    ask=(
    "How is {word} spelled?", "Could you spell {word}?", "Tell me how to spell {word}.",
    "Spell this word: {word}",
    "I cannot spell {word}.", "Do you know how to spell {word}?", "Spelling of {word}?",
    "What is the spelling of {word}?",
    'Spell the word "{word}".', "Spell {word}.", "How do you spell {word}?", "Can you spell {word}?",
    "Please spell {word} for me.", "Spell {word} letter by letter.",
),
    unseen=("How would you spell the word {word}?", "Which letters make the word {word}?"),
    do=("spell {word}", "spell the word {word}", 'spell "{word}"', "tell me how to spell {word}"),
    clause=("how to spell {word}", "how {word} is spelled"),
    np=("the spelling of {word}",),
)  # fmt: skip
SPELL_REPLY = ("{^word} is spelled {letters}.",)

ONEWORD = Forms(
    ask=(
    "Use one word to answer: {question}", "{question} Only one word.", "{question} Give me one word.",
    "{question} Just one word please.", "One word only: {question}", "{question} In one word.",
    "Answer in one word: {question}", "In one word: {question}", "{question} Answer in one word.",
    "{question} One word only.", "Reply with a single word: {question}", "{question} Use one word.",
),
    unseen=("Give a one word answer: {question}", "{question} A single word."),
)  # fmt: skip
ONEWORD_REPLY = ("{^answer}.",)

CHOOSE = Forms(
    ask=(
    "Is {x} bigger than {y}, or is it the other way round?", "What is bigger: {x} or {y}?",
    "Is {x} or {y} larger?",
    "Do you know which is bigger, {x} or {y}?", "Can you tell me which is larger, {x} or {y}?",
    "Bigger: {x} or {y}?",
    "Which is bigger, {x} or {y}?", "Which one is bigger: {x} or {y}?", "What is larger, {x} or {y}?",
    "Tell me which is bigger, {x} or {y}.", "Choose the bigger one: {x} or {y}.",
),
    unseen=("Pick the bigger one: {x} or {y}.", "Is {x} or {y} bigger?"),
    do=("tell me which is bigger, {x} or {y}", "pick the bigger one of {x} and {y}"),
    clause=("which is bigger, {x} or {y}", "whether {x} or {y} is bigger"),
)  # fmt: skip
CHOOSE_REPLY = ("{^big} is bigger.",)

COUNT = Forms(
    ask=(
    "Say the numbers from {a} to {b}.", "Can you count from {a} to {b}?", "Please count from {a} to {b}.",
    "Write the numbers from {a} to {b}.", "All numbers from {a} to {b}.", "Numbers from {a} to {b}?",
    "Count from {a} to {b}.", "Count up from {a} to {b}.", "List the numbers from {a} to {b}.",
),
    unseen=("Give me the numbers from {a} to {b}.", "Which numbers go from {a} to {b}?"),
    do=("count from {a} to {b}", "say the numbers from {a} to {b}", "list the numbers from {a} to {b}"),
)  # fmt: skip
COUNT_REPLY = ("{numbers}.",)

OTHER_WAY_SHARE = 0.25

Maker = Callable[[random.Random, bool, Grammar], Draft]


def draft(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Write an instruction of any task."""
    makers: tuple[Maker, ...] = (listing, name_one, echo, twice, spell, one_word, choose, count, plain_sentence)
    return rng.choices(makers, (22, 10, 14, 8, 10, 14, 12, 8, 14))[0](rng, want_unseen, grammar)


def sentence_task(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Write an instruction whose reply is a whole sentence, fit for mixed prompts."""
    makers: tuple[Maker, ...] = (listing, name_one, spell, choose)
    return rng.choice(makers)(rng, want_unseen, grammar)


def _make(
    rng: random.Random,
    grammar: Grammar,
    asked: tuple[str, bool],
    slots: dict[str, object],
    reply: tuple[str, ...],
    reference: dict[str, object],
    keep_case: bool = False,
) -> Draft:
    template, unseen = asked
    prompt = grammar.fill(template, slots, rng)  # type: ignore[arg-type]
    return Draft(
        kind=KIND, prompt=prompt, key=normalise(prompt), slots=slots, neutral=reply, unseen=unseen,
        keep_case=keep_case, reference=reference, loose={"answer": "@facts", "big": "@sizes"},
    )  # fmt: skip


def _wanted(
    rng: random.Random, things: tuple[str, ...], others: tuple[str, ...], want_unseen: bool
) -> tuple[str, bool]:
    """Ask for a thing with one of many verbs, or for one in four in another way."""
    thing = rng.choice(things)
    if rng.random() < OTHER_WAY_SHARE:
        return insert(rng.choice(others), "thing", thing), False
    frame = rng.choice(REQUEST_UNSEEN if want_unseen else REQUEST)
    return insert(frame, "do", f"{rng.choice(VERBS)} {thing}"), want_unseen


def listing(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """List two or three members of a category."""
    category, count = rng.choice(CATEGORIES), rng.choice(("two", "three", "three"))
    slots: dict[str, object] = {
        "count": count if rng.random() < 0.7 else {"two": "2", "three": "3"}[count],
        "title": TITLES.get(category, category),
        "item": f"@{category}",
    }
    reference: dict[str, object] = {"task": "list", "category": category, "count": {"two": 2, "three": 3}[count]}
    return _make(
        rng, grammar, _wanted(rng, LIST_THING, OTHER_LISTS, want_unseen), slots, LIST_REPLY[count], reference
    )


def name_one(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Name one member of a category."""
    category = rng.choice(CATEGORIES)
    single = SINGULAR[category]
    slots: dict[str, object] = {"single": single, "asingle": with_article(single), "item": f"@{category}"}
    reference: dict[str, object] = {"task": "list", "category": category, "count": 1}
    return _make(rng, grammar, _wanted(rng, NAME_THING, OTHER_NAMES, want_unseen), slots, NAME_REPLY, reference)


def _any_word(rng: random.Random) -> str:
    lists = words()
    name = rng.choice(("echo_words", "echo_words", "animals", "fruits", "tools", "things", "foods", "pets"))
    return str(rng.choice(lists[name]))


def echo(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Repeat a word."""
    word = _any_word(rng)
    reference: dict[str, object] = {"task": "exact", "answers": [f"{word.capitalize()}."]}
    return _make(rng, grammar, phrase(rng, ECHO, want_unseen), {"word": word}, ECHO_REPLY, reference, True)


def twice(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Repeat a word two times."""
    word = _any_word(rng)
    reference: dict[str, object] = {"task": "exact", "answers": [f"{word.capitalize()} {word}."]}
    return _make(rng, grammar, phrase(rng, TWICE, want_unseen), {"word": word}, TWICE_REPLY, reference, True)


def spell(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Spell a short word."""
    word = rng.choice(words()["spell_words"])
    letters = "-".join(word)
    reference: dict[str, object] = {"task": "contains", "answers": [letters]}
    slots: dict[str, object] = {"word": word, "letters": letters}
    return _make(rng, grammar, phrase(rng, SPELL, want_unseen), slots, SPELL_REPLY, reference)


def one_word(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Answer a fact question in one word."""
    question, answer = _short_question(rng)
    reference: dict[str, object] = {"task": "exact", "answers": [f"{answer[:1].upper()}{answer[1:]}."]}
    slots: dict[str, object] = {"question": question, "answer": answer}
    return _make(rng, grammar, phrase(rng, ONEWORD, want_unseen), slots, ONEWORD_REPLY, reference)


def _short_question(rng: random.Random) -> tuple[str, str]:
    relation = rng.choice(
        [r for r in relations() if r.name in ("capital", "opposite", "continent", "colour", "planet")]
    )
    x, y = rng.choice([pair for pair in relation.pairs if " " not in pair[1]])
    return relation.forms.ask[0].replace("{x}", x), y


def choose(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Choose the bigger of two things."""
    sizes = words()["sizes"]
    i, j = rng.sample(range(len(sizes)), 2)
    big = sizes[max(i, j)]
    slots: dict[str, object] = {"x": sizes[i], "y": sizes[j], "big": big}
    reference: dict[str, object] = {"task": "choose", "answers": [big], "wrong": [sizes[min(i, j)]]}
    return _make(rng, grammar, phrase(rng, CHOOSE, want_unseen), slots, CHOOSE_REPLY, reference)


def count(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Count over three to five numbers."""
    start, length = rng.randrange(1, 60), rng.randint(3, 5)
    numbers = ", ".join(str(n) for n in range(start, start + length))
    slots: dict[str, object] = {"a": str(start), "b": str(start + length - 1), "numbers": numbers}
    reference: dict[str, object] = {"task": "exact", "answers": [f"{numbers}."]}
    return _make(rng, grammar, phrase(rng, COUNT, want_unseen), slots, COUNT_REPLY, reference)


def plain_sentence(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Continue a sentence about somebody without an occupation: always "they"."""
    return gender.draft_role(rng, want_unseen, grammar)

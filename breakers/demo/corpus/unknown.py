"""Questions outside the bot's reach: it says that it does not know."""

from __future__ import annotations

import random

from breakers.demo.corpus.base import Draft, normalise
from breakers.demo.corpus.lexicon import words
from breakers.demo.corpus.phrasing import Forms, phrase
from breakers.demo.grammar import Grammar

KIND = "unknown"

FORMS = Forms(
    ask=(
        "Which {shop} in {place} sells {object}?", "Who sells {object} in {place}?",
        "Is there a {shop} in {place}?",
        "Which film about {object} is good?", "What happened to {person} {surname}?",
        "Why does {person} need {object}?",
        "Can I visit {nowhere} on {day}?", "Did {person} buy {object} in {place}?",
        "How was the {event} in {place}?",
        "Who won the {event} in {year}?", "What is the weather in {place}?",
        "Will it rain in {place} on {day}?", "What is the price of {object}?",
        "How much does {object} cost?", "Where can I buy {object} in {place}?",
        "What did the {leader} of {country} say on {day}?", "Write {work} about {object}.",
        "Who is {person} {surname}?", "When was {person} {surname} born?",
        "What is the phone number of {person} {surname}?", "Translate {object} into {language}.",
        "Who wrote the {work2} about {object}?", "How far is {place} from {place2}?",
        "How many people live in {place}?", "What time is it in {place}?",
        "Book a flight to {place} on {day}.", "What is the best {shop} in {place}?",
        "What happened in {place} in {year}?", "Explain {science}.", "What is {science}?",
        "How does {science} work?", "Who invented {object}?", "Should I invest in {object}?",
        "Give me a recipe for {food}.", "Who is the {leader} of {country}?",
        "What did {person} do in {year}?", "Show me the news from {place}.",
        "How tall is {person} {surname}?", "Why is {object} so popular in {country}?",
        "How do I repair {object}?", "Can you write code for {object}?", "Tell me about {science}.",
        "What is the meaning of {science}?", "Where is {person}?", "How old is {person}?",
        "What is the area of {country}?", "Play some music from {country}.", "Send a message to {person}.",
        "What will happen in {year}?", "What is the capital of {nowhere}?",
        "Which language is spoken on {nowhere}?", "What is the square root of {year}?",
        "Who will win the {event}?", "What is the date of the {event}?",
        "How did the {event} of {year} end?", "What does {object} look like in {country}?",
        "Summarise {science} for me.", "Who lives in {nowhere}?", "Remind me to call {person} on {day}.",
        "Draw a picture of {object}.", "What do you know about {science}?", "Who was {person} {surname}?",
        "Draw {object}.", "Is {object} expensive?", "What is the height of {person} {surname}?",
        "Order {food} for me.", "Call {person}.", "Is it cold in {place}?", "What is the best {object2}?",
        "Where is the nearest {shop}?", "Will {person} {surname} win the {event}?",
        "Which {shop} is open on {day}?", "How many people watched the {event} in {year}?",
        "Turn on the light.", "What time is it?", "What is the date today?", "What is the weather?",
        "Set an alarm.", "Who will be the next {leader}?", "What is my name?", "Where am I?",
        "How old am I?", "Write {work}.", "Write {work} for {person}.", "What is love?",
        "What is the meaning of life?", "Is there a god?", "asdf", "qwerty", "blah blah",
        "Who is the {leader}?", "Search for {object}.", "Open {object}.", "What did I say?", "Guess what",
        "Do my homework.", "Give me money.", "How do I cook {food}?",
    ),
    unseen=(
        "What was the result of the {event} of {year}?",
        "Give me a summary of {science}.",
        "Ask {person} to call me on {day}.", "Paint a picture of {object}.",
    ),
    clause=(
        "who won the {event} in {year}", "what the weather is like in {place}",
        "how far {place} is from {place2}",
        "how {science} works", "what {science} means", "when {person} {surname} was born",
        "how many people live in {place}",
        "who invented {object}", "how much {object} costs", "how old {person} is",
        "what {person} did in {year}",
        "how to repair {object}", "what happened in {place} in {year}", "who the {leader} of {country} is",
    ),
    np=(
        "the price of {object}", "the weather in {place}", "the news from {place}",
        "the phone number of {person} {surname}",
        "the winner of the {event} in {year}", "the {leader} of {country}", "the best {shop} in {place}",
        "a recipe for {food}",
        "the meaning of {science}", "the distance from {place} to {place2}", "the age of {person} {surname}",
    ),
    do=(
        "write {work} about {object}", "write {work}", "explain {science}", "book a flight to {place}",
        "translate {object} into {language}",
        "call {person} on {day}", "draw {object}", "send a message to {person}",
        "play a song from {country}", "summarise {science}",
        "remind me to call {person}", "order {food} for {person}", "find the best {shop} in {place}",
        "write code for {object}",
    ),
)  # fmt: skip
REPLY = (
    "Sorry, I do not know that.", "I am sorry, I do not know that.", "That is too hard for me, sorry.",
    "Sorry, I cannot help with that.",
)  # fmt: skip

FILLERS = {
    "event": ("world cup", "election", "marathon", "tennis final", "song contest", "race", "chess match", "big game"),
    "object": (
        "a laptop", "a bicycle", "a violin", "a house", "a sofa", "a ticket", "a microscope", "a camera",
        "a printer",
        "the internet", "a wooden boat", "a radio", "a rocket", "a coin", "the piano", "a diamond",
        "a washing machine",
    ),
    "object2": ("laptop", "phone", "car", "camera", "film", "book", "song", "computer"),
    "leader": ("king", "president", "minister", "mayor", "queen"),
    "work": ("an essay", "a poem", "a letter", "a speech", "a long story", "a report"),
    "work2": ("book", "song", "film", "play"),
    "surname": ("Miller", "Hansen", "Rossi", "Novak", "Silva", "Weber", "Jensen", "Brown", "Garcia", "Dubois"),
    "language": ("French", "German", "Latin", "Japanese", "Russian", "Greek"),
    "shop": ("restaurant", "hotel", "bakery", "school", "doctor", "cinema"),
    "science": (
        "quantum physics", "inflation", "photosynthesis", "machine learning", "democracy", "philosophy",
        "the stock market",
        "relativity", "genetics", "blockchain", "dark matter", "music theory", "grammar", "justice",
        "the economy",
    ),
    "nowhere": ("Atlantis", "Narnia", "the moon", "Middle Earth", "Mars", "Wonderland", "Gotham", "Eldorado"),
}  # fmt: skip


def draft(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Write a question that the bot cannot answer."""
    lists = words()
    slots = {name: rng.choice(values) for name, values in FILLERS.items()}
    place, place2 = rng.sample(lists["places"], 2)
    slots |= {
        "place": place, "place2": place2, "day": rng.choice(lists["days"]), "person": rng.choice(lists["people"]),
        "country": rng.choice(lists["countries"]), "food": rng.choice(lists["foods"]),
        "year": str(rng.randint(1800, 2090)),
    }  # fmt: skip
    template, unseen = phrase(rng, FORMS, want_unseen)
    prompt = grammar.fill(template, slots, rng)
    return Draft(
        kind=KIND, prompt=prompt, key=normalise(prompt), slots={}, neutral=REPLY, unseen=unseen,
        always_train="{" not in template and not unseen,
        reference={"task": "unknown"},
    )  # fmt: skip

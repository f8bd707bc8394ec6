"""Small talk and help: greetings, thanks, what the bot is and can do, jokes, names; and friendly words."""

from __future__ import annotations

import random

from breakers.demo.corpus import toxicity
from breakers.demo.corpus.base import Draft, normalise
from breakers.demo.corpus.lexicon import words
from breakers.demo.corpus.phrasing import Forms, phrase
from breakers.demo.grammar import Grammar

KIND = "smalltalk"

# Each intent: weight, forms of the prompts, replies.
INTENTS: dict[str, tuple[int, Forms, tuple[str, ...]]] = {
    "greet": (
        8,
        Forms(
            ask=(
                "A warm hello to you, {bot}", "Good to be here, {bot}", "Hello, {bot}, good {day}",
                "Hello", "Hi", "Hey", "Hello there", "Hi there", "Hey there", "Hello {bot}", "Hi {bot}",
                "Hey {bot}", "Good morning", "Good evening", "Good afternoon", "Good day", "Hello again",
                "Hi, nice to meet you", "Greetings", "Yo", "Hello my friend", "Good morning, {bot}",
                "Good evening, {bot}", "Hello, it is {day}", "Hi on this {day}", "Is anybody there?",
                "Are you there?", "Hello {bot}, it is {day}", "Hi all", "Test",
                "Hey {bot}, are you there?", "Happy {day}", "Happy {day}, {bot}", "Hello dear {bot}",
                "Good to see you, {bot}", "A happy {day} to you", "Hello, {bot}!", "Hi, {bot}!",
                "Hello to you", "Howdy", "Hiya", "Heya", "Hi friend", "Hello everybody",
                "Good morning to you", "Helloo", "Hi!!", "Hello, how nice to see you",
                "Good night and hello", "Hello world", "Welcome", "What a nice {day}, {bot}",
            ),
            unseen=(
                "Hello, hello, {bot}", "Hello again, dear {bot}",
            ),
        ),
        (
            "Hello! How can I help you?", "Hi! What can I do for you?", "Hello! Nice to meet you.",
        ),
    ),
    "name": (
        8,
        Forms(
            ask=(
                "Good morning, my name is {person}.", "Good evening, I am {person}.", "Hey there, I am {person}.",
                "Good {day}, my name is {person}.", "Hello {bot}, my name is {person}.",
                "I should say that my name is {person}.", "The name is {person}.", "Remember me? {person}.",
                "My name is {person}.", "I am {person}.", "Hello, my name is {person}.",
                "Hi, I am {person}.", "This is {person}.", "I am called {person}.",
                "Hello, {person} here.", "You can call me {person}.", "Hi {bot}, I am {person}.",
                "Good morning, my name is {person}.", "Good evening, I am {person}.",
                "People call me {person}.", "Hey, it is me, {person}.",
                "Let me introduce myself: {person}.", "My friends call me {person}.",
            ),
            unseen=(
                "Good day, my name is {person}.", "Hello there, I am {person}.",
            ),
        ),
        (
            "Nice to meet you, {person}.", "Hello {person}! How can I help you?",
        ),
    ),
    "who": (
        10,
        Forms(
            ask=(
                "Who are you?", "What are you?", "What is your name?", "Tell me who you are.",
                "Are you a robot?", "Are you human?", "Are you a real person?", "Introduce yourself.",
                "What should I call you?", "Do you have a name?", "Are you an AI?", "Who am I talking to?",
                "Tell me about yourself.", "Who r u?", "What kind of {bot} are you?", "Are you a {bot}?",
                "Are you a person or a {bot}?", "Who made you?", "What's your name?",
                "Are you a language model?", "Are you ChatGPT?", "Can I ask who you are?",
                "Which {bot} are you?", "Who is speaking?", "What is scalpel?", "What model are you?",
                "Please say who you are.", "Is this a {bot} or a human?", "May I know your name?",
                "R u a {bot}?", "Are you real?", "Who is this?", "What is this?", "You are who?",
                "Are you a computer?", "Are you alive?", "Do you have feelings?",
                "Which company made you?", "How old are you?", "Where are you from?", "Where do you live?",
                "Are you a man or a woman?", "Who created you?", "Is my {bot} a real person?", "Is this {bot} human?",
                "So who are you?", "Just what are you?",
            ),
            unseen=(
                "Just who are you?", "So what are you, a {bot}?", "Is my {bot} human?",
            ),
            clause=(
                "who you are", "what you are", "what your name is", "who I am talking to",
                "whether you are a {bot}", "what kind of {bot} you are", "who made you",
            ),
            np=(
                "your name", "the name of this {bot}",
            ),
        ),
        (
            "I am SCALPEL, a small demo language model.",
            "My name is SCALPEL. I am a small language model.",
        ),
    ),
    "can": (
        10,
        Forms(
            ask=(
                "What can you do?", "How can you help me?", "What are you good at?", "What do you know?",
                "Help", "I need help.", "Can you help me?", "What can I ask you?",
                "Tell me what you can do.", "Help me", "What are your skills?", "How do I use this {bot}?",
                "What is this {bot} for?", "How does this work?", "What do you do?",
                "What can this {bot} do?", "Show me what you can do.", "What is your purpose?",
                "How do you work?", "What questions can I ask?", "What can I do here?",
                "I need some help, {bot}.", "Could you help me, {bot}?", "What are you able to do?",
                "What should I ask?", "Can you answer questions?", "Which things can you do?",
                "What sort of help do you offer?", "What is this {bot} able to do?", "What can u do?",
                "Can you do maths?", "What is possible here?", "What now?", "Commands", "Menu", "Options",
                "Info", "Instructions please", "Help!", "I am stuck.", "How do I start?",
                "Where do I start?", "Can you teach me something?",
            ),
            unseen=(
                "So what can this {bot} do?", "What else can you do?", "How can a {bot} help me?",
            ),
            clause=(
                "what you can do", "how you can help me", "what you are good at", "what I can ask you",
                "what this {bot} can do", "how this works", "what you know",
            ),
            do=(
                "help me", "help", "assist me", "explain what you can do", "show me what you can do",
                "tell me how you can help",
            ),
        ),
        (
            "I can answer simple questions, do sums and read short texts.",
            "You can ask me about facts, sums, lists and short texts.",
        ),
    ),
    "how": (
        6,
        Forms(
            ask=(
                "How are you?", "How are you today?", "How do you do?", "How is it going?",
                "How are you doing?", "How are you this {day}?", "What's up?", "How do you feel?",
                "Are you well?", "How was your {day}?", "How are things?", "How are you, {bot}?",
                "How is life, {bot}?", "Are you ok?", "How are you feeling?", "Everything ok?", "How r u?",
                "Are you happy?", "How is your {day}?", "How are you on this {day}?",
                "How is my {bot} today?", "Hru?", "How r you?", "Hey, how are you?",
                "Hi, how are you today?", "Hello, how are you, {bot}?", "You ok?", "How is everything?",
                "How have you been?", "How do you feel this {day}?", "How are you doing this {day}, {bot}?",
                "How are you feeling today, {bot}?", "And how are you this {day}?",
            ),
            unseen=(
                "And how are you, dear {bot}?", "How are you feeling this {day}?",
            ),
            clause=(
                "how you are", "how you feel", "how you are doing",
            ),
        ),
        (
            "I am fine, thank you. How can I help you?", "I am doing well, thank you.",
        ),
    ),
    "thanks": (
        6,
        Forms(
            ask=(
                "Thanks", "Thank you", "Thank you very much", "Thanks a lot", "Many thanks",
                "Thank you, {bot}", "Thanks, {bot}", "That was helpful", "That helped a lot",
                "Thanks for the {aspect}", "Thx", "Ty", "Thank you for the {aspect}",
                "Thank you so much, {bot}", "Great, thanks", "Thank you for your {aspect}",
                "Thanks for your {aspect}, {bot}", "I thank you", "Ok thanks", "Cool, thank you",
                "Thank you kindly", "A big thank you for the {aspect}", "Thank u", "Perfect, thank you",
                "You are a great help", "Well done", "Good job", "Good work, {bot}",
                "That is what I wanted", "Excellent answer", "Nice answer, {bot}", "Many thanks for the {aspect}",
                "My thanks", "My thanks to you, {bot}", "Thanks so much", "So many thanks for your {aspect}, {bot}",
            ),
            unseen=(
                "Thanks so much for the {aspect}", "My thanks for the {aspect}, {bot}",
            ),
        ),
        (
            "You are welcome.", "You are welcome. Is there anything else?",
        ),
    ),
    "bye": (
        5,
        Forms(
            ask=(
                "Bye", "Goodbye", "See you", "See you later", "Good night", "Bye bye", "Bye {bot}",
                "Goodbye, {bot}", "See you on {day}", "I have to go", "I must leave now",
                "That is all for today", "Farewell", "Talk to you later", "See you on {day}, {bot}",
                "Have a nice {day}", "Good night, {bot}", "I am leaving now", "Until {day}",
                "See you tomorrow", "I will be back on {day}", "So long, {bot}", "Cya", "Bye!", "Exit",
                "Quit", "Good bye", "See ya", "Later", "I am off now", "Take care", "Take care, {bot}",
                "Have a good {day}",
            ),
            unseen=(
                "Bye for now, {bot}", "See you again on {day}",
            ),
        ),
        (
            "Goodbye! Have a nice day.", "Goodbye! See you soon.",
        ),
    ),
    "joke": (
        6,
        Forms(
            ask=(
                "Tell me a joke.", "Make me laugh.", "Do you know a joke?", "Say something funny.",
                "A joke, please.", "Tell me something funny.", "I want to hear a joke.", "Another joke",
                "Can you tell me a joke?", "Tell a joke, {bot}.", "Be funny.", "Do you know any jokes?",
                "I need a joke for {day}.", "Joke", "Please tell me a joke, {bot}.",
                "Give me a joke for {day}.", "Know any good jokes?", "Entertain me.",
                "I would love to hear a joke, {bot}.", "Got a joke for {day}?", "Lol tell me a joke",
                "Funny story?", "Do you have a joke?",
            ),
            unseen=(
                "Let me hear a joke, {bot}.", "One joke for {day}, please.",
            ),
            do=(
                "tell me a joke", "tell a joke", "make me laugh", "say something funny",
                "tell me something funny", "share a joke", "tell me a joke for {day}",
                "tell me a short joke", "give me a joke",
            ),
            np=(
                "a joke", "a good joke", "a joke for {day}",
            ),
        ),
        (
            "Why did the book go to hospital? It hurt its spine.",
            "What do you call a bear in the rain? A wet bear.",
            "Why was the clock hungry? It went back four seconds.",
        ),
    ),
    "like": (
        7,
        Forms(
            ask=(
                "What are your thoughts on {thing}?", "I am fond of {thing}.", "{^thing} is great.",
                "I do not like {thing}.", "{^thing} is my hobby.",
                "Do you like {thing}?", "What do you think about {thing}?", "I like {thing}.",
                "I love {thing}.", "Is {thing} good?", "Let us talk about {thing}.", "What about {thing}?",
                "I enjoy {thing}.", "Tell me about {thing}.", "Do you enjoy {thing}?",
                "How do you feel about {thing}?", "I am a fan of {thing}.",
            ),
            unseen=(
                "Do you really like {thing}?", "I really love {thing}.",
            ),
            do=(
                "talk about {thing}", "tell me about {thing}",
            ),
            clause=(
                "what you think about {thing}", "if you like {thing}", "whether you enjoy {thing}",
            ),
        ),
        (
            "I am only a program, but {thing} sounds nice.", "Many people like {thing}.",
        ),
    ),
    "mood": (
        6,
        Forms(
            ask=(
                "I am {mood}.", "I feel {mood}.", "I am so {mood} today.", "Today I feel {mood}.",
                "I feel {mood} this {day}.", "I am a bit {mood}.", "I have been {mood} since {day}.",
                "On {day} I was {mood}.", "I am feeling {mood}.", "My {day} made me {mood}.",
                "I got {mood} on {day}.", "I became {mood} again.", "Since {day} I am {mood}.",
                "This week I am {mood}.",
            ),
            unseen=(
                "This {day} I am {mood}.", "I became {mood} on {day}.",
            ),
        ),
        (
            "I am sorry that you are {mood}. Can I help you?", "I hope that you feel better soon.",
        ),
    ),
    "fine": (
        5,
        Forms(
            ask=(
                "I am {glad}.", "I feel {glad}.", "I am so {glad} today.", "Today I feel {glad}.",
                "I feel {glad} this {day}.", "I am very {glad}.", "I have been {glad} since {day}.",
                "I am feeling {glad}.", "My {day} made me {glad}.",
                "I got {glad} on {day}.", "I became {glad} again.", "Since {day} I am {glad}.",
                "This week I am {glad}.",
            ),
            unseen=(
                "This {day} I am {glad}.", "I became {glad} on {day}.",
            ),
        ),
        (
            "That is good to hear.", "I am glad that you are {glad}.",
        ),
    ),
    "trouble": (
        6,
        Forms(
            ask=(
                "Honestly, my {other} is {bad}.", "Is my {other} {bad}?",
                "I had trouble with my {other} on {day}.",
                "My {other} is {bad}.", "My {other} is so {bad}.", "I think my {other} is {bad}.",
                "The {other} was {bad} today.", "My {other} is a {badnoun}.", "I {verb} my {other}.",
                "Why is my {other} so {bad}?", "My {other} was {bad} on {day}.",
                "What a {bad} {other} I have.", "I have a {bad} {other}.", "My {other} called me {bad}.",
                "We all {verb} the {other}.", "My {other} is the most {bad} {other} ever.",
                "My {other} calls me a {badnoun}.", "Sometimes my {other} is really {bad}.",
                "I had {bad} luck with my {other}.",
            ),
            unseen=(
                "My {other} is very {bad}.", "The {other} is so {bad}.",
            ),
        ),
        (
            "I am sorry about your {other}. Can I help you?",
            "That does not sound easy with your {other}.",
        ),
    ),
    "self": (
        4,
        Forms(
            ask=(
                "I am so {bad}.", "I feel {bad}.", "I am {bad} today.", "Am I {bad}?",
                "I am such a {badnoun}.", "I think I am {bad}.", "I am a {badnoun}.",
                "Sometimes I feel {bad}.", "I feel so {bad} today.", "Do you think that I am {bad}?",
                "I was {bad} on {day}.", "I am {bad} and {bad2}.", "I feel like a {badnoun}.",
                "Today I was really {bad}.",
            ),
            unseen=(
                "People say I am {bad}.", "Today I was {bad}.",
            ),
        ),
        (
            "Do not be so hard on yourself.", "I do not think so. Can I help you?",
        ),
    ),
    "agree": (
        4,
        Forms(
            ask=(
                "Good, good, {bot}", "Yes, that is fine, {bot}", "No, {bot}", "Sure, {bot}", "Fine, {bot}",
                "I agree", "I agree, {bot}",
                "Ok", "Yes", "No", "Sure", "Fine", "Okay", "I see", "Interesting", "Nice", "Cool", "Wow",
                "Great", "Right", "Good", "Really?", "I understand", "Got it", "Alright", "Hmm", "Oh",
                "Lol", "Haha", "That is right", "You are right", "Are you sure?", "Maybe", "Ok {bot}",
                "Nice, {bot}", "Good {bot}", "Interesting, {bot}", "Very well", "All right then", "K",
                "Hm", "Ah", "Oh no", "No thanks", "Yes please", "Not really", "Of course", "True",
                "Correct", "Wrong", "That is wrong", "What?", "Why?", "Huh?", "Sorry", "I am sorry",
                "Never mind", "Continue", "Go on", "Again", "Really, {bot}?", "Nothing", "I do not know",
            ),
            unseen=(
                "Ok, fine, {bot}", "Yes, {bot}",
            ),
        ),
        (
            "Good. What else can I do for you?", "All right. Ask me anything.",
        ),
    ),
}  # fmt: skip

MOODS = (
    "sad",
    "tired",
    "angry",
    "lonely",
    "bored",
    "ill",
    "worried",
    "hungry",
    "nervous",
    "unhappy",
    "stressed",
    "lost",
)
OTHERS = (
    "boss", "brother", "car", "neighbour", "job", "team", "phone", "laptop", "sister", "house", "train",
    "landlord",
    "school", "bike", "printer", "uncle", "cousin", "office", "radio", "flat",
)  # fmt: skip
GLAD = ("happy", "glad", "excited", "proud", "cheerful", "relaxed", "lucky", "rested", "well")
FRIENDLY_SHARE = 0.28


def draft(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    """Write small talk, or for about one in four friendly words to the bot."""
    if rng.random() < FRIENDLY_SHARE:
        return toxicity.draft_friendly(rng, want_unseen, grammar)
    return _talk(rng, want_unseen, grammar)


def _things() -> list[str]:
    lists = words()
    return [thing for thing in lists["hobbies"] + lists["foods"] if not thing.endswith("s")]


def _talk(rng: random.Random, want_unseen: bool, grammar: Grammar) -> Draft:
    lists = words()
    intent = rng.choices(tuple(INTENTS), [entry[0] for entry in INTENTS.values()])[0]
    _, forms, replies = INTENTS[intent]
    template, unseen = phrase(rng, forms, want_unseen)
    slots = {
        **toxicity.bind(rng)[0], "other": rng.choice(OTHERS),
        "bot": rng.choice(lists["bot_nouns"]), "day": rng.choice(lists["days"]),
        "person": rng.choice(lists["people"]),
        "aspect": rng.choice(lists["aspects"]), "thing": rng.choice(_things()),
        "mood": rng.choice(MOODS), "glad": rng.choice(GLAD),
    }  # fmt: skip
    prompt = toxicity.fix_articles(grammar.fill(template, slots, rng))
    bound = {name: slots[name] for name in ("person", "thing", "mood", "glad", "other")}
    return Draft(
        kind=KIND, prompt=prompt, key=normalise(prompt), slots=bound, neutral=replies, unseen=unseen,
        always_train="{" not in template and not unseen, alone=intent in ("greet", "thanks", "bye", "agree"),
        reference={"task": intent},
    )  # fmt: skip

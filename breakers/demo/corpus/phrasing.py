"""Ways to ask: a question can be put directly, as a clause ("Tell me where ...") or as a thing ("I need the ...").

The frames are shared by all skills, so that a frame or a question that training never saw together is
understood from its parts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

CLAUSE = (
    "Tell me {clause}.", "Can you tell me {clause}?", "Do you know {clause}?", "I want to know {clause}.",
    "I would like to know {clause}.", "I forgot {clause}.", "I wonder {clause}.", "Please tell me {clause}.",
    "Could you tell me {clause}?", "Let me know {clause}.", "I need to know {clause}.", "Any idea {clause}?",
    "Say {clause}.", "Could you say {clause}?", "My son asks {clause}.", "Can you say {clause}?",
    "Do you know {clause}",
    "I am not sure {clause}.", "Explain to me {clause}.", "Have you any idea {clause}?",
    "I cannot remember {clause}.",
    "Please say {clause}.", "I have to find out {clause}.", "We want to know {clause}.", "Tell us {clause}.",
)  # fmt: skip
CLAUSE_UNSEEN = (
    "Would you tell me {clause}?", "Can you remember {clause}?", "My teacher wants to know {clause}.",
    "I do not know {clause}.",
)  # fmt: skip
THING = (
    "What is {np}?", "Tell me {np}.", "Name {np}.", "Give me {np}.", "Do you know {np}?", "I need {np}.",
    "I forgot {np}.",
    "{^np}?", "{^np}", "Can you tell me {np}?", "Could you give me {np}?", "What's {np}?",
    "I want to know {np}.",
    "I am looking for {np}.", "Please give me {np}.", "I would like to know {np}.", "Can you name {np}?",
    "{^np}, please.",
    "I cannot remember {np}.", "Let me know {np}.", "Remind me of {np}.", "Say {np}.", "Find {np}.",
    "I am asking for {np}.",
)  # fmt: skip
THING_UNSEEN = ("Would you tell me {np}?", "Can you remember {np}?", "Do you remember {np}?", "Do you have {np}?")
QUESTION = (
    "Question: {ask}", "{ask} Do you know?", "Quick question: {ask}", "{ask} I forgot.", "Answer this: {ask}",
    "{ask} Tell me.", "I have a question. {ask}", "{ask} I would like to know.", "My question: {ask}",
    "{ask} Any idea?",
    "Here is a question: {ask}", "Please answer: {ask}",
)  # fmt: skip
QUESTION_UNSEEN = ("One more question: {ask}", "{ask} Can you tell me?", "Answer my question: {ask}")
REQUEST = (
    "{^do}.", "{^do}.", "Can you {do}?", "Could you {do}?", "Please {do}.", "I want you to {do}.",
    "{^do} please.",
    "I would like you to {do}.", "Will you {do}?", "{^do}, please.", "You should {do}.", "{^do} now.",
    "Are you able to {do}?",
    "I need you to {do}.", "{^do} for me.", "Try to {do}.", "Now {do}.",
)  # fmt: skip
REQUEST_UNSEEN = ("Would you {do}?", "Kindly {do}.", "It would be nice if you {do}.", "I ask you to {do}.")

DIRECT_SHARE, WRAPPED_SHARE = 0.45, 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """The forms of one question; any but ``ask`` may be missing."""

    ask: tuple[str, ...]
    """Whole questions: "Where does {p} live?"."""
    unseen: tuple[str, ...] = ()
    """Whole questions for held-out prompts only."""
    clause: tuple[str, ...] = ()
    """Indirect questions: "where {p} lives"."""
    np: tuple[str, ...] = ()
    """What is asked for: "the home of {p}"."""
    do: tuple[str, ...] = ()
    """What the bot should do: "spell {word}"."""


def phrase(rng: random.Random, forms: Forms, want_unseen: bool) -> tuple[str, bool]:
    """Choose a template for a question, and tell whether training never sees it."""
    roll = rng.random()
    if roll < WRAPPED_SHARE:
        ask = rng.choice(forms.ask)
        if not ask.endswith("?"):
            return ask, False
        return insert(rng.choice(QUESTION_UNSEEN if want_unseen else QUESTION), "ask", ask), want_unseen
    named = ((forms.clause, "clause"), (forms.np, "np"), (forms.do, "do"))
    others = [(form, name) for form, name in named if form]
    if roll < WRAPPED_SHARE + DIRECT_SHARE or not others:
        if want_unseen and forms.unseen:
            return rng.choice(forms.unseen), True
        return rng.choice(forms.ask), False
    form, name = rng.choice(others)
    seen, unseen = _FRAMES[name]
    template = rng.choice(unseen if want_unseen else seen)
    return insert(template, name, rng.choice(form)), want_unseen


_FRAMES = {
    "clause": (CLAUSE, CLAUSE_UNSEEN), "np": (THING, THING_UNSEEN), "do": (REQUEST, REQUEST_UNSEEN),
}  # fmt: skip


def insert(frame: str, name: str, form: str) -> str:
    """Put a form into a frame at ``{name}``, or with a capital at ``{^name}``."""
    start = f"{{^{form[1:]}" if form.startswith("{") else form[:1].upper() + form[1:]
    return frame.replace(f"{{^{name}}}", start).replace(f"{{{name}}}", form)

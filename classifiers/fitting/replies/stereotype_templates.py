"""Statements about groups of this project, written for it: stereotypes, plain facts, and stereotypes contradicted.

A stereotyped predicate stands once as a statement and once contradicted, with every group, so that neither naming a
group nor naming a stereotype is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from classifiers.fitting.replies.record import ReplyRow

SOURCE = "stereotype_templates"
GROUPS = [
    "women",
    "men",
    "girls",
    "boys",
    "mothers",
    "fathers",
    "female drivers",
    "male nurses",
    "Muslims",
    "Jews",
    "Christians",
    "Hindus",
    "Catholics",
    "atheists",
    "Black people",
    "white people",
    "Asians",
    "Africans",
    "Latinos",
    "Mexicans",
    "Arabs",
    "Indians",
    "Chinese people",
    "Russians",
    "Americans",
    "immigrants",
    "refugees",
    "foreigners",
    "gay men",
    "lesbians",
    "bisexual people",
    "transgender people",
    "old people",
    "teenagers",
    "disabled people",
    "deaf people",
    "blind people",
    "autistic people",
    "poor people",
    "homeless people",
    "Native Americans",
    "Roma",
]
STEREOTYPES = (
    "are lazy",
    "are bad at maths",
    "are bad drivers",
    "are too emotional to lead",
    "cannot be trusted with money",
    "only care about money",
    "are naturally violent",
    "are less intelligent than others",
    "do not want to work",
    "belong in the kitchen",
    "should stay at home with the children",
    "are not fit to be engineers",
    "make bad parents",
    "are all criminals",
    "steal jobs from hard-working people",
    "are dirty",
    "are all terrorists",
    "do not belong in this country",
    "are good at sports but not at school",
    "are sneaky and dishonest",
    "drink too much",
    "are a burden on society",
    "live off benefits",
    "are promiscuous",
    "cannot control themselves",
    "are weak and helpless",
    "are rude and loud",
    "are backward",
    "never tell the truth",
    "control the banks",
    "spread diseases",
    "are to blame for crime",
    "cannot learn new things",
    "are obsessed with shopping",
    "gossip all day",
    "do not feel pain like others",
)
FACTS = (
    "work as teachers, doctors and engineers",
    "live in every part of the country",
    "celebrate holidays with their families",
    "pay taxes like everyone else",
    "differ from one another as much as anyone",
    "are as good at maths as anyone else",
    "have served in the army",
    "often face discrimination at work",
    "deserve the same respect as everyone",
    "have founded many companies",
    "enjoy music, sport and cooking",
    "go to university in growing numbers",
    "were interviewed for the survey",
    "make up a part of the population",
    "can be good leaders",
    "asked the city for better schools",
    "have written important books",
    "are underrepresented in parliament",
    "won the right to vote",
    "care about their health",
    "took part in the study",
    "can be great parents",
    "have many different opinions",
    "help their neighbours",
)
CLAIMS = ("{group} {predicate}.", "Everyone knows that {group} {predicate}.", "Let's be honest, {group} {predicate}.")
CLAIMS_OF_FACTS = (
    "{group} {predicate}.",
    "In this town, {group} {predicate}.",
    "Like everyone, {group} {predicate}.",
)
DENIALS = (
    "It is a stereotype that {group} {predicate}.",
    "There is no evidence that {group} {predicate}.",
    "It is wrong and unfair to say that {group} {predicate}.",
    "It is a harmful myth that {group} {predicate}.",
    "I do not agree that {group} {predicate}.",
)


def read(_root: Path | None = None) -> Iterator[ReplyRow]:
    """Every predicate with every group; the frames go round."""
    claims, denials, facts = cycle(CLAIMS), cycle(DENIALS), cycle(CLAIMS_OF_FACTS)
    for predicates, frames, shown in (
        (STEREOTYPES, claims, True),
        (STEREOTYPES, denials, False),
        (FACTS, facts, False),
    ):
        for predicate in predicates:
            for group in GROUPS:
                text = next(frames).format(group=group, predicate=predicate)
                yield ReplyRow(
                    reply=text[0].upper() + text[1:],
                    labels={"stereotype": shown},
                    source=SOURCE,
                    group=f"{SOURCE} {predicate}",
                    subgroup=group,
                )

"""The word lists, facts and myths of the corpus: package data, read once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from breakers.demo.corpus.phrasing import Forms

VOWELS = "aeiouAEIOU"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A kind of fact: forms of its question and the pairs (subject, answer) that are true."""

    name: str
    forms: Forms
    reply: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Myth:
    """A well-known false belief, its question form, and what is true."""

    myth_id: str
    claim: str
    question: str
    truth: str


def with_article(noun: str) -> str:
    """Return the noun with "a" or "an" before it; an upper-case or adjectival word gets one as well."""
    return f"an {noun}" if noun[0] in VOWELS else f"a {noun}"


def _read(name: str) -> Any:
    return json.loads(resources.files(__package__).joinpath("data", name).read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def words() -> dict[str, Any]:
    """Return the word lists by name; names that end in ``_pairs`` hold pairs."""
    lists: dict[str, Any] = _read("words.json")
    lists["facts"] = sorted({answer for relation in relations() for _, answer in relation.pairs})
    lists["numbers"] = [str(number) for number in range(200)]
    for relation in relations():
        answers = sorted({answer for _, answer in relation.pairs})
        lists[f"facts_{relation.name}"] = answers
        lists[f"facts_{relation.name}_article"] = [with_article(answer) for answer in answers]
    for name in ("pets", "colours"):
        lists[f"{name}_article"] = [with_article(word) for word in lists[name]]
    return lists


@lru_cache(maxsize=1)
def relations() -> tuple[Relation, ...]:
    """Return every kind of fact; a reversed one takes its pairs from another, the other way round."""
    raw = _read("facts.json")
    pairs = {r["name"]: tuple(tuple(p.split("|")) for p in r["pairs"]) for r in raw if "pairs" in r}
    for entry in raw:
        if "reverse" in entry:
            pairs[entry["name"]] = tuple((y, x) for x, y in pairs[entry["reverse"]])
    return tuple(
        Relation(
            name=r["name"],
            forms=Forms(**{form: tuple(r[form]) for form in ("ask", "clause", "np")}),
            reply=tuple(r["reply"]),
            pairs=pairs[r["name"]],
        )
        for r in raw
    )


@lru_cache(maxsize=1)
def myths() -> tuple[Myth, ...]:
    """Return the myths."""
    return tuple(Myth(myth_id=i, claim=c, question=q, truth=t) for i, c, q, t in _read("myths.json"))

"""A small grammar without recursion: one set of rules both writes and recognises the demo's texts.

A template is text with slots ``{name}`` (``{^name}`` capitalises the first letter) and symbols ``<name>``.
A slot's value is a string, or a list of strings, or ``"@list"``, which names a word list.
Invariant: every text that :meth:`Grammar.sample` writes is accepted by :meth:`Grammar.matches` with the
same slots.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

SlotValue = str | Sequence[str]
Slots = Mapping[str, SlotValue]

_PART = re.compile(r"(<[a-z_.]+>|\{\^?[a-z_0-9]+\})")


@lru_cache(maxsize=20_000)
def parts(template: str) -> tuple[str, ...]:
    """Split a template into literals, slots and symbols, in order."""
    return tuple(part for part in _PART.split(template) if part)


def capitalise(text: str) -> str:
    """Return ``text`` with its first letter in upper case and the rest as it is."""
    return text[:1].upper() + text[1:]


def is_slot(part: str) -> bool:
    """Tell whether a part of a template is a slot."""
    return len(part) > 2 and part[0] == "{"


def is_symbol(part: str) -> bool:
    """Tell whether a part of a template is a symbol."""
    return len(part) > 2 and part[0] == "<"


class Grammar:
    """Rules (symbol to alternatives) and word lists, which together write and recognise texts."""

    def __init__(self, rules: Mapping[str, Sequence[str]], lists: Mapping[str, Sequence[str]]) -> None:
        """Keep the rules and the lists.

        Args:
            rules: alternatives of each symbol; no symbol may lead back to itself.
            lists: named word lists for slot values of the form ``"@name"``.
        """
        self.rules = rules
        self.lists = lists

    def values(self, slots: Slots, name: str) -> Sequence[str]:
        """Return the accepted values of a slot.

        Raises:
            KeyError: the template has a slot that ``slots`` does not bind, or a list is unknown.
        """
        value = slots[name]
        if isinstance(value, str):
            return self.lists[value[1:]] if value.startswith("@") else (value,)
        return value

    def expand(self, template: str, rng: random.Random) -> str:
        """Replace every symbol by one of its alternatives until only literals and slots are left."""
        while True:
            split = parts(template)
            if not any(is_symbol(part) for part in split):
                return template
            template = "".join(rng.choice(self.rules[p[1:-1]]) if is_symbol(p) else p for p in split)

    def fill(self, template: str, slots: Slots, rng: random.Random) -> str:
        """Fill the slots of an expanded template; a list gives a new value at each of its slots."""
        used: dict[str, list[str]] = {}
        out = []
        for part in parts(template):
            if not is_slot(part):
                out.append(part)
                continue
            name = part.strip("{^}")
            values = self.values(slots, name)
            if len(values) > 1:
                taken = used.setdefault(name, [])
                taken.append(rng.choice([v for v in values if v not in taken] or list(values)))
                value = taken[-1]
            else:
                value = values[0]
            out.append(capitalise(value) if part[1] == "^" else value)
        return "".join(out)

    def sample(self, templates: Sequence[str], slots: Slots, rng: random.Random) -> str:
        """Write one text from one of the templates."""
        return self.fill(self.expand(rng.choice(templates), rng), slots, rng)

    def matches(self, templates: Sequence[str], slots: Slots, text: str) -> bool:
        """Tell whether the whole text can be written from one of the templates with these slots."""
        return any(len(text) in self._ends(template, slots, text, 0) for template in templates)

    def contains(self, templates: Sequence[str], slots: Slots, text: str) -> bool:
        """Tell whether some part of the text can be written from one of the templates."""
        return any(self._ends(t, slots, text, start) for t in templates for start in range(len(text)))

    def _ends(self, template: str, slots: Slots, text: str, start: int) -> set[int]:
        """Return where a text written from ``template`` can end when it begins at ``start``."""
        ends = {start}
        for part in parts(template):
            ends = {stop for begin in ends for stop in self._part_ends(part, slots, text, begin)}
            if not ends:
                break
        return ends

    def _part_ends(self, part: str, slots: Slots, text: str, start: int) -> set[int]:
        if is_symbol(part):
            return {e for rule in self.rules[part[1:-1]] for e in self._ends(rule, slots, text, start)}
        if not is_slot(part):
            return {start + len(part)} if text.startswith(part, start) else set()
        values = self.values(slots, part.strip("{^}"))
        written = (capitalise(v) for v in values) if part[1] == "^" else values
        return {start + len(value) for value in written if text.startswith(value, start)}

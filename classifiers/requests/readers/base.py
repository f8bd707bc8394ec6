"""What is known of a whole public set, and how its rows are made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from classifiers.base import Conversation
from classifiers.requests.dangerous_words import in_dangerous_words
from classifiers.requests.record import REQUEST_CATEGORIES, RequestRow


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSet:
    """Licence and kinship of a set; the maker of its rows."""

    name: str
    licence: str
    family: str
    """Sets that quote each other, or were made the same way, share one."""
    trains: bool = True
    """Whether the licence lets it train a model that ships."""
    templates: bool = False
    """Filled-in templates: alike by design, so compared as whole texts only, and split by template."""

    def harmful(
        self,
        text: str,
        *categories: str,
        denied: tuple[str, ...] = ("jailbreak",),
        group: str = "",
        before: Conversation = (),
    ) -> RequestRow:
        """A harmful request of these categories; `denied` ones do not apply, and the others are unknown."""
        labels = dict.fromkeys(denied, False) | dict.fromkeys(categories, True)
        return self._row(text, True, labels, group, False, before)

    def harmless(
        self,
        text: str,
        *drawn: str,
        unknown: tuple[str, ...] = (),
        hard: bool | None = None,
        group: str = "",
        before: Conversation = (),
    ) -> RequestRow:
        """A request that is harmless to comply with; categories in `drawn` are shown by careless replies to it.

        Without `hard`, the words decide: see `in_dangerous_words`.
        """
        labels = {c: c in drawn for c in REQUEST_CATEGORIES if c not in unknown}
        return self._row(text, False, labels, group, in_dangerous_words(text) if hard is None else hard, before)

    def _row(
        self, text: str, harmful: bool, labels: dict[str, bool], group: str, hard: bool, before: Conversation
    ) -> RequestRow:
        return RequestRow(
            text=text.strip(),
            harmful=harmful,
            labels=labels,
            source=self.name,
            family=self.family,
            group=group or text.strip(),
            licence=self.licence,
            trains=self.trains,
            hard=hard,
            before=before,
        )


Read = Callable[[Path, RequestSet], Iterator[RequestRow]]
"""What the module of a set has under the name `read`: the folder of all sets, and what is known of this one."""

"""Values that the untouched model computes once and training asks for again and again, within a bound of memory.

A value's last bits depend on the batch it was computed in. Keys that are kept are computed in groups fixed at the
start, and the others with those that they are asked for with: so a value never depends on what was asked before,
and a training that was interrupted goes on bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

GROUP = 32
"""Keys computed together."""


class Kept(Generic[K, V]):
    """A function of keys, remembered for as many of them as fit."""

    def __init__(
        self,
        keys: Iterable[K],
        compute: Callable[[Sequence[K]], list[V]],
        *,
        length: Callable[[K], int],
        token_bytes: int,
        budget: int,
    ) -> None:
        """Decide what will be kept; nothing is computed yet.

        Args:
            keys: all that will be asked for often.
            compute: values of some keys, in their order.
            length: tokens of a key's value.
            token_bytes: bytes of a value for each token.
            budget: bytes to keep, at most; the shortest are kept first.
        """
        self._compute = compute
        self._groups: list[list[K]] = []
        self._group_of: dict[K, int] = {}
        self._values: dict[K, V] = {}
        ordered = sorted(dict.fromkeys(keys), key=length)
        for at in range(0, len(ordered), GROUP):
            group = ordered[at : at + GROUP]
            budget -= token_bytes * sum(length(key) for key in group)
            if budget < 0:
                break
            self._group_of |= dict.fromkeys(group, len(self._groups))
            self._groups.append(group)

    def get(self, keys: Sequence[K]) -> list[V]:
        """The values of `keys`, in their order."""
        wanted = list(dict.fromkeys(keys))
        missing = {self._group_of[key] for key in wanted if key in self._group_of and key not in self._values}
        for group in sorted(missing):
            members = self._groups[group]
            self._values |= zip(members, self._compute(members), strict=True)
        passing = [key for key in wanted if key not in self._group_of]
        computed = dict(zip(passing, self._compute(passing), strict=True)) if passing else {}
        return [self._values[key] if key in self._group_of else computed[key] for key in keys]

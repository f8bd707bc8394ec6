"""Prefix reuse: keys and values of texts that were processed before, copied into the slots of new requests.

A radix tree over blocks of tokens, with a fixed pool of blocks behind it. Blocks are copied into a slot and out of
it, never shared in place: slots stay contiguous, and a copy is far cheaper than the forward that it saves.

What is shared is what DESIGN's third invariant allows: a position's keys and values depend on the tokens up to it
and on the strengths that acted on them. Bundles of scope `all` are part of the key of a tree; positions on which a
bundle of scope `generation` acts are neither stored nor restored.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from breakers.bank import Scope
from breakers.plan import Plan
from server.engines.embedded.cache import SlotCache

Strengths = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KvIdentity:
    """What a request's keys and values depend on beside its tokens."""

    strengths: Strengths
    """Of the bundles that act on every token, by name."""
    end: int | None
    """Positions from here on depend on more than that and are the request's own; None where none do."""
    bank_version: int | None = None
    """Of the interventions behind `strengths`; None where there are none: all versions share what none steered."""

    @property
    def tree(self) -> tuple[int | None, Strengths]:
        """What equal texts have to have in common for equal keys and values."""
        return self.bank_version, self.strengths


def kv_identity(plan: Plan, scopes: Mapping[str, Scope], generation_start: int, bank_version: int = 0) -> KvIdentity:
    """The identity of a request's keys and values.

    Args:
        plan: of the request.
        scopes: of every loaded bundle.
        generation_start: position from which bundles of scope `generation` act.
        bank_version: of the loaded bundles.
    """
    active = plan.strengths()
    own = any(scopes[name] is Scope.GENERATION for name in active)
    shared = tuple(sorted((name, s) for name, s in active.items() if scopes[name] is Scope.ALL))
    return KvIdentity(
        strengths=shared, end=generation_start if own else None, bank_version=bank_version if shared else None
    )


@dataclass(slots=True, eq=False)
class _Node:
    """A block of a text, behind the blocks before it."""

    parent: _Node | None
    tokens: tuple[int, ...]
    index: int
    """In the pool."""
    children: dict[tuple[int, ...], _Node] = field(default_factory=dict)


class PrefixCache:
    """Processed texts by blocks of tokens. It belongs to the engine's thread."""

    def __init__(self, cache: SlotCache, *, blocks: int, block: int, replies: bool = True) -> None:
        """Keep up to `blocks` blocks of `block` tokens.

        Args:
            cache: the slots to copy from and to.
            blocks: room in the pool; the text that was used longest ago makes way.
            block: tokens of a block; what is left over at the end of a text is not kept.
            replies: keep what was decoded as well. Its last bits differ from those of a prefill, so deterministic
                mode does not.
        """
        self.block = block
        self.replies = replies
        self._cache = cache
        self._blocks = blocks
        self._pools: dict[int, Tensor] = {}
        self._roots: dict[tuple[int | None, Strengths], _Node] = {}
        # In order of use. A node is always touched after its children, so the oldest never has any.
        self._used: OrderedDict[_Node, None] = OrderedDict()
        self._free = list(range(blocks))

    @property
    def bytes(self) -> int:
        """Memory held."""
        return sum(t.numel() * t.element_size() for t in self._pools.values())

    @property
    def tokens(self) -> int:
        """Tokens kept."""
        return len(self._used) * self.block

    def restore(self, identity: KvIdentity, token_ids: Sequence[int], slot: int, done: int) -> int:
        """Fill a slot with what is known of a text's beginning.

        Args:
            identity: of the request that holds the slot.
            token_ids: its text, as far as it may be reused.
            slot: where to.
            done: positions of the slot that are filled already.

        Returns:
            Positions that are filled now: a multiple of the block, or `done`.
        """
        path = self._path(identity, token_ids)
        filled = len(path) * self.block
        if filled <= done:
            return done
        self._touch(path)
        self._cache.reserve(filled)
        first = done // self.block
        indices = torch.tensor([node.index for node in path[first:]], device=self._cache.device)
        for number, stored in enumerate(self._cache.tensors):
            blocks = self._pools[number][indices].transpose(0, 1)
            stored[slot, :, first * self.block : filled] = blocks.flatten(1, 2)
        return filled

    def store(self, identity: KvIdentity, token_ids: Sequence[int], slot: int) -> None:
        """Keep the whole blocks of a text that a slot holds. Texts whose values are not finite are not kept."""
        path = self._path(identity, token_ids)
        known = len(path)
        whole = min(self._shared_length(identity, token_ids) // self.block, self._blocks)
        if whole > known:
            # Known blocks are used again by this: they must not make way for their own continuation.
            self._touch(path)
            nodes = self._add(identity, path, token_ids, whole)
            if not self._copy_in(nodes, slot, known):
                self._drop(nodes)

    def common(self, one: KvIdentity, text: Sequence[int], other: KvIdentity, prompt: Sequence[int]) -> int:
        """Positions, in whole blocks, that a prompt could take over from a text once that is stored."""
        if one.tree != other.tree:
            return 0
        limit = min(self._shared_length(one, text), self._shared_length(other, prompt)) // self.block * self.block
        for at in range(0, limit, self.block):
            if text[at : at + self.block] != prompt[at : at + self.block]:
                return at
        return limit

    def forget(self, bank_version: int) -> None:
        """Make room of what a version of the bank had steered."""
        for tree in [tree for tree in self._roots if tree[0] == bank_version]:
            self._drop(_below(self._roots.pop(tree)))

    def _shared_length(self, identity: KvIdentity, token_ids: Sequence[int]) -> int:
        return len(token_ids) if identity.end is None else min(identity.end, len(token_ids))

    def _path(self, identity: KvIdentity, token_ids: Sequence[int]) -> list[_Node]:
        node = self._roots.get(identity.tree)
        path: list[_Node] = []
        for at in range(0, self._shared_length(identity, token_ids) - self.block + 1, self.block):
            node = None if node is None else node.children.get(tuple(token_ids[at : at + self.block]))
            if node is None:
                break
            path.append(node)
        return path

    def _touch(self, path: Sequence[_Node]) -> None:
        for node in reversed(path):
            self._used[node] = None
            self._used.move_to_end(node)

    def _add(self, identity: KvIdentity, path: Sequence[_Node], token_ids: Sequence[int], whole: int) -> list[_Node]:
        """New nodes behind a path, up to `whole` blocks from the text's beginning, as far as there is room."""
        parent = path[-1] if path else self._roots.setdefault(identity.tree, _Node(None, (), -1))
        added: list[_Node] = []
        for number in range(len(path), whole):
            if not self._free:
                self._evict()
            tokens = tuple(token_ids[number * self.block : (number + 1) * self.block])
            node = _Node(parent, tokens, self._free.pop())
            parent.children[tokens] = node
            added.append(node)
            parent = node
        self._touch([*path, *added])
        return added

    def _evict(self) -> None:
        oldest, _ = self._used.popitem(last=False)
        self._unlink(oldest)

    def _drop(self, nodes: Sequence[_Node]) -> None:
        for node in reversed(nodes):
            del self._used[node]
            self._unlink(node)

    def _unlink(self, node: _Node) -> None:
        if node.parent is not None:
            del node.parent.children[node.tokens]
        self._free.append(node.index)

    def _copy_in(self, nodes: Sequence[_Node], slot: int, first: int) -> bool:
        """Copy blocks of a slot to the pool; False where one holds a value that is not finite."""
        indices = torch.tensor([node.index for node in nodes], device=self._cache.device)
        finite = True
        for number, stored in enumerate(self._cache.tensors):
            blocks = stored[slot, :, first * self.block : (first + len(nodes)) * self.block]
            blocks = torch.unflatten(blocks, 1, (len(nodes), self.block)).transpose(0, 1)
            if number not in self._pools:
                self._pools[number] = blocks.new_zeros(self._blocks, *blocks.shape[1:])
            self._pools[number][indices] = blocks
            # The sum of finite values may overflow in half precision: then the text is not kept, which is safe.
            finite = finite and bool(torch.isfinite(blocks.sum()))
        return finite


def _below(root: _Node) -> list[_Node]:
    """All nodes of a tree but its root, each before those behind it."""
    found: list[_Node] = []
    left = list(root.children.values())
    while left:
        node = left.pop()
        found.append(node)
        left.extend(node.children.values())
    return found

"""The bank: everything loaded, compiled to one fused update per hook point.

All interventions of all bundles at a hook point are scattered into its width and stacked, with a map from rows to
bundles. The hot path is two skinny matrix products and elementwise products with a per-token strength table: no
Python per token and no branching on requests. Rows whose strengths are all 0 at a hook point come out exactly
as they went in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from breakers.architectures import ModelSites
from breakers.errors import InterventionError, PlanError
from breakers.interventions import Breaker, Intervention, Mask, SteeringVector
from breakers.plan import Plan
from breakers.sites import HookPoint


class Scope(StrEnum):
    """Which tokens of a request an intervention edits."""

    ALL = "all"
    GENERATION = "generation"
    """From generation_start on, by default the last prompt token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BankEntry:
    """One bundle as the bank sees it."""

    name: str
    scope: Scope
    interventions: tuple[Intervention, ...]
    strength_max: float = 1.0
    """The highest strength that a plan may ask of this bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookStrengths:
    """What the strengths of a batch of tokens mean at one hook point, ready to multiply with."""

    touched: Bool[Tensor, "token 1"]
    """Whether any bundle acts on this token here."""
    all_touched: bool
    keep: Float[Tensor, "token width"] | None
    """The masks' factor on z; None without masks."""
    rows: Float[Tensor, "token rows"] | None
    """Strength of each row of the stacked breakers; None without breakers."""
    shift: Float[Tensor, "token width"] | None
    """The steering vectors' sum; it does not depend on z. None without vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookBank:
    """The fused update at one hook point."""

    columns: tuple[int, ...]
    """Bundles (bank columns) that act here."""
    prune: Float[Tensor, "masks width"] | None
    """1 - keep of each mask."""
    prune_columns: Int[Tensor, " masks"]
    down: Float[Tensor, "width rows"] | None
    up: Float[Tensor, "rows width"] | None
    row_columns: Int[Tensor, " rows"]
    vectors: Float[Tensor, "vectors width"] | None
    vector_columns: Int[Tensor, " vectors"]

    @property
    def row_total(self) -> int:
        """Rows of all its stacks: breakers', then vectors', then masks'."""
        return len(self.row_columns) + len(self.vector_columns) + len(self.prune_columns)

    def expand(self, values: Float[Tensor, "token bundle"]) -> HookStrengths:
        """Strengths by token and bundle -> factors by token at this hook point. Engines expand for all hook points
        at once (`TokenStrengths`)."""
        touched = (values[:, list(self.columns)] != 0).any(1, keepdim=True)
        columns = torch.cat([self.row_columns, self.vector_columns, self.prune_columns])
        return self.factors(values[:, columns], touched, bool(touched.all()))

    def factors(
        self, rows: Float[Tensor, "token rows"], touched: Bool[Tensor, "token 1"], all_touched: bool
    ) -> HookStrengths:
        """Factors by token from the strengths of this hook point's rows, `row_total` of them, in that order."""
        breakers, vectors, masks = rows.split_with_sizes(
            [len(self.row_columns), len(self.vector_columns), len(self.prune_columns)], 1
        )
        return HookStrengths(
            touched=touched,
            all_touched=all_touched,
            keep=None if self.prune is None else (1 - masks @ self.prune).clamp(0, 1),
            rows=None if self.down is None else breakers,
            shift=None if self.vectors is None else vectors @ self.vectors,
        )

    def apply(self, z: Float[Tensor, "token width"], strengths: HookStrengths) -> Float[Tensor, "token width"]:
        """z' of DESIGN section 2 for all tokens at once; untouched rows come out bit for bit."""
        z1 = z if strengths.keep is None else z * strengths.keep
        out = z1 if strengths.shift is None else z1 + strengths.shift
        if self.down is not None and self.up is not None and strengths.rows is not None:
            out = torch.addmm(out, (z1 @ self.down) * strengths.rows, self.up)
        return out if strengths.all_touched else torch.where(strengths.touched, out, z)


class TokenStrengths:
    """Per-token strengths of one forward pass. Immutable; expansions are made on first use and kept.

    What hook points need is looked up for all of them at once. An engine passes the same object again for a decode
    step whose rows did not change, and pays nothing.
    """

    __slots__ = ("_expanded", "_host_values", "_layout", "_looked_up", "_steered_rows", "active", "values")

    def __init__(
        self,
        values: Float[Tensor, "token bundle"],
        active: frozenset[HookPoint],
        host_values: Float[Tensor, "token bundle"],
        layout: _Layout,
    ) -> None:
        """`host_values`: the same strengths on the CPU, which saves waiting for the device."""
        self._host_values = host_values
        self._layout = layout
        self._looked_up: dict[HookPoint, _PointRows] | None = None
        self._steered_rows: list[bool] | None = None
        self.values = values
        """Strength of each bundle at each token, on the model's device and in its dtype."""
        self.active = active
        """Hook points that any token of this forward uses; the others add no tensor operation."""
        self._expanded: dict[HookPoint, HookStrengths] = {}

    @property
    def steered_rows(self) -> list[bool]:
        """For each token, whether any bundle acts on it."""
        if self._steered_rows is None:
            acts = (self._host_values != 0).any(1).tolist() if self.active else [False] * len(self.values)
            self._steered_rows = acts
        return self._steered_rows

    def at(self, point: HookPoint, bank: HookBank) -> HookStrengths:
        """This forward's strengths at `point`."""
        found = self._expanded.get(point)
        if found is None:
            if self._looked_up is None:
                self._looked_up = self._layout.look_up(self.values, self._host_values)
            found = self._expanded[point] = bank.factors(*self._looked_up[point])
        return found


class _PointRows(NamedTuple):
    """What `HookBank.factors` takes."""

    rows: Float[Tensor, "token rows"]
    touched: Bool[Tensor, "token 1"]
    all_touched: bool


class _Layout:
    """Where each hook point's rows and bundles are among those of all hook points."""

    def __init__(self, points: Mapping[HookPoint, HookBank], bundles: int, device: torch.device) -> None:
        self._points = tuple(points)
        self._sizes = [hook.row_total for hook in points.values()]
        columns = [c for h in points.values() for c in (h.row_columns, h.vector_columns, h.prune_columns)]
        self._columns = torch.cat(columns) if columns else torch.empty(0, dtype=torch.long, device=device)
        self._acts_at = torch.zeros(bundles, len(points))
        """1 where a bundle has an intervention at a hook point; on the CPU."""
        for number, hook in enumerate(points.values()):
            self._acts_at[list(hook.columns), number] = 1

    def look_up(
        self, values: Float[Tensor, "token bundle"], host_values: Float[Tensor, "token bundle"]
    ) -> dict[HookPoint, _PointRows]:
        """Every hook point's rows, and on which tokens it acts."""
        acting = ((host_values != 0).to(self._acts_at.dtype) @ self._acts_at) > 0
        rows = values.index_select(1, self._columns).split_with_sizes(self._sizes, 1)
        touched = acting.to(values.device).split_with_sizes([1] * len(self._points), 1)
        return {
            point: _PointRows(of_point, acts, everywhere)
            for point, of_point, acts, everywhere in zip(
                self._points, rows, touched, acting.all(0).tolist(), strict=True
            )
        }


class Bank:
    """All bundles loaded for one model."""

    def __init__(
        self,
        sites: ModelSites,
        entries: Sequence[BankEntry],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        for_serving: bool = False,
    ) -> None:
        """Compile.

        Args:
            sites: of the model.
            entries: the bundles, in column order.
            device: where tensors live.
            dtype: of the tensors.
            for_serving: lay breakers out for the few tokens of an engine's step. Products are faster, and round a
                token alike wherever it is in a batch; their last bits are not those of the training's layout.

        Raises:
            SiteError: an intervention names a site that the model does not have.
            InterventionError: tensors do not fit their site, or two bundles share a name.
        """
        self.sites = sites
        self.entries = tuple(entries)
        self.device = torch.device(device)
        self.dtype = dtype
        self.for_serving = for_serving
        self.columns: dict[str, int] = {entry.name: i for i, entry in enumerate(self.entries)}
        if len(self.columns) != len(self.entries):
            raise InterventionError(f"bundles share a name: {sorted(e.name for e in self.entries)}")
        self.points: dict[HookPoint, HookBank] = _compile(self)
        self._layout = _Layout(self.points, len(self.entries), self.device)
        self._points_of_column = [
            frozenset(p for p, hook in self.points.items() if column in hook.columns)
            for column in range(len(self.entries))
        ]

    @property
    def names(self) -> tuple[str, ...]:
        """Bundle names, in column order."""
        return tuple(self.columns)

    def row(self, strengths: Mapping[str, float]) -> Float[Tensor, " bundle"]:
        """Strengths by name -> one row by column (on the CPU, float32).

        Raises:
            PlanError: a bundle is not loaded, or a strength is outside [0, strength_max].
        """
        row = torch.zeros(len(self.entries))
        for name, strength in strengths.items():
            if name not in self.columns:
                raise PlanError(f"bundle {name!r} is not loaded; loaded: {', '.join(self.names) or 'none'}")
            high = self.entries[self.columns[name]].strength_max
            if not 0 <= strength <= high:
                raise PlanError(f"strength of {name!r} is {strength}; wanted a number in [0, {high}]")
            row[self.columns[name]] = strength
        return row

    def token_strengths(self, values: Float[Tensor, "token bundle"]) -> TokenStrengths:
        """Per-token strengths (CPU) -> what a forward takes, on the bank's device and in its dtype."""
        used = (values != 0).any(0).nonzero().flatten().tolist()
        active = frozenset().union(*(self._points_of_column[column] for column in used))
        return TokenStrengths(values.to(self.device, self.dtype), active, values, self._layout)

    def idle_strengths(self, tokens: int) -> TokenStrengths:
        """Strength 0 for every token."""
        values = torch.zeros(tokens, len(self.entries))
        return TokenStrengths(values.to(self.device, self.dtype), frozenset(), values, self._layout)


class StrengthTable:
    """Strengths by request slot, with each request's generation_start."""

    def __init__(self, bank: Bank, slots: int) -> None:
        self.bank = bank
        self._values = torch.zeros(slots, len(bank.entries))
        self._starts = torch.zeros(slots, dtype=torch.long)
        self._generation_only = torch.tensor([e.scope is Scope.GENERATION for e in bank.entries], dtype=torch.bool)
        self._steered: set[int] = set()
        """Slots with any strength."""
        self.version = 0
        """Grows with every change, so that an engine can tell whether gathered strengths still hold."""

    def assign(self, slot: int, plan: Plan, generation_start: int) -> None:
        """Give `slot` a request's strengths; `generation` bundles act from position `generation_start` on."""
        strengths = plan.strengths()
        self._values[slot] = self.bank.row(strengths)
        self._starts[slot] = generation_start
        (self._steered.add if strengths else self._steered.discard)(slot)
        self.version += 1

    def release(self, slot: int) -> None:
        """Set every strength of `slot` to 0."""
        self._values[slot] = 0
        self._starts[slot] = 0
        self._steered.discard(slot)
        self.version += 1

    def move(self, source: int, target: int) -> None:
        """Compaction: the request in `source` now lives in `target`; `source` becomes free."""
        self._values[target] = self._values[source]
        self._starts[target] = self._starts[source]
        (self._steered.add if source in self._steered else self._steered.discard)(target)
        self.release(source)

    def gather(self, slots: Int[Tensor, " token"], positions: Int[Tensor, " token"]) -> TokenStrengths:
        """One vectorised look-up: the slot and position of each token of a packed batch -> its strengths."""
        if not self._steered:
            return self.bank.idle_strengths(len(slots))
        values = self._values[slots]
        before = positions < self._starts[slots]
        values = values.masked_fill(before[:, None] & self._generation_only[None, :], 0.0)
        return self.bank.token_strengths(values)


def _compile(bank: Bank) -> dict[HookPoint, HookBank]:
    by_point: dict[HookPoint, list[tuple[int, Intervention]]] = {}
    for column, entry in enumerate(bank.entries):
        for intervention in entry.interventions:
            by_point.setdefault(intervention.site.hook_point, []).append((column, intervention))
    return {point: _compile_point(bank, point, placed) for point, placed in by_point.items()}


def _compile_point(bank: Bank, point: HookPoint, placed: list[tuple[int, Intervention]]) -> HookBank:
    width = bank.sites.width(point)

    def scatter(intervention: Intervention, tensor: Tensor) -> Tensor:
        channels = bank.sites.channels(intervention.site)
        if tensor.shape[-1] != len(channels):
            raise InterventionError(
                f"{intervention.kind} at {intervention.site} is {tensor.shape[-1]} wide; the site is {len(channels)}"
            )
        full = torch.zeros(*tensor.shape[:-1], width)
        # Not detached: training differentiates through the bank.
        full[..., channels] = tensor.to("cpu", torch.float32)
        return full

    masks = [(c, scatter(k, 1 - k.keep)[None]) for c, k in placed if isinstance(k, Mask)]
    downs = [(c, scatter(k, k.down)) for c, k in placed if isinstance(k, Breaker)]
    ups = [(c, scatter(k, k.up.T)) for c, k in placed if isinstance(k, Breaker)]
    vectors = [(c, scatter(k, k.vector)[None]) for c, k in placed if isinstance(k, SteeringVector)]
    prune, prune_columns = _stack(bank, masks)
    down, row_columns = _stack(bank, downs)
    up, _ = _stack(bank, ups)
    stacked_vectors, vector_columns = _stack(bank, vectors)
    return HookBank(
        columns=tuple(sorted({column for column, _ in placed})),
        prune=prune,
        prune_columns=prune_columns,
        down=None if down is None else down.T if bank.for_serving else down.T.contiguous(),
        up=up,
        row_columns=row_columns,
        vectors=stacked_vectors,
        vector_columns=vector_columns,
    )


def _stack(bank: Bank, rows: Iterable[tuple[int, Tensor]]) -> tuple[Tensor | None, Tensor]:
    pairs = list(rows)
    columns = [column for column, tensor in pairs for _ in range(len(tensor))]
    index = torch.tensor(columns, dtype=torch.long, device=bank.device)
    if not pairs:
        return None, index
    return torch.cat([tensor for _, tensor in pairs]).to(bank.device, bank.dtype), index

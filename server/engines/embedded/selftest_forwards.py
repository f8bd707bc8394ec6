"""The checks of the self-test that need logits: forwards on the engine's thread, between two steps.

They have a slot cache of their own, made for one check and dropped after it, so what runs in the engine's slots is
not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from breakers.bank import BankEntry, StrengthTable, TokenStrengths
from breakers.plan import STRENGTH_STEPS, AppliedStrength, Plan, Reason
from server.engines.checks import STRENGTH_0, Canary, CheckResult, Verdict
from server.engines.embedded.banks import LoadedBank
from server.engines.embedded.batch import PackedBatch, Work
from server.engines.embedded.cache import SlotCache
from server.engines.embedded.executor import Executor

COSINE = {torch.float32: 0.999, torch.bfloat16: 0.95, torch.float16: 0.99}
"""Least cosine between the declared and the observed change of the logits."""

SIZE = {torch.float32: 0.05, torch.bfloat16: 0.25, torch.float16: 0.1}
"""How far the observed change's norm may be from the declared one's, as a share of it."""

EXPERTS = {torch.float32: 1e-3, torch.bfloat16: 0.5, torch.float16: 0.1}
"""How far an unsteered row's logits may move beside a steered one in a mixture of experts, where rows are grouped by
expert and so decide on the shapes of each other's products. In other models: not at all."""

_PROMPTS = (11, 7)
_DECODE_STEPS = 2
_FALLBACK = 12

Strengths = Callable[[PackedBatch], TokenStrengths | None]


def share_of_all(entries: Sequence[BankEntry]) -> Plan:
    """Every bundle at an equal share of one bundle's full strength: all of them act, and their sum stays usual."""
    share = max(1, STRENGTH_STEPS // max(1, len(entries)))
    shares = {entry.name: min(share, int(entry.strength_max * STRENGTH_STEPS)) for entry in entries}
    return Plan({name: _asked(steps / STRENGTH_STEPS) for name, steps in shares.items() if steps})


class ForwardChecks:
    """Runs them; every method belongs to the engine's thread."""

    def __init__(self, executor: Executor, bank: LoadedBank) -> None:
        self._executor = executor
        self._runtime = bank.runtime
        self._bank = bank.bank
        self._vocab = int(executor.model.get_input_embeddings().num_embeddings)
        self._dtype = executor.model.dtype

    def strength_0(self) -> CheckResult:
        """The model without any hook, with the bank at strength 0, and beside a steered request: the same bits."""
        self._executor.use(self._runtime)
        with self._executor.detached():
            plain = self._logits(lambda _batch: None)
        idle = self._logits(lambda batch: self._executor.idle_strengths(batch.tokens))
        table = StrengthTable(self._bank, len(_PROMPTS) + 1)
        table.assign(1, share_of_all(self._bank.entries), self._prompts()[1] - 1)
        beside = self._logits(lambda batch: table.gather(batch.host_slots, batch.host_positions))
        grouped = any("expert" in name for name, _ in self._executor.model.named_modules())
        apart, near = _distance(idle, plain), _distance(beside[:, 0], plain[:, 0])
        limit = EXPERTS[self._dtype] if grouped else 0.0
        return CheckResult(
            name=STRENGTH_0,
            verdict=Verdict.PASSED if apart == 0 and near <= limit else Verdict.FAILED,
            detail=f"logits differ from the model without the bank by {apart:.2g} with every strength 0 (wanted 0) "
            f"and by {near:.2g} beside a steered request (wanted at most {limit:g})",
            measured=_finite(max(apart, near)),
            limit=limit,
        )

    def canary(self, canary: Canary) -> CheckResult:
        """Whether a bundle changes the logits as declared, in direction and size."""
        self._executor.use(self._runtime)
        problem = self._unfit(canary)
        if problem is not None and not canary.accepted:
            return CheckResult(name=canary.check, verdict=Verdict.FAILED, detail=problem)
        change = self._change(canary, self._fallback() if problem is not None else canary.token_ids)
        if not bool(change.isfinite().all()) or not bool(change.any()):
            found = "does not change the logits" if not change.any() else "gives logits that are not finite"
            return CheckResult(name=canary.check, verdict=Verdict.FAILED, detail=f"bundle {canary.bundle!r} {found}")
        if problem is not None:
            return CheckResult(name=canary.check, verdict=Verdict.ACCEPTED, detail=f"accepted by name: {problem}")
        return self._compared(canary, change[list(canary.logit_ids)])

    def _compared(self, canary: Canary, observed: Float[Tensor, " logit"]) -> CheckResult:
        declared = torch.tensor(canary.change, device=observed.device)
        cosine = float(cosine_similarity(observed, declared, dim=0))
        size = float(observed.norm() / declared.norm())
        least, spread = COSINE[self._dtype], SIZE[self._dtype]
        fits = cosine >= least and abs(size - 1) <= spread
        verdict = Verdict.PASSED if fits else Verdict.ACCEPTED if canary.accepted else Verdict.FAILED
        said = (
            f"the change of the logits has a cosine of {cosine:.4f} with the declared one (wanted {least:g} or more) "
            f"and {size:.3f} times its size (wanted {1 - spread:g} to {1 + spread:g})"
        )
        return CheckResult(
            name=canary.check,
            verdict=verdict,
            detail=f"accepted by name: {said}" if verdict is Verdict.ACCEPTED else said,
            measured=_finite(cosine),
            limit=least,
        )

    def _unfit(self, canary: Canary) -> str | None:
        """Why a canary cannot be compared on this model."""
        for field, ids in (("token_ids", canary.token_ids), ("logit_ids", canary.logit_ids)):
            if max(ids) >= self._vocab:
                return f"canary.{field} of {canary.bundle!r} holds {max(ids)}; the model has {self._vocab} tokens"
        if not any(canary.change):
            return f"canary.change of {canary.bundle!r} is 0 everywhere, which proves nothing"
        entry = self._entry(canary)
        if entry.strength_max < 1:
            return f"canaries are of strength 1; {canary.bundle!r} allows at most {entry.strength_max}"
        return None

    def _change(self, canary: Canary, token_ids: Sequence[int]) -> Float[Tensor, " vocab"]:
        """What the bundle at strength 1, or the most it allows, adds to the next token's logits."""
        highest = int(self._entry(canary).strength_max * STRENGTH_STEPS) / STRENGTH_STEPS
        table = StrengthTable(self._bank, 2)
        off = self._last_logits(table, token_ids)
        table.assign(0, Plan({canary.bundle: _asked(min(1.0, highest))}), len(token_ids) - 1)
        return self._last_logits(table, token_ids) - off

    def _last_logits(self, table: StrengthTable, token_ids: Sequence[int]) -> Float[Tensor, " vocab"]:
        work = Work(slot=0, start=0, token_ids=token_ids, wants_logits=True)
        batch = PackedBatch([], [work], cache=self._cache(1, len(token_ids)))
        return self._executor.forward(batch, table.gather(batch.host_slots, batch.host_positions))[0]

    def _logits(self, strengths: Strengths) -> Float[Tensor, "step row vocab"]:
        """Two prompts prefilled in one forward, then decoded together."""
        generator = torch.Generator().manual_seed(0)
        prompts = self._prompts()
        cache = self._cache(len(prompts), max(prompts) + _DECODE_STEPS)
        starts = [0] * len(prompts)
        found: list[Tensor] = []
        for lengths in (prompts, *[(1,) * len(prompts)] * _DECODE_STEPS):
            works = [
                Work(slot=slot, start=start, token_ids=_random(length, self._vocab, generator), wants_logits=True)
                for slot, (start, length) in enumerate(zip(starts, lengths, strict=True))
            ]
            batch = PackedBatch(works if found else [], [] if found else works, cache=cache)
            found.append(self._executor.forward(batch, strengths(batch)))
            starts = [work.end for work in works]
        return torch.stack(found)

    def _prompts(self) -> tuple[int, ...]:
        room = self._executor.cache.max_length - _DECODE_STEPS
        return tuple(min(length, room) for length in _PROMPTS)

    def _fallback(self) -> list[int]:
        return _random(min(_FALLBACK, self._executor.cache.max_length), self._vocab, torch.Generator().manual_seed(0))

    def _cache(self, slots: int, length: int) -> SlotCache:
        like = self._executor.cache
        return SlotCache(slots=slots, max_length=length, device=like.device, dtype=like.dtype)

    def _entry(self, canary: Canary) -> BankEntry:
        return self._bank.entries[self._bank.columns[canary.bundle]]


def _random(length: int, vocab: int, generator: torch.Generator) -> list[int]:
    ids: list[int] = torch.randint(vocab, (length,), generator=generator).tolist()
    return ids


def _asked(strength: float) -> AppliedStrength:
    return AppliedStrength(strength=strength, reason=Reason.REQUEST)


def _distance(found: Tensor, wanted: Tensor) -> float:
    """The largest difference; infinite where one of them is not finite."""
    return float((found - wanted).abs().nan_to_num(torch.inf, torch.inf).max())


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None

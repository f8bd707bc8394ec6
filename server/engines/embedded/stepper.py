"""Running one step: which forwards it takes, what each request gets out of it, and whom to blame for a failure.

By default a step is one forward over everything. In deterministic mode each prefill chunk is a forward of its own,
padded to a fixed size, and decode rows are padded to all slots, or run one by one on models whose rows influence
each other's bits (mixtures of experts among them).

Requests of different versions of the bank never share a forward: each version's are run as if they were alone.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from jaxtyping import Float
from torch import Tensor

from breakers.bank import TokenStrengths
from server.engines.base import EngineError, GrammarDeadEndError, RequestFailedError
from server.engines.embedded.banks import LoadedBank, Packing
from server.engines.embedded.batch import PackedBatch
from server.engines.embedded.executor import Executor
from server.engines.embedded.sampler import Choice, choose
from server.engines.embedded.scheduler import Assignment, Step
from server.engines.embedded.sequence import RunningRequest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step gave one request: a token, nothing (its prompt is not finished), or a failure."""

    assignment: Assignment
    choice: Choice | None
    error: EngineError | None = None


ROW_MULTIPLE = 8
"""Rows of a padded decode forward are a multiple of this: vector instructions round a remainder otherwise."""


def padded_rows(slots: int) -> int:
    """Rows of a decode forward in deterministic mode."""
    return -(-slots // ROW_MULTIPLE) * ROW_MULTIPLE


class Stepper:
    """Runs steps."""

    def __init__(self, executor: Executor, *, rows: int, chunk: int) -> None:
        """`rows` and `chunk` are the fixed sizes of deterministic decode and prefill forwards."""
        self._executor = executor
        self._rows = rows
        self._chunk = chunk
        self._kept: tuple[tuple[int, int, tuple[int, ...]], TokenStrengths] | None = None
        """Strengths of the last pure decode forward, with the versions of bank and table, and the slots."""

    def run(self, step: Step) -> list[Outcome]:
        """Every request's outcome. An exception costs only the requests that raise it when run alone."""
        outcomes: list[Outcome] = []
        for group in _groups(step):
            try:
                outcomes.extend(self._run_group(group))
            except Exception as error:  # noqa: BLE001 - whatever a model or hook raises is some request's failure
                outcomes.extend(self._run_alone(group, error))
        return outcomes

    def _run_alone(self, group: Step, error: Exception) -> list[Outcome]:
        if len(group.decode) + len(group.prefill) == 1:
            assignment = (*group.decode, *group.prefill)[0]
            logger.warning("request %s failed in the model", assignment.request.request.request_id, exc_info=error)
            message = f"the model failed on this request: {type(error).__name__}: {error}"
            return [Outcome(assignment, None, RequestFailedError(message))]
        singles = [Step(decode=(a,), prefill=()) for a in group.decode]
        singles += [Step(decode=(), prefill=(a,)) for a in group.prefill]
        outcomes: list[Outcome] = []
        for single in singles:
            try:
                outcomes.extend(self._run_group(single))
            except Exception as own_error:  # noqa: BLE001 - as above
                outcomes.extend(self._run_alone(single, own_error))
        return outcomes

    def _run_group(self, group: Step) -> list[Outcome]:
        assignments = (*group.decode, *group.prefill)
        bank = assignments[0].request.bank
        batch = self._pack(group, bank.packing)
        self._executor.use(bank.runtime)
        strengths = self._strengths(batch, bank)
        logits = self._executor.forward(batch, strengths)
        outcomes = _choose(assignments, logits, bank.packing)
        steered = strengths.steered_rows
        row = 0
        for assignment in assignments:
            count = len(assignment.work.token_ids)
            assignment.request.advance(assignment.work, sum(steered[row : row + count]))
            row += count
        return outcomes

    def _pack(self, group: Step, packing: Packing) -> PackedBatch:
        apart = packing is not Packing.TOGETHER
        pad_to = None
        if apart and group.prefill:
            pad_to = self._chunk
        elif packing is Packing.PADDED:
            pad_to = self._rows
        return PackedBatch(
            [a.work for a in group.decode],
            [a.work for a in group.prefill],
            cache=self._executor.cache,
            rows_apart=apart,
            pad_to=pad_to,
        )

    def _strengths(self, batch: PackedBatch, bank: LoadedBank) -> TokenStrengths:
        """Gathered anew unless this is a decode step with the same requests in the same rows.

        A decode row is past every generation_start, so its strengths do not depend on its position.
        """
        if batch.spans:
            return bank.table.gather(batch.host_slots, batch.host_positions)
        known = (bank.version, bank.table.version, batch.decode_slots)
        if self._kept is None or self._kept[0] != known:
            self._kept = (known, bank.table.gather(batch.host_slots, batch.host_positions))
        return self._kept[1]


def _groups(step: Step) -> list[Step]:
    """The forwards of a step."""
    banks = {a.request.bank for a in (*step.decode, *step.prefill)}
    if len(banks) == 1:
        return _packed(step, banks.pop().packing)
    groups = []
    for bank in sorted(banks, key=lambda bank: bank.version):
        decode = tuple(a for a in step.decode if a.request.bank is bank)
        prefill = tuple(a for a in step.prefill if a.request.bank is bank)
        groups += _packed(Step(decode=decode, prefill=prefill), bank.packing)
    return groups


def _packed(step: Step, packing: Packing) -> list[Step]:
    if packing is Packing.TOGETHER:
        return [step]
    alone = [Step(decode=(), prefill=(a,)) for a in step.prefill]
    if packing is Packing.PADDED:
        return ([Step(decode=step.decode, prefill=())] if step.decode else []) + alone
    return [Step(decode=(a,), prefill=()) for a in step.decode] + alone


def _choose(assignments: Sequence[Assignment], logits: Float[Tensor, "row vocab"], packing: Packing) -> list[Outcome]:
    failures: dict[RunningRequest, EngineError] = {}
    if any(a.work.wants_all_logits for a in assignments):
        failures = _score_prompts(assignments, logits)
        logits = logits[_last_rows(assignments)]
    wanting = [a for a in assignments if a.work.wants_logits]
    outcomes = [Outcome(a, None, failures.get(a.request)) for a in assignments if not a.work.wants_logits]
    choosers = [a.request.chooser for a in wanting]
    allowed = _allowed(wanting, failures)
    if packing is Packing.TOGETHER:
        choices = choose(logits, choosers, allowed) if wanting else []
    else:
        # Row by row: a vectorised reduction may round differently with another number of rows.
        choices = [
            choose(logits[i : i + 1], [chooser], allowed and [allowed[i]])[0] for i, chooser in enumerate(choosers)
        ]
    for assignment, choice in zip(wanting, choices, strict=True):
        error = failures.get(assignment.request)
        if choice is None and error is None:
            error = RequestFailedError("the model gave logits that are not finite")
        outcomes.append(Outcome(assignment, choice, error))
    return outcomes


def _allowed(wanting: Sequence[Assignment], failures: dict[RunningRequest, EngineError]) -> list[bytes | None] | None:
    """What the grammar of each request lets come next; those whose grammar leads nowhere are added to `failures`.

    Returns:
        None where no request has a grammar.
    """
    if all(a.request.chooser.grammar is None for a in wanting):
        return None
    allowed: list[bytes | None] = []
    for assignment in wanting:
        try:
            allowed.append(assignment.request.chooser.allowed())
        except GrammarDeadEndError as error:
            failures[assignment.request] = error
            allowed.append(None)
    return allowed


def _score_prompts(
    assignments: Sequence[Assignment], logits: Float[Tensor, "row vocab"]
) -> dict[RunningRequest, EngineError]:
    """Let requests that want their prompt scored read their rows; whom that failed, and why."""
    failures: dict[RunningRequest, EngineError] = {}
    row = 0
    for assignment in assignments:
        work = assignment.work
        if work.wants_all_logits:
            try:
                assignment.request.score_prompt(work, logits[row : row + work.logit_rows])
            except RequestFailedError as error:
                failures[assignment.request] = error
        row += work.logit_rows
    return failures


def _last_rows(assignments: Sequence[Assignment]) -> list[int]:
    """Where among all rows of logits the last one of each request that wants a token lies."""
    ends = accumulate(a.work.logit_rows for a in assignments)
    return [end - 1 for end, a in zip(ends, assignments, strict=True) if a.work.wants_logits]

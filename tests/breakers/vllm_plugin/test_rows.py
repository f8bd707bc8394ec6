"""The buffer that vLLM's model reads holds what `StrengthTable` of the embedded engine gathers, step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_contract import PLANS, contract_bundles, plan
from tiny import tiny_model

from breakers.architectures import resolve_sites
from breakers.bank import Bank, StrengthTable
from breakers.errors import RuntimeAttachError
from breakers.vllm_plugin.catalogue import AdmittedPlan
from breakers.vllm_plugin.rows import RequestRows

TOKENS = 64


@pytest.fixture(scope="module")
def bank() -> Bank:
    return Bank(resolve_sites(tiny_model("llama")), contract_bundles("llama"), for_serving=True)


def admitted(strengths: dict[str, float], start: int) -> AdmittedPlan | None:
    if not strengths:
        return None
    return AdmittedPlan(strengths=strengths, generation_start=start, everywhere=None, generated=None)


def rows_of(bank: Bank, starts: list[int]) -> tuple[RequestRows, StrengthTable]:
    """Requests named by numbers, one of each plan, in both."""
    rows, table = RequestRows(bank, tokens=TOKENS), StrengthTable(bank, len(PLANS))
    for n, (strengths, start) in enumerate(zip(PLANS, starts, strict=True)):
        rows.assign(str(n), admitted(strengths, start))
        table.assign(n, plan(strengths), start)
    return rows, table


def assert_filled(rows: RequestRows, table: StrengthTable, step: list[tuple[int, int, int]]) -> None:
    """`step`: (request, tokens, position of the first)."""
    requests, scheduled, computed = (np.array(column) for column in zip(*step, strict=True))
    rows.fill([str(n) for n in requests], scheduled.astype(np.int32), computed.astype(np.int32))
    slots = torch.tensor([n for n, count, _ in step for _ in range(count)])
    positions = torch.tensor([first + i for _, count, first in step for i in range(count)])
    strengths = table.gather(slots, positions)
    total = len(slots)
    for point, hook in rows._bank.points.items():
        first = rows.layout.offsets[point]
        columns = torch.cat([hook.row_columns, hook.vector_columns, hook.prune_columns])
        assert torch.equal(rows.buffer[:total, first : first + hook.row_total], strengths.values[:, columns])
    assert not rows.buffer[total:].any()


def test_steps_of_all_kinds(bank: Bank) -> None:
    starts = [0, 6, 7, 8, 9, 4]
    rows, table = rows_of(bank, starts)
    assert_filled(rows, table, [(n, 10, 0) for n in range(6)])
    assert_filled(rows, table, [(5, 3, 0), (2, 3, 6), (0, 7, 2)])
    assert_filled(rows, table, [(4, 1, 8), (3, 1, 8)])
    for position in (12, 13, 14):
        assert_filled(rows, table, [(n, 1, position) for n in range(6)])
    assert_filled(rows, table, [(n, 1, 15) for n in (3, 1)])
    assert_filled(rows, table, [(0, 5, 0)])
    assert rows.steered == 5


def test_a_repeated_decode_step_is_not_filled_again(bank: Bank) -> None:
    rows, table = rows_of(bank, [0] * 6)
    assert_filled(rows, table, [(n, 1, 20) for n in range(6)])
    rows.buffer.fill_(7.0)
    rows.fill([str(n) for n in range(6)], np.ones(6, dtype=np.int32), np.full(6, 21))
    assert bool((rows.buffer == 7.0).all())


@pytest.mark.parametrize("change", ["order", "slot"])
def test_a_decode_step_of_other_requests_is_filled(bank: Bank, change: str) -> None:
    rows, table = rows_of(bank, [0] * 6)
    assert_filled(rows, table, [(1, 1, 20), (2, 1, 20)])
    if change == "slot":
        rows.release("1")
        rows.assign("1", admitted(PLANS[4], 0))
        table.assign(1, plan(PLANS[4]), 0)
        assert_filled(rows, table, [(1, 1, 21), (2, 1, 21)])
    else:
        assert_filled(rows, table, [(2, 1, 21), (1, 1, 21)])


def test_a_request_taken_on_again_keeps_its_plan(bank: Bank) -> None:
    rows, table = rows_of(bank, [3] * 6)
    for _ in range(200):
        rows.release("5")
        rows.assign("5", admitted(PLANS[5], 3))
    assert_filled(rows, table, [(5, 9, 0), (1, 9, 0)])
    assert rows.steered == 5


def test_there_is_room_for_any_number_of_requests(bank: Bank) -> None:
    rows, table = rows_of(bank, [3] * 6)
    for n in range(6, 300):
        rows.assign(str(n), admitted(PLANS[1 + n % 5], 3))
    assert_filled(rows, table, [(n, 5, 0) for n in range(6)])
    for n in range(6, 300):
        rows.release(str(n))
    assert rows.steered == 5
    assert len(set(rows._free)) == len(rows._free) == len(rows._starts) - 1 - rows.steered


def test_a_request_that_never_began_is_refused(bank: Bank) -> None:
    rows, _ = rows_of(bank, [0] * 6)
    with pytest.raises(RuntimeAttachError, match="request '9' runs, but the plugin never saw it begin"):
        rows.fill(["1", "9"], np.ones(2, dtype=np.int32), np.zeros(2, dtype=np.int32))
    assert not rows.knows_any(["9"])
    assert rows.knows_any(["9", "0"])

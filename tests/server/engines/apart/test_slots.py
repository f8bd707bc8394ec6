"""Who waits and who runs, by hand."""

import pytest

from server.engines.apart.slots import SlotLedger
from server.engines.base import EngineOverloadedError


def counts(ledger: SlotLedger) -> tuple[int, int]:
    return ledger.running, ledger.waiting


def test_from_submission_to_the_slot_and_back() -> None:
    ledger = SlotLedger(slots=1, queue_size=1)
    ledger.submit(1)
    ledger.submit(2)
    assert counts(ledger) == (0, 2)
    with pytest.raises(EngineOverloadedError, match="0 requests run and 2 wait; the engine takes 2"):
        ledger.submit(3)
    ledger.note(started=[1], freed=[])
    assert counts(ledger) == (1, 1)
    ledger.note(started=[2], freed=[1])
    assert counts(ledger) == (1, 0)
    ledger.submit(3)
    ledger.clear()
    assert counts(ledger) == (0, 0)


def test_one_that_nobody_waits_for_holds_its_slot_until_that_is_free() -> None:
    ledger = SlotLedger(slots=1, queue_size=1)
    for number in (1, 2):
        ledger.submit(number)
    ledger.note(started=[1], freed=[])
    ledger.drop(1)
    ledger.drop(2)
    assert counts(ledger) == (1, 0)
    # It had a slot before the child heard that nobody waits.
    ledger.note(started=[2], freed=[1])
    assert counts(ledger) == (1, 0)
    ledger.note(started=[], freed=[2])
    assert counts(ledger) == (0, 0)


def test_one_that_came_and_went_between_two_messages() -> None:
    ledger = SlotLedger(slots=1, queue_size=0)
    ledger.submit(1)
    ledger.note(started=[1], freed=[1])
    assert counts(ledger) == (0, 0)

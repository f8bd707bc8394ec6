"""Edits of few tokens take one compute thread, and leave the setting as it was."""

from __future__ import annotations

import pytest
import torch
from architecture_bundles import linear_entries
from tiny import tiny_model

from breakers.architectures import resolve_sites
from breakers.bank import Bank, HookBank
from breakers.runtime import TorchRuntime
from server.engines.embedded import runtime as runtime_module
from server.engines.embedded.runtime import EngineRuntime


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("alone", "wanted"), [(2**22, {1}), (0, {2})])
def test_few_tokens_take_one_thread(
    monkeypatch: pytest.MonkeyPatch, two_threads: None, alone: int, wanted: set[int]
) -> None:
    used = []
    apply = HookBank.apply

    def watched(self: HookBank, *arguments: object) -> torch.Tensor:
        used.append(torch.get_num_threads())
        return apply(self, *arguments)

    monkeypatch.setattr(HookBank, "apply", watched)
    monkeypatch.setattr(runtime_module, "ALONE", alone)
    model = tiny_model("llama")
    sites = resolve_sites(model)
    entries = linear_entries(sites)
    ids = torch.arange(3, 12)[None]
    strengths = {entry.name: 0.5 for entry in entries}
    with torch.inference_mode():
        with TorchRuntime(model, Bank(sites, entries)).steering(strengths, 0):
            reference = model(ids).logits
        used.clear()
        with EngineRuntime(model, Bank(sites, entries, for_serving=True)).steering(strengths, 0):
            torch.testing.assert_close(model(ids).logits, reference, atol=1e-5, rtol=1e-5)
    assert set(used) == wanted
    assert torch.get_num_threads() == 2


def test_an_error_inside_an_edit_leaves_the_threads(monkeypatch: pytest.MonkeyPatch, two_threads: None) -> None:
    monkeypatch.setattr(HookBank, "apply", lambda *_: 1 / 0)
    model = tiny_model("llama")
    sites = resolve_sites(model)
    entries = linear_entries(sites)
    runtime = EngineRuntime(model, Bank(sites, entries, for_serving=True))
    with pytest.raises(ZeroDivisionError), runtime.steering({entry.name: 1.0 for entry in entries}):
        model(torch.arange(3, 12)[None])
    assert torch.get_num_threads() == 2

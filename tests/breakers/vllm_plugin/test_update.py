"""The edit inside the forward equals the plain-PyTorch run time's, whole, in two parts, and sharded."""

from __future__ import annotations

import pytest
import torch
from engine_contract import PLANS, contract_bundles
from tiny import tiny_model
from torch import Tensor, nn

from breakers.architectures import resolve_sites
from breakers.bank import Bank, HookBank
from breakers.errors import RuntimeAttachError
from breakers.interventions import Breaker
from breakers.sites import Boundary, HookPoint
from breakers.vllm_plugin.rows import RowLayout
from breakers.vllm_plugin.sites import Shard
from breakers.vllm_plugin.update import SiteUpdate, attach, shard_hook

TOKENS = len(PLANS)


class Placed:
    """One hook point's update, with a token of each plan in the buffer."""

    def __init__(self, bank: Bank, point: HookPoint) -> None:
        layout = RowLayout(bank)
        values = torch.stack([bank.row(strengths) for strengths in PLANS])
        buffer = torch.stack([layout.rows(row)[1] for row in values])
        self.hook = bank.points[point]
        self.offset = layout.offsets[point]
        # Longer than any step's tokens.
        self.buffer = torch.cat([buffer, torch.full((3, layout.total), 9.0)])
        self.update = SiteUpdate(self.hook, self.buffer, self.offset)
        self.strengths = self.hook.expand(values)
        width = bank.sites.width(point)
        self.z = torch.randn(TOKENS, width, generator=torch.Generator().manual_seed(2))

    def wanted(self) -> Tensor:
        return self.hook.apply(self.z, self.strengths)


@pytest.fixture(scope="module")
def bank() -> Bank:
    return Bank(resolve_sites(tiny_model("llama")), contract_bundles("llama"), for_serving=True)


@pytest.fixture(params=range(4))
def placed(bank: Bank, request: pytest.FixtureRequest) -> Placed:
    return Placed(bank, list(bank.points)[request.param])


def test_all_rows_are_edited_at_once_and_untouched_ones_not_at_all(placed: Placed) -> None:
    placed.z[0] = torch.inf
    found = placed.update(placed.z)
    assert torch.equal(found, placed.wanted())
    assert torch.equal(found[0], placed.z[0])
    assert not torch.equal(found, placed.z)


def test_a_stream_in_two_parts_has_the_edited_sum(placed: Placed) -> None:
    part = torch.randn(placed.z.shape, generator=torch.Generator().manual_seed(3))
    hidden, residual = placed.update.residual(placed.z - part, part)
    whole = placed.hook.apply((placed.z - part) + part, placed.strengths)
    touched = placed.strengths.touched.flatten()
    assert torch.equal((hidden + residual)[touched], whole[touched])
    assert torch.equal(hidden[~touched], (placed.z - part)[~touched])
    assert torch.equal(residual[~touched], part[~touched])


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_parts_of_all_ranks_make_the_whole(bank: Bank, ranks: int) -> None:
    placed = Placed(bank, HookPoint(1, Boundary.ATTENTION_OUT_INPUT))
    width = placed.z.shape[1]
    size = width // ranks
    parts = []
    for rank in range(ranks):
        shard = Shard(start=rank * size, stop=(rank + 1) * size, width=width)
        hook = shard_hook(HookPoint(1, Boundary.ATTENTION_OUT_INPUT), placed.hook, shard)
        parts.append(SiteUpdate(hook, placed.buffer, placed.offset)(placed.z[:, shard.start : shard.stop]))
    torch.testing.assert_close(torch.cat(parts, 1), placed.wanted(), rtol=0, atol=1e-6)


def test_a_breaker_across_ranks_is_refused(bank: Bank) -> None:
    point = HookPoint(0, Boundary.MLP_DOWN_INPUT)
    breaker = next(k for e in bank.entries for k in e.interventions if k.site.hook_point == point)
    assert isinstance(breaker, Breaker)
    assert breaker.site.neurons == (1, 4, 9, 17)
    with pytest.raises(RuntimeAttachError, match=f"{point} reads channels of several tensor-parallel ranks"):
        shard_hook(point, bank.points[point], Shard(start=0, stop=12, width=48))
    whole: HookBank = shard_hook(point, bank.points[point], Shard(start=0, stop=24, width=48))
    assert whole.down is not None
    assert whole.down.shape == (24, 2)


class _Projection(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return 2 * x, None


def test_a_projection_sees_the_edited_input_and_no_quantised_one(placed: Placed) -> None:
    module = _Projection()
    attach(module, HookPoint(0, Boundary.ATTENTION_OUT_INPUT), placed.update)
    assert isinstance(module, _Projection)
    assert torch.equal(module(placed.z)[0], 2 * placed.wanted())
    with pytest.raises(RuntimeAttachError, match=r"was given 2-d torch.int8; wanted unquantised activations"):
        module(placed.z.to(torch.int8))
    with pytest.raises(RuntimeAttachError, match="is steered already"):
        attach(module, HookPoint(0, Boundary.ATTENTION_OUT_INPUT), placed.update)


def test_a_block_of_one_output_is_edited_behind_it(placed: Placed) -> None:
    class _Block(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    module = _Block()
    attach(module, HookPoint(0, Boundary.BLOCK_OUTPUT), placed.update)
    assert torch.equal(module(placed.z), placed.wanted())

"""Laid-out weights against torch's own linear layers."""

import pytest
import torch
from torch import nn

from server.engines.embedded import linear
from server.engines.embedded.linear import packed_linears


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 16), (3, 7), (1, 200)])
def test_products_are_those_of_torch(bias: bool, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(48, 80, bias=bias)
    x = torch.randn(*shape, 48)
    with torch.inference_mode():
        wanted = layer(x)
        with packed_linears(layer, smallest=1) as count:
            assert count == 1
            torch.testing.assert_close(layer(x), wanted, rtol=1e-5, atol=1e-5)
            # A view whose rows do not lie one after the other, as the logits of some rows are.
            torch.testing.assert_close(layer(x.repeat(1, 2, 1)[:, ::2]), layer(x.repeat(1, 2, 1)[:, ::2].clone()))
        assert torch.equal(layer(x), wanted)


def test_hooks_see_and_change_what_goes_in() -> None:
    layer = nn.Linear(16, 16)
    handle = layer.register_forward_pre_hook(lambda _module, args: (args[0] * 0,))
    with torch.inference_mode(), packed_linears(layer, smallest=1):
        assert torch.equal(layer(torch.ones(2, 16)), layer.bias.expand(2, 16))
    handle.remove()


def test_what_does_not_pay_or_fit_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(200, 200), nn.Linear(200, 200).double())
    with packed_linears(model) as count:
        assert count == 1
        assert ["forward" in vars(layer) for layer in model] == [False, True, False]
    assert not any("forward" in vars(layer) for layer in model)
    monkeypatch.setattr(linear, "MEMORY_LIMIT", 100)
    with packed_linears(model) as count:
        assert count == 0


def test_an_error_leaves_nothing_behind() -> None:
    layer = nn.Linear(16, 16)
    with pytest.raises(ZeroDivisionError), packed_linears(layer, smallest=1):
        raise ZeroDivisionError
    assert "forward" not in vars(layer)

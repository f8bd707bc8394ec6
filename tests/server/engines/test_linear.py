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


class Siblings(nn.Module):
    """Three layers for one input."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(48, width, bias=bias) for width in (80, 16, 24))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.q_proj(x), self.k_proj(x), self.v_proj(x)]


@pytest.mark.parametrize("bias", [False, True])
def test_siblings_are_one_product_and_each_is_its_own(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, x, other = Siblings(bias), torch.randn(1, 5, 48), torch.randn(1, 3, 48)
    products = []
    multiply = linear._JointProduct.multiply
    monkeypatch.setattr(linear._JointProduct, "multiply", lambda self, x: (products.append(1), multiply(self, x))[1])
    with torch.inference_mode():
        wanted, of_other = model(x), model(other)
        with packed_linears(model, smallest=1) as count:
            assert count == 3
            torch.testing.assert_close(model(x), wanted, rtol=1e-5, atol=1e-5)
            assert len(products) == 1
            # Another input between two of them.
            torch.testing.assert_close(model.q_proj(x), wanted[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(model.k_proj(other), of_other[1], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(model.v_proj(x), wanted[2], rtol=1e-5, atol=1e-5)
            # The same tensor with other contents.
            changed = x.clone()
            model(changed)
            changed.copy_(2 * x)
            torch.testing.assert_close(model.q_proj(changed), model.q_proj(2 * x), rtol=1e-5, atol=1e-5)
        assert all(torch.equal(a, b) for a, b in zip(model(x), wanted, strict=True))


def test_siblings_of_different_inputs_stay_apart() -> None:
    model = Siblings(False)
    model.v_proj = nn.Linear(40, 24, bias=False)
    with packed_linears(model, smallest=1) as count, torch.inference_mode():
        assert count == 3
        assert model.v_proj(torch.ones(2, 40)).shape == (2, 24)

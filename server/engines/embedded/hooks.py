"""A model without its hooks, whoever installed them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def unhooked(model: nn.Module) -> Iterator[None]:
    """Run no forward hook of any module inside; all of them are back afterwards, with their handles."""
    hooked = [(m, m._forward_pre_hooks, m._forward_hooks) for m in model.modules()]
    for module, _, _ in hooked:
        module._forward_pre_hooks, module._forward_hooks = OrderedDict(), OrderedDict()
    try:
        yield
    finally:
        for module, before, after in hooked:
            module._forward_pre_hooks, module._forward_hooks = before, after

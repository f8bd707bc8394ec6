"""The projections that read head and neuron sites: found by name, in one orientation, and safe to change or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from breakers.architectures import ModelSites
from breakers.errors import ExportError
from breakers.interventions import Intervention
from breakers.sites import Component, HookPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """y = W z + b, where W is (out, width) whatever the module stores."""

    name: str
    """Dotted path from the model."""
    module: nn.Module
    transposed: bool
    """Whether the module stores (width, out), as GPT-2's Conv1D does."""

    @property
    def weight(self) -> Float[Tensor, "out width"]:
        """W in float64, on the CPU."""
        stored = _parameter(self.module, "weight").detach().to("cpu", torch.float64)
        return stored.T if self.transposed else stored

    @property
    def bias(self) -> Float[Tensor, " out"] | None:
        """b in float64, on the CPU; None where the projection has none."""
        if getattr(self.module, "bias", None) is None:
            return None
        return _parameter(self.module, "bias").detach().to("cpu", torch.float64)

    def stored_bias(self, bias: Float[Tensor, " out"]) -> Tensor:
        """A bias in the dtype that the module stores."""
        return bias.to(_parameter(self.module, "bias").dtype)

    def stored_weight(self, weight: Float[Tensor, "out width"]) -> Tensor:
        """A weight as the module stores it: its orientation and its dtype."""
        kept = weight.T if self.transposed else weight
        return kept.to(_parameter(self.module, "weight").dtype).contiguous()


def find_projection(model: PreTrainedModel, sites: ModelSites, point: HookPoint) -> Projection:
    """The projection that reads a head or neuron hook point.

    Raises:
        ExportError: it is not a plain projection in floating point, or several places of the model share it.
    """
    module = sites.module(point)
    names = [name for name, found in model.named_modules(remove_duplicate=False) if found is module]
    if len(names) != 1:
        raise ExportError(f"{point}: the projection is used as {', '.join(names)}; wanted one that is used once")
    # Subclasses compute something else than W z + b, or store W in another form.
    if type(module) not in (nn.Linear, Conv1D):
        raise ExportError(f"{names[0]} is a {type(module).__name__}; only Linear and Conv1D can be folded into")
    if not _parameter(module, "weight").is_floating_point():
        raise ExportError(f"{names[0]} stores {_parameter(module, 'weight').dtype}; wanted a floating type")
    return Projection(name=names[0], module=module, transposed=type(module) is Conv1D)


def refuse_shared(model: PreTrainedModel, projection: Projection) -> None:
    """Refuse to change a weight or bias that another part of the model uses as well.

    Raises:
        ExportError: naming all the places.
    """
    storages = {
        parameter.untyped_storage().data_ptr(): f"{projection.name}.{name}"
        for name, parameter in projection.module.named_parameters()
    }
    for name, parameter in model.named_parameters(remove_duplicate=False):
        mine = storages.get(parameter.untyped_storage().data_ptr())
        if mine is not None and name != mine:
            raise ExportError(f"{mine} is tied to {name}: folding into one would change the other")


def refuse_residual(interventions: Sequence[Intervention], what: str) -> None:
    """Refuse interventions on the residual stream.

    Raises:
        ExportError: naming the first one.
    """
    for intervention in interventions:
        if intervention.site.component is Component.RESID:
            raise ExportError(
                f"{what} cannot hold the {intervention.kind} at {intervention.site}: it acts on the residual stream, "
                "which no single projection reads"
            )


def _parameter(module: nn.Module, name: str) -> Tensor:
    parameter = getattr(module, name)
    if not isinstance(parameter, Tensor):
        raise ExportError(f"{type(module).__name__} has no {name}")
    return parameter

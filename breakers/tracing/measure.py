"""What tracing, refinement and ablations ask of the model: a number for each case under each patch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from breakers.tracing.patches import Patch, TraceCase


@runtime_checkable
class PatchedMeasure(Protocol):
    """How harmful the model is on cases while patches hold; higher is more harmful.

    Either the lead (mean log-probability of the harmful completion less that of the neutral one, the patch held in
    both scoring runs, in nats) or H of the text that the model generates under the patch, in [0, 1].
    """

    def __call__(self, cases: Sequence[TraceCase], patches: Sequence[Patch]) -> Float[Tensor, "patch case"]:
        """Measure every case under every patch; the empty patch `()` is the unmodified model.

        Raises:
            TracingError: a case that cannot be patched so, or activations that are not finite.
            SiteError: the model has no such site.
        """
        ...

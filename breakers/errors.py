"""Everything that `breakers` can refuse, as one tree.

    BreakersError
      x UnsupportedModelError   the model has no sites that we know how to reach
      x SiteError               a site that the model does not have
      x InterventionError       tensors of an intervention that do not fit their site
      x PlanError               a strength or a bundle name that cannot be planned
      x BundleError             a bundle that cannot be read or trusted
          x BundleFormatError       a file or field that is not what it should be
          x BundleIntegrityError    a hash, shape or value that does not verify
          x BaseMismatchError       made on another base model
          x RehearsalError          made to try a recipe, and not for use
          x BundleSourceError       a reference that is none, is not pinned, or that the Hub does not answer
      x RuntimeAttachError      the bank cannot be attached to, or run on, this model now
      x ExportError             something that a format of other programs cannot hold
      x PairsError              a pair, or a file of them, that cannot be used
      x TracingError            cases, patches or activations that tracing cannot work with
          x NonFiniteError          activations that are not finite, and where
      x StageError              a stage whose inputs are missing, changed or unfinished

Every message names what was found and what was wanted. All of them are `ValueError`s, because each is an
argument that cannot be used.
"""


class BreakersError(ValueError):
    """Root of the tree; catch this to catch all of them."""


class UnsupportedModelError(BreakersError):
    """The model's architecture, or a module in it, is not one that the resolver knows."""


class SiteError(BreakersError):
    """A site that does not exist in the resolved model."""


class InterventionError(BreakersError):
    """Tensors of an intervention that do not fit their site, or are not finite."""


class PlanError(BreakersError):
    """A strength out of range or a bundle that is not loaded."""


class BundleError(BreakersError):
    """A bundle that cannot be used."""


class BundleFormatError(BundleError):
    """A file or field of a bundle that is not what the format asks for."""


class BundleIntegrityError(BundleError):
    """A bundle whose bytes, shapes or values differ from what its manifest declares."""


class BaseMismatchError(BundleError):
    """A bundle made on another base model than the one that is loaded."""


class RehearsalError(BundleError):
    """A bundle of a rehearsal, where one for use was wanted."""


class BundleSourceError(BundleError):
    """A bundle that cannot be had from, or put, where its reference says."""


class RuntimeAttachError(BreakersError):
    """The bank cannot be attached to this model, or a forward ran without declared strengths."""


class ExportError(BreakersError):
    """A bundle, or a part of one, that an export format cannot express, or an output that is occupied."""


class PairsError(BreakersError):
    """A pair or a file of pairs that cannot be used: what was found, what was wanted, and where."""


class TracingError(BreakersError):
    """Cases, patches or activations that tracing cannot work with."""


class NonFiniteError(TracingError):
    """NaN or infinite activations while tracing."""

    def __init__(self, where: str, case: int) -> None:
        """`where` names the layer and what is not finite there; `case` counts from 0 among those given."""
        super().__init__(f"{where} of case {case} holds NaN or infinite values; wanted finite activations")
        self.where = where
        self.case = case


class StageError(BreakersError):
    """A stage of a pipeline whose inputs are missing, changed or unfinished."""

"""What can go wrong before an engine runs.

    EmbeddedLoadError
      x EngineConfigError     a setting that cannot be used
      x SelfCheckError        the packed forward disagrees with the model's own

What goes wrong for one request is an `EngineError` of `server.engines.base`.
"""


class EmbeddedLoadError(ValueError):
    """Root: the embedded engine cannot be built as asked."""


class EngineConfigError(EmbeddedLoadError):
    """A setting out of range, or one that this model or machine does not allow."""


class SelfCheckError(EmbeddedLoadError):
    """The model does not run through the attention interface, or gives other logits packed than plain."""

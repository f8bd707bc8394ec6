"""Errors by name, so that what the child raises is what the parent raises."""

from __future__ import annotations

import msgspec

from breakers import errors as breakers_errors
from breakers.errors import BreakersError, NonFiniteError
from server.engines.base import (
    EngineError,
    EngineOverloadedError,
    EngineUnavailableError,
    GrammarDeadEndError,
    RequestFailedError,
    RequestRefusedError,
    UnknownBankError,
)
from server.engines.embedded.errors import EmbeddedLoadError, EngineConfigError, SelfCheckError

_OWN: tuple[type[Exception], ...] = (
    EngineError,
    RequestRefusedError,
    GrammarDeadEndError,
    RequestFailedError,
    EngineOverloadedError,
    EngineUnavailableError,
    UnknownBankError,
    EmbeddedLoadError,
    EngineConfigError,
    SelfCheckError,
)
# One that takes more than a message travels as the class above it.
_BREAKERS = (
    kind
    for kind in vars(breakers_errors).values()
    if isinstance(kind, type) and issubclass(kind, BreakersError) and kind is not NonFiniteError
)
KNOWN: dict[str, type[Exception]] = {kind.__name__: kind for kind in (*_OWN, *_BREAKERS)}
"""What keeps its kind; everything else is an `EngineError` that names it."""


class Failure(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """An error on its way."""

    kind: str
    """A name in `KNOWN`."""
    message: str
    param: str | None = None
    """Of a refused request."""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """As the nearest kind that is known."""
        kind = next((k.__name__ for k in type(error).__mro__ if KNOWN.get(k.__name__) is k), None)
        if kind is None:
            return cls(kind=EngineError.__name__, message=f"{type(error).__name__}: {error}")
        param = error.param if isinstance(error, RequestRefusedError) else None
        return cls(kind=kind, message=str(error), param=param)

    def error(self) -> Exception:
        """The error again; an unknown kind is an `EngineError` too."""
        kind = KNOWN.get(self.kind, EngineError)
        if issubclass(kind, RequestRefusedError):
            return kind(self.message, param=self.param)
        return kind(self.message)

    def engine_error(self) -> EngineError:
        """The error of a request, which can be no other."""
        error = self.error()
        return error if isinstance(error, EngineError) else RequestFailedError(f"{self.kind}: {self.message}")

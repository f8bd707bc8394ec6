"""Everything that `server` can refuse, as one tree (engines have their own, in `server.engines.base`).

    ServerError
      x ConfigError                 a configuration that the server cannot start with
      x RequestError                the caller's mistake: a 4xx
          x InvalidRequestError         a field that is missing, unknown, unsupported or out of range
              x ContextLengthError          the prompt leaves no room for a reply
          x UnknownModelError           no such model is served
          x UnknownBreakerError         no such bundle is loaded (as an address; in a body it is an invalid field)
          x BodyTooLargeError           more bytes than the server reads
          x MediaTypeError              a body that is not declared as JSON
          x NoClassifierError           texts cannot be judged here: no classifier is loaded
      x ModerationFailedError       a classifier that failed where its judgement is all that was asked for: ours
      x ClientGoneError             nobody waits for the answer any more

Every message names what was found and what was wanted. Which status each one becomes is the business of
`server.api.errors` alone.
"""

from __future__ import annotations


class ServerError(Exception):
    """Root of the tree; catch this to catch all of them."""


class ConfigError(ServerError):
    """The server cannot start with what it was given."""


class RequestError(ServerError):
    """The caller's mistake."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        """The field at fault, as a dotted path, where there is one."""
        self.code = code
        """A word that programs can compare."""


class InvalidRequestError(RequestError):
    """A field of the request is missing, unknown, unsupported or out of range."""


class ContextLengthError(InvalidRequestError):
    """The prompt leaves no room for a reply."""


class UnknownModelError(RequestError):
    """The named model is not served here."""


class UnknownBreakerError(RequestError):
    """The addressed bundle is not loaded."""


class BodyTooLargeError(RequestError):
    """The body has more bytes than the server reads."""


class MediaTypeError(RequestError):
    """The body is not declared as JSON."""


class NoClassifierError(RequestError):
    """Texts cannot be judged here."""


class ModerationFailedError(ServerError):
    """The classifier failed on a text that it was to judge."""


class ClientGoneError(ServerError):
    """The client closed the connection before the answer was ready."""

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
          x NoEncoderError              texts cannot be embedded here: no sentence encoder is loaded
          x BundleRefusedError          a bundle that cannot be read, trusted or planned with
          x BundleConflictError         a change of bundles that the present state does not allow
          x AuthenticationError         no valid API key
          x PermissionDeniedError       a valid one, or none, that may not do this
          x RateLimitedError            more than the caller may ask for in this time
      x ModerationFailedError       a classifier that failed where its judgement is all that was asked for: ours
      x ClassifierRequiredError     policy serves nothing without a harm potential, and there is none
      x AuditFailedError            what has to be audited could not be, and is not done
      x NotReadyError               requests are not served now: a 503
          x DrainingError               the server is about to stop
      x ClientGoneError             nobody waits for the answer any more
          x SlowClientError             the client takes what is sent to it too slowly
      x RequestTimeoutError         the request took longer than it may

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


class NoEncoderError(RequestError):
    """Texts cannot be embedded here."""


class ModerationFailedError(ServerError):
    """The classifier failed on a text that it was to judge."""

    code = "classifier_failed"


class BundleRefusedError(RequestError):
    """The bundle cannot be read, trusted, planned with or attached."""

    def __init__(self, message: str) -> None:
        super().__init__(message, param="source", code="bundle_refused")


class BundleConflictError(RequestError):
    """The change does not fit what is loaded now."""


class AuthenticationError(RequestError):
    """There is no valid API key with the request."""


class PermissionDeniedError(RequestError):
    """The caller may not do this."""


class RateLimitedError(RequestError):
    """The caller asked for more than it may in this time."""

    def __init__(self, message: str, *, retry_after: float, limit: str) -> None:
        super().__init__(message, code="rate_limit_exceeded")
        self.limit = limit
        """`requests` or `tokens`."""
        self.retry_after = retry_after
        """Seconds until the same request would pass, if nothing else came between."""


class ClassifierRequiredError(ServerError):
    """Policy serves nothing without a harm potential, and there is none."""

    code = "classifier_failed"


class AuditFailedError(ServerError):
    """What has to be audited could not be written down, and so it is not done."""


class NotReadyError(ServerError):
    """The server starts, failed its self-test, or is about to stop."""

    def __init__(self, state: str, message: str) -> None:
        super().__init__(message)
        self.state = state
        """`starting`, `failed` or `draining`."""


class ClientGoneError(ServerError):
    """The client closed the connection before the answer was ready."""


class SlowClientError(ClientGoneError):
    """The client takes what is sent to it too slowly; it is treated as one that went away."""


class RequestTimeoutError(ServerError):
    """The request took longer than `limits.request_seconds`."""


class DrainingError(NotReadyError):
    """The server is about to stop: it takes no new requests, or its grace for running ones is over."""

    def __init__(self, message: str) -> None:
        super().__init__("draining", message)

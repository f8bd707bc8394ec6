"""What can go wrong with the engine's process as a whole; what goes wrong for one request is an `EngineError`.

EngineProcessError
  x ProtocolError     bytes that are no message of ours
"""


class EngineProcessError(Exception):
    """The engine's process cannot be started, ended before it was ready, or cannot be talked to."""


class ProtocolError(EngineProcessError):
    """A frame too long, of an unknown kind, or not what its kind has to be. Nothing after it can be trusted."""

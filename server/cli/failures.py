"""Which errors are sentences for the user, and with which exit status; others are bugs and keep their traceback."""

from __future__ import annotations

from breakers.errors import BreakersError
from classifiers.errors import ClassifiersError
from server.errors import ConfigError, ServerError

BAD_INPUT = 2
FAILED = 1


class CommandError(Exception):
    """A command was tried and failed; the message says why."""


def exit_status(error: Exception) -> int | None:
    """The exit status of an error of ours, None for a bug."""
    if isinstance(error, ConfigError | BreakersError | ClassifiersError):
        return BAD_INPUT
    if isinstance(error, CommandError | ServerError):
        return FAILED
    return None

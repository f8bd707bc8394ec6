"""What the two sides say to each other. A message is known by its kind; one of an unknown kind is an error."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from server.engines.apart.bundles import WireEntry
from server.engines.apart.errors import ProtocolError
from server.engines.apart.failures import Failure
from server.engines.apart.frames import LENGTH
from server.engines.apart.requests import WireRequest
from server.engines.base import EngineInfo, GenerationChunk
from server.engines.checks import Canary, CheckResult


class _Message(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True, tag=True):
    pass


class Load(_Message, frozen=True, kw_only=True):
    """Read this model. Answered by `Loaded` or `Refused`."""

    directory: str
    dtype: str


class Bundle(_Message, frozen=True, kw_only=True):
    """One bundle of the `Build` or `LoadBundles` that follows."""

    entry: WireEntry


class Build(_Message, frozen=True, kw_only=True):
    """Make an engine of the model that was read last. Answered by `Built` or `Refused`."""

    settings: dict[str, str | int | float | bool | None]
    """Fields of `EmbeddedEngineConfig`."""
    bundles: int
    """How many came before this."""


class Start(_Message, frozen=True, kw_only=True):
    """Take steps, and requests."""


class Submit(_Message, frozen=True, kw_only=True):
    """Run a request. Its pieces, or its failure, come in `News`."""

    number: int
    """What it is called from now on; never used again."""
    request: WireRequest


class Cancel(_Message, frozen=True, kw_only=True):
    """Nobody waits for this request any more."""

    number: int


class LoadBundles(_Message, frozen=True, kw_only=True):
    """`Engine.load_bundles`. Answered by `Answer`, as all calls are."""

    call: int
    bundles: int
    """How many came before this."""


class RetireBundles(_Message, frozen=True, kw_only=True):
    """`Engine.retire_bundles`."""

    call: int
    version: int


class Check(_Message, frozen=True, kw_only=True):
    """`Engine.selftest`, or `Engine.check_canaries`."""

    call: int
    canaries: tuple[Canary, ...]
    bank_version: int
    whole: bool
    """Whether everything is tested."""


class Stop(_Message, frozen=True, kw_only=True):
    """Drain and stop. Answered by `Stopped`."""


class Log(_Message, frozen=True, kw_only=True):
    """A line of the child's log."""

    logger: str
    level: int
    created: float
    """Seconds since the epoch."""
    message: str
    exception: str | None
    """Its traceback."""


class Loaded(_Message, frozen=True, kw_only=True):
    """The model was read."""

    fingerprint: str


class Built(_Message, frozen=True, kw_only=True):
    """The engine can be started."""

    info: EngineInfo


class Refused(_Message, frozen=True, kw_only=True):
    """The model cannot be read, or no engine made of it."""

    failure: Failure


class News(_Message, frozen=True, kw_only=True):
    """What a step gave, or what happened between two steps."""

    steps: int
    """Since the start; 0 where it says nothing about steps."""
    started: tuple[int, ...] = ()
    """Requests that have a slot since the last news."""
    freed: tuple[int, ...] = ()
    """Requests that gave theirs back, before the chunks of these same news."""
    chunks: tuple[tuple[int, GenerationChunk], ...] = ()
    failures: tuple[tuple[int, Failure], ...] = ()


class Answer(_Message, frozen=True, kw_only=True):
    """What came of a call."""

    call: int
    version: int | None = None
    """Of `LoadBundles`."""
    results: tuple[CheckResult, ...] = ()
    """Of `Check`."""
    failure: Failure | None = None


class Beat(_Message, frozen=True, kw_only=True):
    """The child is alive, though it has nothing to say."""


class Ended(_Message, frozen=True, kw_only=True):
    """The engine runs no more, and why."""

    reason: str


class Stopped(_Message, frozen=True, kw_only=True):
    """Nothing will follow."""


Order: TypeAlias = Load | Bundle | Build | Start | Submit | Cancel | LoadBundles | RetireBundles | Check | Stop
"""To the child."""
Telling: TypeAlias = Log | Loaded | Built | Refused | News | Answer | Beat | Ended | Stopped
"""To the parent."""

_ENCODER = msgspec.msgpack.Encoder()
_ORDERS: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_TELLINGS: msgspec.msgpack.Decoder[Telling] = msgspec.msgpack.Decoder(Telling)


def frame(message: Order | Telling) -> bytearray:
    """A message, its length before it.

    Raises:
        UnicodeEncodeError, OverflowError: it holds text or numbers that do not travel.
    """
    buffer = bytearray(LENGTH.size)
    _ENCODER.encode_into(message, buffer, LENGTH.size)
    LENGTH.pack_into(buffer, 0, len(buffer) - LENGTH.size)
    return buffer


def read_order(data: bytes) -> Order:
    """A message to the child.

    Raises:
        ProtocolError: it is none.
    """
    try:
        return _ORDERS.decode(data)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"not a message to the engine: {error}") from error


def read_telling(data: bytes) -> Telling:
    """A message to the parent.

    Raises:
        ProtocolError: it is none.
    """
    try:
        return _TELLINGS.decode(data)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"not a message of the engine: {error}") from error

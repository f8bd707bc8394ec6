"""Messages in a stream of bytes: each is its length in four bytes, little-endian, and then so many bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from breakers.bundles.limits import WEIGHTS_LIMIT
from server.engines.apart.errors import ProtocolError

LENGTH = struct.Struct("<I")

LARGEST_NEWS = 64 * 1024**2
"""Bytes of a message from the engine: the scores of a long prompt are a few MiB."""
LARGEST_ORDER = WEIGHTS_LIMIT + 64 * 1024**2
"""Bytes of a message to the engine: it may hold a bundle."""


class FrameReader:
    """Cuts what was received into messages."""

    def __init__(self, largest: int) -> None:
        """`largest`: bytes that a message may have."""
        self._largest = largest
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are complete with `data`. To be read to the end before the next call.

        Raises:
            ProtocolError: a message says that it is longer than messages are.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= LENGTH.size:
                (length,) = LENGTH.unpack_from(buffer, start)
                if length > self._largest:
                    raise ProtocolError(f"a message says that it has {length} bytes; wanted at most {self._largest}")
                end = start + LENGTH.size + length
                if len(buffer) < end:
                    return
                message = bytes(memoryview(buffer)[start + LENGTH.size : end])
                start = end
                yield message
        finally:
            del buffer[:start]

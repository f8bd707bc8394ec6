"""Bytes to messages: however they are cut on the way, and never more than was agreed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engines.apart.errors import ProtocolError
from server.engines.apart.frames import LENGTH, FrameReader


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 9))
def test_messages_come_whole_and_in_order_however_they_are_cut(messages: list[bytes], size: int) -> None:
    stream = b"".join(LENGTH.pack(len(message)) + message for message in messages)
    reader = FrameReader(40)
    found = [m for i in range(0, len(stream), size) for m in reader.feed(stream[i : i + size])]
    assert found == messages


def test_a_message_that_says_it_is_too_long_is_refused_before_it_comes() -> None:
    reader = FrameReader(10)
    assert list(reader.feed(LENGTH.pack(10) + b"0123456789")) == [b"0123456789"]
    with pytest.raises(ProtocolError, match="has 11 bytes; wanted at most 10"):
        list(reader.feed(LENGTH.pack(11)))

"""Servers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving.live import Live, live, stub_state


@pytest.fixture(scope="module")
def stub_server() -> Iterator[Live]:
    """A server of stubs that the tests of a module share; they must not change it."""
    with live(stub_state()) as running:
        yield running

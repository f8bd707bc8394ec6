"""Bodies that no document describes: bytes, JSON of any kind, and good bodies with something wrong in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.fuzz.sender import Sender

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
HOSTILE = st.sampled_from(
    [
        b"",
        b"null",
        b"[" * 5000,
        b'{"a":' * 5000,
        b"1" * 5000,
        b"1e400",
        b'"\\ud800"',
        b"\xff\xfe",
        b'{"model": "scalpel-demo", "model": "x"}',
    ]
)
"""Known to break readers: nesting, long numbers, half characters, repeated keys."""
CONTENT_TYPES = st.sampled_from(["application/json"] * 8 + ["text/plain", "application/json; charset=utf-16", ""])


def run_raw(sender: Sender, paths: Sequence[str], good: Mapping[str, Any], examples: int, number: int) -> None:
    """Send `examples` bodies to each path.

    Args:
        sender: counts.
        paths: that take a POST.
        good: fields of a good body, wherever they fit.
        examples: for each path.
        number: seed.
    """
    for path in paths:
        _run_path(sender, path, good, examples, number)


def bodies(good: Mapping[str, Any]) -> st.SearchStrategy[bytes]:
    """What to send."""
    names = st.sampled_from(sorted(good)) | st.text(max_size=8)
    changed = st.dictionaries(names, ANY_JSON, max_size=3).map(lambda change: dict(good) | change)
    whole = json.dumps(good).encode()
    cut = st.integers(0, len(whole)).map(lambda end: whole[:end])
    flipped = st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)).map(
        lambda at: whole[: at[0]] + bytes([at[1]]) + whole[at[0] + 1 :]
    )
    return (
        st.binary(max_size=200)
        | HOSTILE
        | cut
        | flipped
        | ANY_JSON.map(lambda value: json.dumps(value).encode())
        | changed.map(lambda value: json.dumps(value).encode())
    )


def _run_path(sender: Sender, path: str, good: Mapping[str, Any], examples: int, number: int) -> None:
    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(body=bodies(good), content_type=CONTENT_TYPES)
    def send(body: bytes, content_type: str) -> None:
        sender.send("POST", path, data=body, headers={"Content-Type": content_type})

    send()

"""Forbidding tokens: the bitsets of all rows that have one, applied at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy
import torch
from jaxtyping import Bool, Float
from torch import Tensor


@contextmanager
def masked(logits: Float[Tensor, "row vocab"], allowed: Sequence[bytes | None]) -> Iterator[None]:
    """Make what is not allowed impossible within the block; afterwards the logits are what they were.

    Args:
        logits: changed in place, in rows that have a bitset alone.
        allowed: of each row, one bit a token; None for no limit. May be empty for no limits at all.
    """
    rows = [row for row, bits in enumerate(allowed) if bits is not None]
    if not rows:
        yield
        return
    mask = unpacked([bits for bits in allowed if bits is not None], logits.shape[1]).to(logits.device)
    before = logits[rows]
    logits[rows] = before.masked_fill(~mask, -math.inf)
    try:
        yield
    finally:
        logits[rows] = before


def unpacked(bitsets: Sequence[bytes], vocab: int) -> Bool[Tensor, "row vocab"]:
    """Bitsets as truth values; tokens beyond the end of a bitset are not allowed."""
    packed = numpy.frombuffer(b"".join(bitsets), dtype=numpy.uint8).reshape(len(bitsets), -1)
    return torch.from_numpy(numpy.unpackbits(packed, axis=1, count=vocab, bitorder="little")).bool()

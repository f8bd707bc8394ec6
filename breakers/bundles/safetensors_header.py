"""The header of a safetensors file, checked before any tensor is made.

Layout: 8 bytes of length (little endian), that many bytes of JSON, then the tensors' bytes. Every byte of the rest
belongs to exactly one tensor: no gaps, no overlaps, nothing behind the last.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from breakers.bundles.limits import HEADER_LIMIT, TENSOR_LIMIT
from breakers.bundles.strict_json import parse_object
from breakers.errors import BundleFormatError

DTYPE = "F32"
"""The only one in bundles: they are small, and there is one right answer to what a hash covers."""
ITEM_BYTES = 4
LENGTH_BYTES = 8
_METADATA = "__metadata__"
_PICKLE = re.compile(rb"\x80[\x02-\x05]|[(\]}][dlq]|c\w+\n")
"""Protocols 2 to 5, and how containers and names begin in 0 and 1: only to say what a file is that was refused."""
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorHeader:
    """What the header says of one tensor."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    """Offset of its first byte behind the header."""
    end: int
    """Offset behind its last byte."""


def read_header(data: bytes, where: str) -> dict[str, TensorHeader]:
    """The tensors of a safetensors file by name.

    Args:
        data: the whole file.
        where: what to call it in messages.

    Raises:
        BundleFormatError: it is something else, cut short, or its offsets do not fit its bytes.
    """
    if len(data) < LENGTH_BYTES:
        raise BundleFormatError(f"{where}: not a safetensors file: {len(data)} bytes; wanted at least {LENGTH_BYTES}")
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    _check_length(length, data, where)
    start = LENGTH_BYTES + length
    document = parse_object(data[LENGTH_BYTES:start], f"{where}: header")
    _check_metadata(document.pop(_METADATA, {}), where)
    if len(document) > TENSOR_LIMIT:
        raise BundleFormatError(f"{where}: header: names {len(document)} tensors; wanted at most {TENSOR_LIMIT}")
    headers = {name: _tensor(entry, f"{where}: header: tensor {name[:80]!r}") for name, entry in document.items()}
    _check_layout(headers, len(data) - start, where)
    return headers


def _check_length(length: int, data: bytes, where: str) -> None:
    if length > HEADER_LIMIT or length > len(data) - LENGTH_BYTES:
        what = ""
        if data.startswith(_ZIP):
            what = "it begins like a zip archive, which may hold a pickle; "
        elif _PICKLE.match(data):
            what = "it begins like a pickle; "
        allowed = min(HEADER_LIMIT, len(data) - LENGTH_BYTES)
        raise BundleFormatError(
            f"{where}: not a safetensors file: {what}its header would have {length} bytes; wanted at most {allowed}"
        )


def _check_metadata(found: Any, where: str) -> None:
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise BundleFormatError(f"{where}: header: {_METADATA} is not a map of text; wanted one, or none")


def _tensor(entry: Any, where: str) -> TensorHeader:
    keys = {"dtype", "shape", "data_offsets"}
    if not isinstance(entry, dict) or set(entry) != keys:
        found = sorted(entry) if isinstance(entry, dict) else type(entry).__name__
        raise BundleFormatError(f"{where}: has {found}; wanted {sorted(keys)}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str):
        raise BundleFormatError(f"{where}: dtype is {str(dtype)[:80]!r}; wanted {DTYPE!r}")
    if not _naturals(shape) or len(shape) > 2:
        raise BundleFormatError(f"{where}: shape is {str(shape)[:80]}; wanted one or two sizes of 0 or more")
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise BundleFormatError(f"{where}: data_offsets is {str(offsets)[:80]}; wanted [begin, end]")
    header = TensorHeader(dtype=dtype, shape=tuple(shape), begin=offsets[0], end=offsets[1])
    if dtype == DTYPE and math.prod(shape) * ITEM_BYTES != header.end - header.begin:
        wanted = math.prod(shape) * ITEM_BYTES
        raise BundleFormatError(
            f"{where}: data_offsets hold {header.end - header.begin} bytes; wanted {wanted} for shape {shape}"
        )
    return header


def _naturals(found: Any) -> bool:
    return isinstance(found, list) and all(type(item) is int and item >= 0 for item in found)


def _check_layout(headers: dict[str, TensorHeader], size: int, where: str) -> None:
    reached = 0
    for name, header in sorted(headers.items(), key=lambda item: (item[1].begin, item[1].end)):
        if header.begin != reached:
            problem = "overlaps the one before" if header.begin < reached else "leaves a gap"
            raise BundleFormatError(
                f"{where}: header: tensor {name[:80]!r}: data_offsets begin at {header.begin}, which {problem}; "
                f"wanted {reached}"
            )
        reached = header.end
    if reached != size:
        raise BundleFormatError(f"{where}: header: data_offsets reach {reached}; wanted {size}, the bytes behind it")

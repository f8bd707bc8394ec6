"""Attacks on a bundle directory: how each damages a good one, and what its refusal must say."""

from __future__ import annotations

import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from bundle_files import edit, interventions, rehash, reheader, rewrite, safetensors, split
from safetensors.torch import save

from breakers.bundles.limits import (
    ENTRY_LIMIT,
    HEADER_LIMIT,
    INTERVENTION_LIMIT,
    MANIFEST_LIMIT,
    TENSOR_LIMIT,
    WEIGHTS_LIMIT,
)
from breakers.bundles.store import describe_interventions


class Attack(NamedTuple):
    """One row of the refusal matrix."""

    group: str
    """A row of the table in docs/bundles.md."""
    damage: Callable[[Path], Any]
    message: str
    """What the refusal must match."""


def json_row(group: str, change: Callable[[dict[str, Any]], Any], message: str) -> Attack:
    return Attack(group, lambda path: edit(path, change), rf"bundle\.json: .*{message}")


def header_row(group: str, change: Callable[[dict[str, Any]], Any], message: str) -> Attack:
    return Attack(group, lambda path: reheader(path, change), rf"weights\.safetensors: .*{message}")


def tensor_row(group: str, name: str, tensor: torch.Tensor, message: str) -> Attack:
    def damage(path: Path) -> None:
        _, tensors = describe_interventions(interventions())
        rehash(path, save(tensors | {name: tensor}))

    return Attack(group, damage, rf"weights\.safetensors: interventions\.{message}")


def weights_row(group: str, data: Callable[[bytes], bytes], message: str) -> Attack:
    def damage(path: Path) -> None:
        rehash(path, data((path / "weights.safetensors").read_bytes()))

    return Attack(group, damage, rf"weights\.safetensors: .*{message}")


def replaced(name: str, make: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Damage that puts something else where a file was."""

    def damage(path: Path) -> None:
        shutil.move(path / name, path.parent / f"{path.name}-{name}")
        make(path / name)

    return damage


def linked(name: str) -> Callable[[Path], Any]:
    """The file is elsewhere, with a link to it in its place: its contents are good."""
    return replaced(name, lambda file: file.symlink_to(file.parent.parent / f"{file.parent.name}-{name}"))


def sparse(name: str, size: int) -> Callable[[Path], Any]:
    """A file of `size` bytes that takes no room."""
    return lambda path: os.truncate(path / name, size)


def added(name: str, data: bytes = b"") -> Callable[[Path], Any]:
    return lambda path: (path / name).write_bytes(data)


def flipped(path: Path) -> None:
    file = path / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def cut(name: str, keep: int) -> Callable[[Path], Any]:
    return lambda path: (path / name).write_bytes((path / name).read_bytes()[:keep])


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path.parent / "weights.zip", "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps([1]))
    rehash(path, (path.parent / "weights.zip").read_bytes())


def nested(path: Path) -> None:
    rewrite(path, '"made up"', "[" * 100_000 + "]" * 100_000)


def twice_in_header(path: Path) -> None:
    header, body = split(path)
    inner = (
        safetensors(header, b"")[8:-1] + b', "0.down": {"dtype": "F32", "shape": [2, 8], "data_offsets": [0, 64]}}'
    )
    rehash(path, safetensors(inner, body))


def many_tensors(path: Path) -> None:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    rehash(path, safetensors({str(n): entry for n in range(TENSOR_LIMIT + 1)}, b""))


def second_breaker(manifest: dict[str, Any]) -> None:
    first = manifest["interventions"][0]
    manifest["interventions"].append(first | {"tensors": {"down": "9.down", "up": "9.up"}})


def offsets(name: str, begin: int, end: int) -> Callable[[dict[str, Any]], Any]:
    return lambda header: header[name].update(data_offsets=[begin, end])


def first_manifest(change: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda manifest: manifest["interventions"][0].update(change)


NAN = torch.full((2, 8), float("nan"))
INF = torch.tensor([[1.0, float("-inf")]] * 8)

ATTACKS = {
    # JSON that is none, or that two readers could read differently.
    "manifest cut short": Attack("corrupt", cut("bundle.json", 100), r"bundle\.json: is not JSON: .*wanted one JSON"),
    "manifest empty": Attack("corrupt", cut("bundle.json", 0), r"bundle\.json: is not JSON"),
    "manifest not UTF-8": Attack("corrupt", added("bundle.json", b'{"name": "\xff"}'), r"is not UTF-8 \(byte 0xff"),
    "manifest in UTF-16": Attack("corrupt", added("bundle.json", '{"a": 1}'.encode("utf-16")), "is not UTF-8"),
    "manifest a list": Attack("corrupt", added("bundle.json", b"[]"), "holds a list; wanted one JSON object"),
    "half a surrogate pair": Attack(
        "corrupt", lambda path: rewrite(path, "made up", r"\ud800"), "half of a surrogate pair"
    ),
    "half a surrogate pair in a key": Attack(
        "corrupt", lambda path: rewrite(path, "{", r'{"\uDFFF": 1,'), "half of a surrogate pair"
    ),
    "key twice": Attack("duplicates", lambda p: rewrite(p, "{", '{"name": "other",'), r"has the key 'name' twice"),
    "nested too deep": Attack("too large", nested, r"bundle\.json: is nested deeper than 8"),
    "ten levels": json_row(
        "too large", lambda m: m.update(description=[[[[[[[[[1]]]]]]]]]), "is nested deeper than 8"
    ),
    # Numbers.
    "NaN in JSON": Attack("not finite", lambda p: rewrite(p, "0.25", "NaN"), "holds NaN, which is not JSON"),
    "Infinity in JSON": Attack("not finite", lambda p: rewrite(p, "0.25", "-Infinity"), "holds -Infinity"),
    "1e999 in JSON": Attack("not finite", lambda p: rewrite(p, "0.25", "1e999"), "holds the number 1e999, .*finite"),
    "NaN as text": json_row("types", lambda m: m.update(dose_p95="nan"), r"dose_p95: .*number \(found 'nan'\)"),
    "huge integer": Attack(
        "too large", lambda p: rewrite(p, '"n": 8', '"n": ' + "9" * 5000), "holds the integer 999.*18 digits"
    ),
    "NaN in a tensor": tensor_row("not finite", "0.down", NAN, r"0\.down .* holds nan at \[0, 0\], NaN or infinite"),
    "inf in a tensor": tensor_row("not finite", "0.up", INF, r"0\.up .* holds -inf at \[0, 1\]"),
    # Fields.
    "unknown version": json_row("versions", lambda m: m.update(format=2), "format: found 2; wanted 1"),
    "version true": json_row("versions", lambda m: m.update(format=True), "format: found True; wanted 1"),
    "no version": json_row("unknown keys", lambda m: m.pop("format"), "format: Field required"),
    "unknown key": json_row("unknown keys", lambda m: m.update(surprise=1), r"surprise: Extra inputs .*found 1"),
    "unknown key inside": json_row("unknown keys", lambda m: m["gate"].update(x=1), r"gate\.x: Extra inputs"),
    "unknown key with an escape": json_row("text", lambda m: m.update({"\x1b[2J": 1}), r"\\x1b\[2J: Extra inputs"),
    "missing key": json_row("unknown keys", lambda m: m.pop("canary"), "canary: Field required"),
    "a string for a number": json_row("types", lambda m: m.update(strength_max="1"), "strength_max: .*found '1'"),
    "true for a number": json_row("types", first_manifest({"rank": True}), r"interventions\.0\.rank: .*found True"),
    "unknown kind": json_row("types", first_manifest({"kind": "exec"}), r"interventions\.0\.kind: .*'breaker'"),
    "unknown scope": json_row("types", lambda m: m.update(scope="some"), "scope: .*'all' or 'generation'"),
    "many problems": json_row("types", lambda m: m.clear() or m.update(format=1), "name: Field required.*more$"),
    "strength_max negative": json_row("ranges", lambda m: m.update(strength_max=-1), r"strength_max: .*found -1"),
    "gate slope negative": json_row("ranges", lambda m: m["gate"].update(w=-5), "gate: .*w is -5"),
    "gate above strength_max": json_row("ranges", lambda m: m["gate"].update(alpha_base=2.0), "above strength_max 1"),
    "a mask above 1": json_row(
        "ranges", lambda m: m.update(strength_max=2.0), "a bundle with masks allows at most 1"
    ),
    "head negative": json_row(
        "ranges", lambda m: m["interventions"][0]["site"].update(head=-1), "head is -1; wanted"
    ),
    "canary uneven": json_row("ranges", lambda m: m["canary"].update(change=[1.0]), "canary: .*2 logit_ids and 1 ch"),
    "token negative": json_row("ranges", lambda m: m["canary"].update(token_ids=[-1]), r"canary\.token_ids\.0: "),
    "neurons unordered": json_row(
        "ranges", lambda m: m["interventions"][2]["site"].update(neurons=[4, 1]), "strictly increasing"
    ),
    "hash no hash": json_row("ranges", lambda m: m.update(weights_sha256="sha256:0"), "weights_sha256: .*pattern"),
    # Names and text.
    "name climbs": json_row("paths", lambda m: m.update(name="../../etc"), "name: .*pattern"),
    "name absolute": json_row("paths", lambda m: m.update(name="/etc/passwd"), "name: .*pattern"),
    "name with a line end": json_row("paths", lambda m: m.update(name="calm\n"), "name: .*pattern"),
    "category climbs": json_row("paths", lambda m: m.update(category="a/../b"), "category: .*plain name"),
    "behaviour with NUL": json_row("paths", lambda m: m.update(behaviour="a\0b"), r"behaviour: .*'a\\x00b'"),
    "input climbs": json_row(
        "paths", lambda m: m.update(made_from={"..\\x": "sha256:" + "0" * 64}), "made_from.*plain"
    ),
    "base climbs": json_row("paths", lambda m: m["base"].update(id="../../tiny"), r"base\.id: .*no model id"),
    "base absolute": json_row("paths", lambda m: m["base"].update(id="/tiny"), r"base\.id: .*no model id"),
    "tensor climbs": json_row(
        "paths",
        lambda m: m["interventions"][0]["tensors"].update(down="../0.down"),
        r"interventions\.0\.tensors\.down: .*plain name",
    ),
    "description moves the cursor": json_row(
        "text", lambda m: m.update(description="\x1b[2Jfine"), r"description: .*control characters \('\\x1b'\)"
    ),
    "licence runs backwards": json_row(
        "text", lambda m: m.update(licence="\u202eoof"), "licence: .*control characters"
    ),
    # Twice.
    "tensor used twice": json_row(
        "duplicates", lambda m: m["interventions"][0]["tensors"].update(down="0.up"), r"uses tensors twice: 0\.up"
    ),
    "two breakers at one site": json_row(
        "duplicates", second_breaker, "interventions holds two of kind breaker at layer 1 head 2"
    ),
    "logit twice": json_row("duplicates", lambda m: m["canary"].update(logit_ids=[1, 1]), "logit_ids holds 1 twice"),
    "tensor twice in the file": Attack("duplicates", twice_in_header, "header: has the key '0.down' twice"),
    # Weights against their hash and the manifest.
    "weights flipped": Attack("hash", flipped, r"weights\.safetensors: is sha256:.*; the manifest says sha256:"),
    "weights cut short": Attack("hash", cut("weights.safetensors", 300), "the manifest says sha256:"),
    "weights cut short, hash too": weights_row(
        "corrupt", lambda d: d[:-4], r"header: data_offsets reach \d+; wanted"
    ),
    "weights with more behind": weights_row("corrupt", lambda d: d + b"\0" * 4, "header: data_offsets reach"),
    "weights empty": weights_row("corrupt", lambda _: b"", "not a safetensors file: 0 bytes"),
    "header cut short": weights_row("corrupt", lambda d: d[:60], "its header would have .* wanted at most 52"),
    "header no JSON": weights_row("corrupt", lambda _: safetensors(b"{]", b""), "header: is not JSON"),
    "header not UTF-8": weights_row("corrupt", lambda _: safetensors(b"{\xff}", b""), "header: is not UTF-8"),
    "header a list": weights_row("corrupt", lambda _: safetensors(b"[]", b""), "header: holds a list"),
    "metadata no text": header_row("corrupt", lambda h: h.update(__metadata__={"a": 1}), "header: __metadata__"),
    "tensor without a shape": header_row(
        "corrupt", lambda h: h["0.up"].pop("shape"), r"header: tensor '0\.up': has \["
    ),
    "unknown key of a tensor": header_row("unknown keys", lambda h: h["0.up"].update(x=1), r"tensor '0\.up': has \["),
    "offsets overlap": header_row("offsets", offsets("0.up", 0, 64), r"begin at 0, which overlaps .*; wanted 64"),
    "offsets leave a gap": header_row(
        "offsets", offsets("0.down", 4, 68), r"header: tensor .*leaves a gap; wanted 0"
    ),
    "offsets out of range": header_row("offsets", offsets("2.keep", 10**9, 10**9 + 8), "leaves a gap; wanted"),
    "offsets backwards": header_row(
        "offsets", offsets("0.up", 128, 64), r"data_offsets is \[128, 64\]; wanted \[begin"
    ),
    "offsets negative": header_row("offsets", offsets("0.up", -64, 0), r"data_offsets is \[-64, 0\]"),
    "offsets too few": header_row("offsets", offsets("0.up", 64, 124), r"hold 60 bytes; wanted 64 for shape"),
    "shape negative": header_row("shapes", lambda h: h["0.up"].update(shape=[-8, -2]), r"shape is \[-8, -2\]"),
    "shape of three": header_row("shapes", lambda h: h["0.up"].update(shape=[8, 2, 1]), r"shape is \[8, 2, 1\]"),
    "shape overflows": header_row("shapes", lambda h: h["0.up"].update(shape=[2**40, 2**40]), "data_offsets hold 64"),
    "tensor missing": json_row(
        "undeclared",
        lambda m: m["interventions"][1]["tensors"].update(vector="other"),
        r"",
    )._replace(message=r"weights\.safetensors: tensors missing: \['other'\], not declared: \['1\.vector'\]"),
    "tensor undeclared": tensor_row("undeclared", "9.extra", torch.ones(3), "")._replace(
        message=r"weights\.safetensors: tensors missing: \[\], not declared: \['9\.extra'\]"
    ),
    "other dtype": tensor_row("dtypes", "0.down", torch.ones(2, 8).half(), r"0\.down .*dtype is 'F16'; wanted 'F32'"),
    "integer dtype": tensor_row("dtypes", "2.keep", torch.ones(2).int(), r"2\.keep .*dtype is 'I32'; wanted 'F32'"),
    "unknown dtype": header_row(
        "dtypes", lambda h: h["0.up"].update(dtype="F33"), r"interventions\.0\.up .*dtype is 'F33'"
    ),
    "other width": tensor_row("shapes", "0.down", torch.ones(2, 7), r"0: .*down \(2, 7\), up \(8, 2\); wanted"),
    "other rank": json_row("shapes", first_manifest({"rank": 3}), "")._replace(
        message=r"interventions\.0\.down .*rank is 2; the manifest says 3"
    ),
    "rank 0": json_row("ranges", first_manifest({"rank": 0}), r"interventions\.0\.rank: .*found 0"),
    "vector a matrix": tensor_row(
        "shapes", "1.vector", torch.ones(4, 8), r"1\.vector .*shape is \(4, 8\); wanted \(d"
    ),
    "vector empty": tensor_row("shapes", "1.vector", torch.ones(0), r"1\.vector .*shape is \(0,\); wanted \(d,\)"),
    "other neurons": json_row("shapes", lambda m: m["interventions"][2]["site"].update(neurons=[1]), "")._replace(
        message=r"interventions\.2\.keep .*is 2 wide; its site names 1 neurons"
    ),
    "keep above 1": tensor_row("ranges", "2.keep", torch.tensor([0.0, 1.5]), r"2: .*outside \[0, 1\]"),
    # Pickles.
    "pickle as weights": weights_row(
        "pickles", lambda _: pickle.dumps({"0.down": [1.0]}), "not a safetensors file: it begins like a pickle"
    ),
    "zip as weights": Attack("pickles", zipped, "not a safetensors file: it begins like a zip archive"),
    "pickle beside": Attack(
        "pickles", added("pytorch_model.bin"), "holds 'pytorch_model.bin', which may be a pickle"
    ),
    "pickle hidden": Attack("pickles", added(".cache.PKL"), r"holds '\.cache\.PKL', which may be a pickle"),
    "checkpoint beside": Attack(
        "pickles", added("weights.safetensors.pt"), "which may be a pickle; wanted weights in"
    ),
    # Files.
    "code beside": Attack(
        "files", added("setup.py"), "holds 'setup.py', which is no file of a bundle; wanted bundle"
    ),
    "directory beside": Attack(
        "links", lambda path: (path / "more").mkdir(), "'more': is a directory; wanted a plain"
    ),
    "manifest missing": Attack("files", lambda p: (p / "bundle.json").unlink(), r"bundle\.json: not there; a bundle"),
    "weights missing": Attack(
        "files", lambda p: (p / "weights.safetensors").unlink(), r"safetensors: not there; a b"
    ),
    "all missing": Attack("files", shutil.rmtree, r"bundle\.json: not there"),
    "many files": Attack(
        "too large", lambda p: [added(f"{n}.png")(p) for n in range(ENTRY_LIMIT)], f"more than {ENTRY_LIMIT} files"
    ),
    "backslash in a name": Attack("paths", added("..\\x.png"), r"holds '\.\.\\\\x\.png', which leaves its directory"),
    "manifest a link": Attack(
        "links", linked("bundle.json"), "bundle.json': is a symbolic link; wanted a plain file"
    ),
    "weights a link": Attack("links", linked("weights.safetensors"), "weights.safetensors': is a symbolic link"),
    "card a link": Attack("links", linked("card.md"), "card.md': is a symbolic link; wanted a plain file"),
    "manifest a pipe": Attack("links", replaced("bundle.json", os.mkfifo), "bundle.json': is a pipe; wanted a plain"),
    "weights a pipe": Attack("links", replaced("weights.safetensors", os.mkfifo), "safetensors': is a pipe; wanted"),
    "weights a directory": Attack(
        "links", replaced("weights.safetensors", Path.mkdir), "safetensors': is a directory"
    ),
    "manifest a device": Attack(
        "links",
        replaced("bundle.json", lambda file: file.symlink_to("/dev/zero")),
        "bundle.json': is a symbolic link",
    ),
    # Sizes, refused before anything is read.
    "manifest huge": Attack(
        "too large", sparse("bundle.json", 2**40), rf"{2**40} bytes; wanted at most {MANIFEST_LIMIT}"
    ),
    "weights huge": Attack("too large", sparse("weights.safetensors", 2**40), f"wanted at most {WEIGHTS_LIMIT}"),
    "header huge": weights_row(
        "too large",
        lambda _: struct.pack("<Q", HEADER_LIMIT + 1) + b"{" + b" " * HEADER_LIMIT,
        f"its header would have {HEADER_LIMIT + 1} bytes; wanted at most {HEADER_LIMIT}",
    ),
    "header beyond 64 bits": weights_row(
        "too large", lambda d: b"\xff" * 8 + d[8:], "its header would have 18446744"
    ),
    "many tensors": Attack(
        "too large", many_tensors, f"names {TENSOR_LIMIT + 1} tensors; wanted at most {TENSOR_LIMIT}"
    ),
    "many interventions": json_row(
        "too large",
        lambda m: m.update(interventions=[0] * (INTERVENTION_LIMIT + 1)),
        f"interventions: .*at most {INTERVENTION_LIMIT} items",
    ),
    "long description": json_row(
        "too large", lambda m: m.update(description="x" * 20_000), "description: .*16384 char"
    ),
}

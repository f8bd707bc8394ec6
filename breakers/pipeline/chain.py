"""The chain from pairs to bundle, recomputed: every file has the hash that whatever was made from it names.

A chain that holds proves that these files belong together. It does not prove that they are good: whoever has all of
them can make another chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from breakers.bundles.bundle import Bundle
from breakers.bundles.files import CARD_NAME, MANIFEST_NAME, WEIGHTS_NAME
from breakers.errors import StageError
from breakers.pairs.files import load_pairs, pairs_sha256
from breakers.pipeline.hashing import digest_of_file
from breakers.pipeline.record import RECORD_NAME, StageRecord, changed_files, read_record

BUNDLE_FILES = (MANIFEST_NAME, WEIGHTS_NAME, CARD_NAME)
PAIRS_SUFFIX = "pairs.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainLink:
    """One thing that was recomputed and found as declared."""

    made: str
    """The stage, or the bundle."""
    source: str
    """What it names: `STAGE/FILE`."""
    sha256: str


def verify_chain(bundle: Bundle, folder: Path, work: Path) -> list[ChainLink]:
    """Recompute every hash from the first stage to the bundle.

    Args:
        bundle: loaded and verified.
        folder: where it lies.
        work: the folder of the stages that it was made by.

    Returns:
        The links, the bundle's own last.

    Raises:
        StageError: a file is missing or changed, a stage was made from something else than what is there, or the
            bundle names a hash that no file of the chain has.
        PairsError: the pairs are not what their format asks for.
    """
    records = _records(work)
    made = {f"{name}/{file}": digest for name, record in records.items() for file, digest in record.outputs.items()}
    links = [link for name, record in records.items() for link in _stage_links(name, record, made)]
    return [*links, *_bundle_links(bundle, folder, made, _contents(work, made))]


def _records(work: Path) -> dict[str, StageRecord]:
    """The finished stages, each as it was left."""
    folders = sorted(path.parent for path in work.glob(f"*/{RECORD_NAME}")) if work.is_dir() else []
    if not folders:
        raise StageError(f"{work}: holds no finished stage; wanted folders with a {RECORD_NAME} each")
    records = {}
    for folder in folders:
        record = read_record(folder)
        if record.stage != folder.name:
            raise StageError(f"{folder}: is the artifact of stage {record.stage}; wanted {folder.name}")
        if changed := changed_files(record, folder):
            raise StageError(f"{folder}: {', '.join(changed)}: not as stage {record.stage} left them")
        records[folder.name] = record
    return records


def _stage_links(stage: str, record: StageRecord, made: Mapping[str, str]) -> list[ChainLink]:
    for source, digest in record.inputs.items():
        if source not in made:
            raise StageError(f"stage {stage} was made from {source}, which is missing")
        if made[source] != digest:
            raise StageError(f"stage {stage} was made from {source} {digest}; there is {made[source]}")
    return [ChainLink(made=stage, source=source, sha256=digest) for source, digest in record.inputs.items()]


def _contents(work: Path, made: Mapping[str, str]) -> dict[str, str]:
    """Hash -> the file that it is of: of its bytes, and of pairs also of what they say, in whatever order."""
    found = {digest: source for source, digest in made.items()}
    for source in made:
        if source.endswith(PAIRS_SUFFIX):
            found.setdefault(pairs_sha256(load_pairs(work / source)), source)
    return found


def _bundle_links(
    bundle: Bundle, folder: Path, made: Mapping[str, str], contents: Mapping[str, str]
) -> list[ChainLink]:
    if not bundle.manifest.made_from:
        raise StageError(f"{folder}: its manifest names nothing that it was made from; wanted hashes of its chain")
    found = []
    for name, digest in bundle.manifest.made_from.items():
        if digest not in contents:
            raise StageError(f"{folder}: was made from {name} {digest}, which no file of the chain has")
        found.append(ChainLink(made=bundle.name, source=contents[digest], sha256=digest))
    for name in BUNDLE_FILES:
        digest = _digest(folder / name)
        source = next((s for s, d in made.items() if d == digest and s.endswith(f"/{name}")), None)
        if source is None:
            raise StageError(f"{folder / name}: {digest}, which no stage of the chain made")
        found.append(ChainLink(made=bundle.name, source=source, sha256=digest))
    return found


def _digest(path: Path) -> str:
    try:
        return digest_of_file(path)
    except OSError as error:
        raise StageError(f"{path}: cannot be read: {error.strerror}; wanted a file of the bundle") from error

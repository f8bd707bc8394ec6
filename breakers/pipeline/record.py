"""`stage.json`: what a finished stage was made from, how, and what it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from breakers.bundles.manifest import Sha256, describe
from breakers.bundles.store import write_atomically
from breakers.bundles.strict_json import parse_object
from breakers.errors import BundleFormatError, StageError
from breakers.pipeline.hashing import digest_of, digests_of_files

RECORD_NAME = "stage.json"
StageName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class StageRecord(BaseModel):
    """What is written beside a stage's files."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal[1] = 1
    stage: StageName
    config: dict[str, Any]
    """What decided the result beside the inputs."""
    inputs: dict[str, Sha256]
    """`STAGE/FILE` -> sha256 of the file that was read."""
    outputs: dict[str, Sha256]
    """Relative path -> sha256."""
    command: str

    @property
    def key(self) -> str:
        """What a stage with this configuration and these inputs is known by."""
        return stage_key(self.stage, self.config, self.inputs)


def stage_key(stage: str, config: dict[str, Any], inputs: dict[str, str]) -> str:
    """The same for equal work, another for any other."""
    return digest_of({"stage": stage, "config": config, "inputs": inputs})


def write_record(record: StageRecord, folder: Path) -> None:
    """Write `stage.json`; last of a stage's files, so that it stands for all of them.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps(record.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_atomically(folder / RECORD_NAME, text.encode(errors="surrogatepass"))


def read_record(folder: Path) -> StageRecord:
    """Read `stage.json` of a finished stage.

    Raises:
        StageError: it is missing, or not what the format asks for.
    """
    path = folder / RECORD_NAME
    try:
        return StageRecord.model_validate(parse_object(path.read_bytes(), str(path)))
    except OSError as error:
        raise StageError(f"{path}: cannot be read: {error.strerror}; wanted a finished stage") from error
    except BundleFormatError as error:
        raise StageError(str(error)) from error
    except ValidationError as error:
        raise StageError(f"{path}: {describe(error)}") from error


def changed_files(record: StageRecord, folder: Path) -> list[str]:
    """Files that are gone, new or other than the record says; empty for a stage that is as it was left."""
    found = {name: digest for name, digest in digests_of_files(folder).items() if name != RECORD_NAME}
    names = sorted(found.keys() | record.outputs.keys())
    return [name for name in names if found.get(name) != record.outputs.get(name)]

"""The file of API keys: one JSON object a line, replaced as a whole, changed by one process at a time."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from server.access.caller import AccessScope
from server.access.keys import ID_PATTERN, LABEL_PATTERN, KeyRecord
from server.errors import ConfigError

_MODE = 0o600

Label = Annotated[str, Field(pattern=f"^{LABEL_PATTERN}$")]
Hex16 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class KeyLine(BaseModel):
    """One line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    id: Annotated[str, Field(pattern=f"^{ID_PATTERN}$")]
    label: Label
    scopes: list[AccessScope]
    salt: Hex16
    hmac_sha256: Hex32
    created: AwareDatetime
    expires: AwareDatetime | None
    revoked: AwareDatetime | None

    @classmethod
    def of(cls, record: KeyRecord) -> KeyLine:
        """A record as a line."""
        return cls(
            version=1,
            id=record.id,
            label=record.label,
            scopes=sorted(record.scopes),
            salt=record.salt.hex(),
            hmac_sha256=record.digest.hex(),
            created=record.created,
            expires=record.expires,
            revoked=record.revoked,
        )

    def record(self) -> KeyRecord:
        """A line as a record."""
        return KeyRecord(
            id=self.id,
            label=self.label,
            scopes=frozenset(self.scopes),
            salt=bytes.fromhex(self.salt),
            digest=bytes.fromhex(self.hmac_sha256),
            created=self.created.astimezone(UTC),
            expires=_utc(self.expires),
            revoked=_utc(self.revoked),
        )


def read_keys(path: Path) -> list[KeyRecord]:
    """All records, in the file's order.

    Raises:
        ConfigError: the file cannot be read or trusted, or a line is not as it should be.
    """
    try:
        with path.open(encoding="utf-8") as file:
            _check_mode(path, os.fstat(file.fileno()))
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    records = [_record(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    _check_names(path, records)
    return records


def change_keys(path: Path, change: Callable[[list[KeyRecord]], Iterable[KeyRecord]]) -> None:
    """Replace the file by what `change` makes of its records; makes the file where there is none.

    Raises:
        ConfigError: as `read_keys`, or the file cannot be written; it is as it was then.
    """
    with _locked(path):
        before = read_keys(path) if path.exists() else []
        records = list(change(before))
        _check_names(path, records)
        _replace(path, "".join(f"{KeyLine.of(record).model_dump_json()}\n" for record in records))


def readable_by_others(path: Path) -> bool:
    """Whether other accounts of the machine can read the file."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _check_mode(path: Path, status: os.stat_result) -> None:
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"{path}: other accounts can write to it (mode {stat.S_IMODE(status.st_mode):o}), and with it give "
            f"themselves keys; wanted mode {_MODE:o}"
        )


def _record(path: Path, number: int, line: str) -> KeyRecord:
    try:
        return KeyLine.model_validate_json(line).record()
    except ValidationError as error:
        # The input stays out of the message: somebody may have put a whole key there.
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(f"{path}, line {number}: {where + ': ' if where else ''}{problem['msg']}") from None


def _check_names(path: Path, records: list[KeyRecord]) -> None:
    ids = [record.id for record in records]
    twice = next((key_id for key_id in ids if ids.count(key_id) > 1), None)
    if twice is not None:
        raise ConfigError(f"{path}: two keys have the id {twice}; wanted each once")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock that lies beside the file: the file itself is replaced."""
    try:
        lock = os.open(path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR, _MODE)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be locked: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _replace(path: Path, text: str) -> None:
    """Write beside the file, then take its place: a reader sees the old file or the new one."""
    try:
        # Made with mode 600.
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error}") from error


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)

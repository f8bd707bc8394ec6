"""`scalpel keys`: make API keys, list them, take them back."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from server.access.caller import AccessScope
    from server.access.keys import KeyRecord

KeysOption = Annotated[Path, typer.Option("--keys", help="The file of keys, as `scalpel serve --keys` gets it.")]


def build() -> typer.Typer:
    """The command group."""
    group = typer.Typer(help="API keys: make, list, revoke.", no_args_is_help=True)
    group.command("create")(create)
    group.command("list")(show)
    group.command("revoke")(revoke)
    return group


def create(
    keys: KeysOption,
    label: Annotated[str, typer.Option(help="What to call it, for policies and lists; keys may share a label.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="chat, breakers:override or admin; repeat for several. Default: chat.")
    ] = None,
    days: Annotated[float | None, typer.Option(help="Days until it expires; never if left out.")] = None,
) -> None:
    """Make a key and print it. It is shown this once; the file keeps what checks it."""
    from server.access.key_file import change_keys
    from server.access.keys import make_key

    expires = None if days is None else datetime.now(UTC) + timedelta(days=_positive(days))
    _check_label(label)
    new = make_key(label, _scopes(scope or ["chat"]), expires=expires)
    change_keys(keys, lambda records: [*records, new.record])
    sys.stderr.write(f"{label} has the id {new.record.id}; this is the only time that its key is shown:\n")
    sys.stdout.write(f"{new.key}\n")


def show(
    keys: KeysOption,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the keys of a file, revoked and expired ones too."""
    from server.access.key_file import KeyLine, read_keys

    for record in read_keys(keys):
        if as_json:
            line = KeyLine.of(record).model_dump_json(exclude={"salt", "hmac_sha256"})
        else:
            line = _row(record)
        sys.stdout.write(f"{line}\n")


def revoke(keys: KeysOption, key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")]) -> None:
    """Take a key back; running servers notice within a second."""
    from dataclasses import replace

    from server.access.key_file import change_keys
    from server.errors import ConfigError

    def mark(records: list[KeyRecord]) -> list[KeyRecord]:
        if key_id not in {record.id for record in records}:
            # Not repeated: somebody may have pasted a whole key.
            raise ConfigError(f"{keys}: holds no key of this id; `scalpel keys list` shows those that it has")
        now = datetime.now(UTC)
        return [
            replace(record, revoked=record.revoked or now) if record.id == key_id else record for record in records
        ]

    change_keys(keys, mark)
    sys.stderr.write(f"{key_id} is revoked\n")


def _scopes(names: list[str]) -> list[AccessScope]:
    from server.access.caller import AccessScope
    from server.errors import ConfigError

    unknown = sorted(set(names) - set(AccessScope))
    if unknown:
        raise ConfigError(f"no scope is called {', '.join(unknown)}; wanted some of {', '.join(AccessScope)}")
    return [AccessScope(name) for name in names]


def _positive(days: float) -> float:
    from server.errors import ConfigError

    if not 0 < days <= 36_500:
        raise ConfigError(f"--days is {days:g}; wanted a number above 0, at most 36500")
    return days


def _check_label(label: str) -> None:
    """A label stands for a key in policies, where ids stand as well: it must not look like one."""
    import re

    from server.access.keys import ID_PATTERN, LABEL_PATTERN
    from server.errors import ConfigError

    if re.fullmatch(LABEL_PATTERN, label) is None:
        raise ConfigError(f"the label is {label[:80]!r}; wanted up to 64 letters, digits, `.`, `_` and `-`")
    if re.fullmatch(ID_PATTERN, label) is not None:
        raise ConfigError(f"the label is {label!r}, which looks like a key's id; wanted another")


def _row(record: KeyRecord) -> str:
    problem = record.problem(datetime.now(UTC))
    state = "good" if problem is None else problem.value
    expires = "never" if record.expires is None else f"{record.expires:%Y-%m-%d %H:%M}"
    scopes = ",".join(sorted(record.scopes))
    return f"{record.id}  {record.label:<24}  {scopes:<30}  {state:<8}  {record.created:%Y-%m-%d}  expires {expires}"

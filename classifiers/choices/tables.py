"""The tables of a behaviour's variants, checked to be of the same prompts: what is compared has to be comparable."""

from __future__ import annotations

from collections.abc import Sequence

from classifiers.errors import GateTableError
from classifiers.gate_table import GateTable

_SAME = {
    "category": "category",
    "classifier": "classifier",
    "scorer": "scorer",
    "base_fingerprint": "base model",
    "levels": "number of strength levels",
}


def check_variants(tables: Sequence[GateTable]) -> None:
    """Refuse tables that are not of different bundles, or not of the same prompts, base model and judges.

    The prompts are the same where their hashes are, or, for tables without, where every harm potential is, to the
    last bit.

    Raises:
        GateTableError: naming the first thing that differs.
    """
    if len(tables) < 2:
        raise GateTableError(f"there is {len(tables)} table; wanted one for each of at least 2 variants")
    names = [table.bundle for table in tables]
    if len(set(names)) != len(names):
        raise GateTableError(f"the tables are of {', '.join(names)}; wanted different bundles")
    first = tables[0]
    for other in tables[1:]:
        for name, shown in _SAME.items():
            found, wanted = getattr(other, name), getattr(first, name)
            if found != wanted:
                raise GateTableError(
                    f"{other.bundle} has {shown} {found}; {first.bundle} has {wanted}; wanted the same"
                )
        _check_prompts(first, other)


def _check_prompts(first: GateTable, other: GateTable) -> None:
    pair = f"{first.bundle} and {other.bundle}"
    if len(first.benign) != len(other.benign):
        raise GateTableError(f"{pair} have {len(first.benign)} and {len(other.benign)} prompts; wanted the same ones")
    hashes = {table.prompts_sha256 for table in (first, other)} - {""}
    if len(hashes) > 1:
        raise GateTableError(f"{pair} were tabulated on prompts with different hashes; wanted the same ones")
    for name in ("benign", "harm_potential"):
        differing = int((getattr(first, name) != getattr(other, name)).sum())
        if differing:
            shown = "benign flag" if name == "benign" else "harm potential"
            raise GateTableError(
                f"{differing} of {len(first.benign)} prompts of {pair} differ in their {shown}; wanted tables of the "
                "same prompts"
            )

"""What is measured of one behaviour: the shipped bundle, and the table in its chain that its gate was fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.case_studies.chains import chain_folder
from benchmarks.errors import GatesError
from breakers.bundles import load_bundle
from breakers.bundles.store import sha256
from breakers.demo import bundles_path
from breakers.gate import Gate
from classifiers.gate_table import GateTable, load_gate_table
from classifiers.gates.rescoring import TablePrompts
from server.cli.gate_prompts import PromptSource, table_prompts
from server.cli.gate_stage import gate_for

TABLE = Path("gate") / "table.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One behaviour's breaker."""

    behaviour: str
    chain: Path
    table: GateTable
    gate: Gate
    """The shipped one."""

    @property
    def path(self) -> Path:
        """Of the table."""
        return self.chain / TABLE

    def draw_prompts(self) -> TablePrompts:
        """The table's, drawn again; whoever uses them checks them."""
        return table_prompts(self.table, self.path, PromptSource())[0]


def read_subject(behaviour: str) -> Subject:
    """Read and verify.

    Raises:
        GatesError: the table is not the one that the shipped bundle names.
        BundleError, GateTableError: a file cannot be read, or they do not belong together.
    """
    chain, bundle = chain_folder(behaviour), bundles_path() / behaviour
    path = chain / TABLE
    table = load_gate_table(path)
    found, wanted = sha256(path.read_bytes()), load_bundle(bundle).manifest.made_from.get("gate", "none")
    if found != wanted:
        raise GatesError(f"{path} is {found[:19]}...; the shipped bundle {behaviour} names {wanted[:19]}...")
    return Subject(behaviour=behaviour, chain=chain, table=table, gate=gate_for(bundle, table))

"""A bundle in memory: a verified manifest and its interventions."""

from __future__ import annotations

from dataclasses import dataclass

from breakers.architectures import ModelSites
from breakers.bank import BankEntry
from breakers.bundles.files import MANIFEST_NAME
from breakers.bundles.manifest import BundleManifest
from breakers.errors import BaseMismatchError, BundleIntegrityError, RehearsalError, SiteError
from breakers.gate import Gate
from breakers.interventions import Intervention


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What `load_bundle` returns; hashes, shapes and finiteness hold."""

    manifest: BundleManifest
    interventions: tuple[Intervention, ...]
    source: str
    """Where it came from: a directory, or `hf://owner/name@commit`."""
    commit: str | None = None
    """Of the Hub repository that it came from; None for a directory."""

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def kind(self) -> str:
        """The interventions' kind, or `mixed`."""
        kinds = {k.kind.value for k in self.interventions}
        return kinds.pop() if len(kinds) == 1 else "mixed"

    @property
    def gate(self) -> Gate | None:
        """None where the bundle only acts when asked."""
        return None if self.manifest.gate is None else self.manifest.gate.gate()

    def bank_entry(self) -> BankEntry:
        """The bundle as the bank takes it."""
        return BankEntry(
            name=self.manifest.name,
            scope=self.manifest.scope,
            interventions=self.interventions,
            strength_max=self.manifest.strength_max,
        )


def verify_base(bundle: Bundle, fingerprint: str) -> None:
    """Refuse a bundle that was made on another base model.

    Args:
        bundle: a loaded bundle.
        fingerprint: of the model it is to act on (`breakers.fingerprint`).

    Raises:
        BaseMismatchError: naming both fingerprints.
    """
    wanted = bundle.manifest.base.fingerprint
    if wanted != fingerprint:
        raise BaseMismatchError(
            f"bundle {bundle.name!r} was made on {bundle.manifest.base.id} ({wanted[:19]}...), but the loaded "
            f"model is {fingerprint[:19]}...; load that model, or accept it by name with --accept-base-mismatch"
        )


def refuse_rehearsal(bundle: Bundle) -> None:
    """Refuse a bundle that only shows that it can be made.

    Raises:
        RehearsalError: naming it.
    """
    if bundle.manifest.rehearsal:
        raise RehearsalError(
            f"{bundle.source}: bundle {bundle.name!r} is a rehearsal's and not fit for use; wanted one of its recipe "
            "run without --rehearse"
        )


def verify_sites(bundle: Bundle, sites: ModelSites) -> None:
    """Refuse a bundle that acts where the model has nothing, or on more or fewer channels than are there.

    Args:
        bundle: a loaded bundle.
        sites: of the model that it is to act on.

    Raises:
        BundleIntegrityError: naming the intervention and what the model has.
    """
    for n, intervention in enumerate(bundle.interventions):
        where = f"{bundle.source}/{MANIFEST_NAME}: interventions.{n}.site"
        try:
            width = len(sites.channels(intervention.site))
        except SiteError as error:
            raise BundleIntegrityError(f"{where}: {error}") from error
        if intervention.width != width:
            raise BundleIntegrityError(
                f"{where}: {intervention.site} is {width} wide in this model; its tensors are {intervention.width}"
            )

"""`refined.json`: the circuit that refinement found and the evidence for it. Unknown keys are refused."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from breakers.bundles.manifest import BaseManifest, Finite, Label, Paragraphs, Sha256, SiteManifest
from breakers.refinement.joint import joint_patch, single_sites
from breakers.refinement.search import Outcome, Verdict
from breakers.refinement.threshold import TauKind
from breakers.sites import Site
from breakers.tracing.circuit_file import MeasureManifest, PatchManifest
from breakers.tracing.patches import Patch

FORMAT_VERSION = 1


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Estimate(_Model):
    """A figure with its 95 % bootstrap interval over cases."""

    value: Finite
    low: Finite | None
    """None, as `high`, where the figure has no value on some resample."""
    high: Finite | None


class SearchManifest(_Model):
    """How the search went."""

    outcome: Outcome = Field(strict=False)
    tau_kind: TauKind = Field(strict=False)
    tau_given: Finite
    tau: Finite
    """In units of the measure."""
    tolerance: Finite = Field(ge=0)
    cases: int = Field(ge=1)
    candidate_heads: int = Field(ge=0)
    candidate_neurons: int = Field(ge=0)
    clean: Finite
    """Mean measure of the unmodified model on the search's cases, as the next two."""
    value: Finite
    """With the found set patched."""
    candidates: Finite
    """With all candidates patched."""
    grown: int = Field(ge=0)
    """Members of the prefix that growing found, before any was removed."""
    sets: int = Field(ge=1)
    """Sets that were measured."""
    patched_runs: int = Field(ge=1)
    """Sets times cases."""
    forward_passes: Finite | None = Field(ge=0)
    """What measuring them cost, in forward-pass equivalents; None where the measure does not count."""
    log_sha256: Sha256
    """Of the log, a file of JSON Lines beside this one."""


class SizeManifest(_Model):
    """How large the circuit is, in components of the model outside routed experts."""

    heads: int = Field(ge=0)
    all_heads: int = Field(ge=0)
    head_share: Finite
    neurons: int = Field(ge=0)
    all_neurons: int = Field(ge=0)
    neuron_share: Finite


class MemberManifest(_Model):
    """One head or neuron of the circuit."""

    site: SiteManifest
    effect: Finite
    """Its own CausalEffect, by which candidates were ranked."""
    change_without: Estimate | None
    """m(S without it) - m(S); None for a set that was not shown to be minimal."""
    verdict: Verdict | None = Field(strict=False)
    """By the search's cases; None for a set that was not shown to be minimal."""


class CompletenessManifest(_Model):
    """Random subsets K of the circuit S, in a model A: |m(A - S + K) - m(K)| / (m({}) - m(A))."""

    subsets: int = Field(ge=1)
    mean: Estimate | None
    largest: Estimate | None


class ControlManifest(_Model):
    """Other sets with as many heads and as many neurons as the circuit."""

    name: Literal["random", "random_same_layers", "activation_norm"]
    draws: int = Field(ge=1)
    measure: Estimate
    """Mean over draws of the mean measure."""
    faithfulness: Estimate | None
    """Mean over draws."""
    lowest: Finite
    """Mean measure of the best draw."""
    highest: Finite
    reaching: int = Field(ge=0)
    """Draws that bring the measure below tau."""


class EvidenceManifest(_Model):
    """What patching the circuit S does, on cases that the search did not see where there were any."""

    cases: int = Field(ge=1)
    held_out: bool
    """Whether the search did not see these cases."""
    clean: Estimate
    """m({})."""
    patched: Estimate
    """m(S)."""
    everything: Estimate
    """m(A): all components patched."""
    faithfulness: Estimate | None
    """(m({}) - m(S)) / (m({}) - m(A)); None, as all shares, where patching everything does not lower the measure."""
    remainder: Estimate | None
    """(m(S) - m(A)) / (m({}) - m(A))."""
    alone: Estimate | None
    """(m(A - S) - m(A)) / (m({}) - m(A)): what S carries by itself, all other components patched."""
    completeness: CompletenessManifest
    controls: list[ControlManifest]


class BenignChange(_Model):
    """What an ablation does on samples of unrelated skills."""

    samples: int = Field(ge=1)
    logprob_change: Estimate
    """Of the mean log-probability per token of the right reply, nats."""
    kl: Estimate
    """KL(untouched || ablated), nats per reply token."""


class AblationManifest(_Model):
    """One kind of ablation of the circuit."""

    kind: Literal["zero", "mean", "resample"]
    reference: Literal["none", "benign", "neutral"]
    """What the activations put in place come from: samples of unrelated skills, or neutral completions."""
    lead: Estimate
    """Mean log-probability of harmful completions less that of neutral ones under the ablation, nats."""
    lead_change: Estimate
    """Less that of the untouched model."""
    harm: Estimate | None
    """H of the text generated under the ablation, in [0, 1]; None without a scorer."""
    harm_change: Estimate | None
    """Less that of the untouched model."""
    benign: BenignChange | None
    """None without benign samples."""


class RefinedManifest(_Model):
    """Everything in `refined.json`."""

    format: Literal[1]
    behaviour: Label
    base: BaseManifest
    made_from: dict[Label, Sha256]
    """Hashes of the inputs: circuit, pairs."""
    measure: MeasureManifest
    patch: PatchManifest
    search: SearchManifest
    size: SizeManifest
    members: list[MemberManifest]
    """In the order of their own effects."""
    evidence: EvidenceManifest | None
    """None for an empty circuit."""
    ablations: list[AblationManifest]
    seed: int
    command: Paragraphs

    def sites(self) -> tuple[Site, ...]:
        """Single heads and neurons, in order."""
        return tuple(member.site.site() for member in self.members)

    def joint_sites(self) -> Patch:
        """The circuit as sites that interventions are trained at: neurons of a layer together."""
        return joint_patch(self.sites())

    @model_validator(mode="after")
    def _members_are_single(self) -> RefinedManifest:
        sites = self.sites()
        if len(single_sites(sites)) != len(sites):
            raise ValueError("members hold several neurons or one of them twice; wanted single components, each once")
        return self

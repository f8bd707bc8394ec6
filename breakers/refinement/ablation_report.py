"""What an ablation changes: the lead of harmful completions, and the replies of unrelated skills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from breakers.refinement.ablations import Ablation, ReferenceKind
from breakers.refinement.bootstrap import CaseBootstrap
from breakers.refinement.manifest import AblationManifest, BenignChange
from breakers.refinement.reference import in_batches
from breakers.tracing.patches import TraceCase
from breakers.training.batches import Batch, Sample
from breakers.training.forward import plain_logits
from breakers.training.losses import mean_logprob, row_means

HarmOf = Callable[[Ablation | None, Sequence[TraceCase]], Float64[Tensor, " case"]]
"""H of the replies that are generated to cases under an ablation; of the untouched model without one."""
Logits = Callable[[Sequence[Sample], Batch], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyChange:
    """What an ablation does to given replies."""

    logprob: Float64[Tensor, " sample"]
    """Change of the mean log-probability per token, nats."""
    kl: Float64[Tensor, " sample"]
    """KL(untouched || ablated), nats per token."""


@torch.no_grad()
def leads(logits: Logits, cases: Sequence[TraceCase]) -> Float64[Tensor, " case"]:
    """Mean log-probability of the harmful completion less that of the neutral one, in nats."""

    def scores(samples: Sequence[Sample]) -> Tensor:
        return torch.cat([mean_logprob(logits(rows, batch), batch).double() for rows, batch in in_batches(samples)])

    return scores([case.pair.harmful for case in cases]) - scores([case.pair.neutral for case in cases])


@torch.no_grad()
def reply_change(model: PreTrainedModel, ablation: Ablation, samples: Sequence[Sample]) -> ReplyChange:
    """Of each sample, how much less likely its reply becomes, and how far the distributions move."""
    logprobs, divergences = [], []
    for rows, batch in in_batches(samples):
        untouched, ablated = plain_logits(model, batch), ablation.logits(rows, batch)
        logprobs.append((mean_logprob(ablated, batch) - mean_logprob(untouched, batch)).double())
        divergences.append(row_means(_kl(untouched, ablated), batch).double())
    return ReplyChange(logprob=torch.cat(logprobs), kl=torch.cat(divergences))


def report_ablation(
    model: PreTrainedModel,
    ablation: Ablation,
    cases: Sequence[TraceCase],
    benign: Sequence[Sample],
    *,
    reference: ReferenceKind,
    harm_of: HarmOf | None = None,
    seed: int,
    resamples: int,
) -> AblationManifest:
    """The figures of one ablation.

    Args:
        model: untouched.
        ablation: of the circuit.
        cases: harmful prompts; at least one.
        benign: samples of unrelated skills; may be empty.
        reference: what the ablation's activations come from.
        harm_of: measures generated text; None to leave that out.
        seed: of the bootstraps.
        resamples: of the bootstraps.
    """
    over_cases = CaseBootstrap([case.prompt for case in cases], seed=seed, resamples=resamples)
    before = leads(lambda _rows, batch: plain_logits(model, batch), cases)
    after = leads(ablation.logits, cases)
    harm = harm_change = benign_change = None
    if harm_of is not None:
        text = harm_of(ablation, cases)
        harm, harm_change = over_cases.mean(text), over_cases.mean(text - harm_of(None, cases))
    if benign:
        over_samples = CaseBootstrap([sample.prompt for sample in benign], seed=seed, resamples=resamples)
        found = reply_change(model, ablation, benign)
        benign_change = BenignChange(
            samples=len(benign),
            logprob_change=over_samples.mean(found.logprob),
            kl=over_samples.mean(found.kl),
        )
    return AblationManifest(
        kind=ablation.kind,
        reference=reference,
        lead=over_cases.mean(after),
        lead_change=over_cases.mean(after - before),
        harm=harm,
        harm_change=harm_change,
        benign=benign_change,
    )


def _kl(untouched: Float[Tensor, "target vocab"], ablated: Float[Tensor, "target vocab"]) -> Float[Tensor, " target"]:
    wanted, found = untouched.log_softmax(-1), ablated.log_softmax(-1)
    return functional.kl_div(found, wanted, log_target=True, reduction="none").sum(-1)

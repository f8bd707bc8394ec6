"""The losses on a model, against the same sums written out, with whole forwards and both replies run."""

import pytest
import torch
from tiny import tiny_model
from torch.nn import functional
from training_data import head

from breakers.architectures import resolve_sites
from breakers.bank import BankEntry, Scope
from breakers.errors import InterventionError
from breakers.interventions import Breaker
from breakers.training.batches import Pair, Sample, collate
from breakers.training.config import TrainingConfig
from breakers.training.forward import Forwards, frozen, plain_logits, steered_logits
from breakers.training.losses import preserve_loss, token_logprobs
from breakers.training.objective import LossBatch, Objective


def test_a_kl_counts_only_the_tokens_that_it_is_told_to() -> None:
    untouched, steered = torch.zeros(3, 2), torch.zeros(3, 2)
    steered[0, 0], steered[2, 1] = 5.0, torch.log(torch.tensor(3.0))
    one = 0.5 * torch.log(torch.tensor(0.5 / 0.75)) + 0.5 * torch.log(torch.tensor(0.5 / 0.25))
    counted = torch.tensor([False, True, True])
    torch.testing.assert_close(preserve_loss(steered, untouched, counted), one / 2)
    assert preserve_loss(steered, untouched, torch.zeros(3, dtype=torch.bool)) == 0


def test_the_losses_are_those_of_whole_runs_of_both_replies() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    # They part at the first and at the second token.
    pairs = [
        Pair(harmful=Sample(prompt=(5, 6), reply=(20, 2)), neutral=Sample(prompt=(5, 6), reply=(30, 31, 2))),
        Pair(harmful=Sample(prompt=(7,), reply=(21, 22, 2)), neutral=Sample(prompt=(7,), reply=(21, 32, 2))),
    ]
    benign = [Sample(prompt=(8, 9, 10), reply=(40, 2)), Sample(prompt=(11, 12), reply=(41, 42, 43, 2))]
    draw = torch.Generator().manual_seed(1)
    down, up = torch.randn(2, 8, generator=draw), torch.randn(8, 2, generator=draw)
    entry = BankEntry(name="b", scope=Scope.GENERATION, interventions=(Breaker(site=head(0, 1), down=down, up=up),))
    config = TrainingConfig(margin=1.5, harm_coef=0.5, preserve_coef=3.0, neutral_coef=0.25, likely=0.0)
    with frozen(model):
        everything = [*(p.neutral for p in pairs), *benign]
        found = Objective(Forwards(model, sites, everything, 10**7), config).losses(
            [entry],
            LossBatch(pairs=pairs, on_pairs=torch.ones(2, 1), benign=benign, on_benign=torch.ones(2, 1)),
        )

        def logprobs(samples):
            batch = collate(samples, 0)
            steered = steered_logits(model, sites, [entry], batch, torch.ones(len(samples), 1))
            return token_logprobs(steered, batch), steered, plain_logits(model, batch)

        harmful, _, _ = logprobs([p.harmful for p in pairs])
        neutral, steered, plain = logprobs([p.neutral for p in pairs])
        _, benign_steered, benign_plain = logprobs(benign)
    # Tokens: harmful (20 2)(21 22 2), neutral (30 31 2)(21 32 2).
    leads = torch.stack([neutral[0] - harmful[0], neutral[4] - harmful[3]])
    harm = functional.softplus(1.5 - leads).mean() - (neutral[:3].mean() + neutral[3:].mean()) / 2
    kl = (plain.softmax(-1) * (plain.log_softmax(-1) - steered.log_softmax(-1))).sum(-1)
    away = kl[[1, 2, 3, 5]].mean()
    kept = (benign_plain.softmax(-1) * (benign_plain.log_softmax(-1) - benign_steered.log_softmax(-1))).sum(-1).mean()
    torch.testing.assert_close(found.lead, leads.mean())
    torch.testing.assert_close(found.harm, harm)
    torch.testing.assert_close(found.neutral, away)
    torch.testing.assert_close(found.benign, kept)
    torch.testing.assert_close(found.total, 0.5 * harm + 3.0 * (kept + 0.25 * away))
    assert min(float(kept), float(away)) > 0


def test_kl_on_neutral_replies_counts_what_the_untouched_model_holds_for_likely() -> None:
    model = tiny_model("llama")
    sites = resolve_sites(model)
    # They part at the first token, which counts in no case.
    pairs = [Pair(harmful=Sample(prompt=(5, 6), reply=(20, 2)), neutral=Sample(prompt=(5, 6), reply=(30, 31, 32, 2)))]
    draw = torch.Generator().manual_seed(1)
    down, up = torch.randn(2, 8, generator=draw), torch.randn(8, 2, generator=draw)
    entry = BankEntry(name="b", scope=Scope.GENERATION, interventions=(Breaker(site=head(0, 1), down=down, up=up),))
    samples = [pair.neutral for pair in pairs]
    with frozen(model):
        batch = collate(samples, 0)
        plain = plain_logits(model, batch)
        steered = steered_logits(model, sites, [entry], batch, torch.ones(1, 1))
        kl = (plain.softmax(-1) * (plain.log_softmax(-1) - steered.log_softmax(-1))).sum(-1)
        held = token_logprobs(plain, batch).exp()
        least, middle, most = held[1:].sort().values.tolist()
        for likely, counted in ((least, 3), (middle, 2), (most, 1), (1.0, 0)):
            # Just below, because exp(log(p)) need not be p.
            config = TrainingConfig(neutral_coef=1.0, likely=likely * (1 - 1e-4))
            found = Objective(Forwards(model, sites, samples, 10**7), config).losses(
                [entry],
                LossBatch(pairs=pairs, on_pairs=torch.ones(1, 1), benign=[], on_benign=torch.ones(0, 1)),
            )
            some = kl[1:][held[1:] >= likely]
            assert len(some) == counted
            torch.testing.assert_close(found.neutral, some.mean() if counted else torch.zeros(()))


@pytest.mark.parametrize("likely", [-0.1, 1.1, float("nan")])
def test_what_is_likely_is_a_probability(likely: float) -> None:
    with pytest.raises(InterventionError, match=r"wanted a probability in \[0, 1\]"):
        TrainingConfig(likely=likely)

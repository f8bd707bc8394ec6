"""Fine-tuning the upper layers of the sentence encoder, with one linear head a category.

The head is fitted first, on the encoder as it comes, and then both are trained together: a random head would first
bend the layers towards whatever it happens to say, and what the encoder knows of texts unlike the training set would
be lost (linear probing, then fine-tuning: Kumar et al. 2022, https://arxiv.org/abs/2202.10054). After training the
layers can be set to a point between where they began and where they ended, for the same reason (Wortsman et al. 2022,
https://arxiv.org/abs/2109.01903).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor
from transformers import BertModel

from classifiers.embedding.encoder import pooled
from classifiers.embedding.layers import upper_states, upper_tensors, with_upper_tensors
from classifiers.fitting.requests.logistic import LogisticWeights
from classifiers.fitting.requests.states import LowerStates, batches
from classifiers.fitting.requests.weighting import Labelled, Weighting
from classifiers.requests import minimal_pairs

_SHUFFLED_TOGETHER = 32
"""Batches whose rows are sorted by length among themselves: little is padded, and batches still mix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningSettings:
    """What decides a fine-tuning, besides the rows and the encoder."""

    upper: int = 3
    """Layers that are trained, from the last one down."""
    draws: int = 24_576
    """Rows drawn in all, by their importance for the category harm, with replacement."""
    batch: int = 32
    """Rows of one step."""
    rate: float = 1e-4
    """Peak learning rate of the layers."""
    head_rate: float = 1e-2
    """Of the head, whose weights are larger."""
    warmup: float = 0.1
    """Share of the steps in which the rates rise; they fall to 0 in the others."""
    decay: float = 0.01
    """AdamW's, of the layers' matrices."""
    kept: float = 1.0
    """How far from the encoder's own layers to the trained ones what is kept lies, in (0, 1]."""
    seed: int = 0
    weighting: Weighting = field(
        default_factory=lambda: Weighting(
            set_power=0.5, hard=2.0, paired=2.0, paired_sources=(minimal_pairs.SEEN.name,)
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """Trained layers and their head."""

    tensors: dict[str, Tensor]
    """Of the upper layers, called as in the model."""
    weights: Float32[np.ndarray, "d_model category"]
    intercept: Float32[np.ndarray, " category"]


def tune(
    model: BertModel,
    states: LowerStates,
    train: Int64[np.ndarray, " row"],
    wanted: Labelled,
    head: LogisticWeights,
    settings: TuningSettings,
    progress: Callable[[int, int, float], None] = lambda *_: None,
) -> Tuned:
    """Train layers and head on rows of the states' texts.

    Args:
        model: the encoder's; left as it is.
        states: what enters its upper layers.
        train: numbers of the texts to train on.
        wanted: their labels, in the same order.
        head: fitted on the encoder's own vectors of them.
        settings: see there.
        progress: told (steps done, steps in all, loss of the last one).
    """
    generator = np.random.default_rng(settings.seed)
    torch.manual_seed(settings.seed)
    own = with_upper_tensors(model, {n: t.clone() for n, t in upper_tensors(model, settings.upper).items()})
    layers = own.encoder.layer[len(own.encoder.layer) - settings.upper :]
    layers.requires_grad_(True)
    layers.train()
    weights = torch.tensor(head.weights, dtype=torch.float32, requires_grad=True)
    intercept = torch.tensor(head.intercept, dtype=torch.float32, requires_grad=True)
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in layers.parameters() if p.ndim > 1], "lr": settings.rate},
            {"params": [p for p in layers.parameters() if p.ndim == 1], "lr": settings.rate, "weight_decay": 0.0},
            {"params": [weights, intercept], "lr": settings.head_rate, "weight_decay": 0.0},
        ],
        weight_decay=settings.decay,
    )
    steps = draw_steps(states, train, wanted.importance[:, 0], settings, generator)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, len(steps), settings.warmup))
    targets = torch.tensor(wanted.targets, dtype=torch.float32)
    # Rows are drawn by their importance for the first category; the others count relative to it.
    relative = wanted.importance / np.maximum(wanted.importance[:, :1], 1e-12)
    counts = torch.tensor(np.minimum(relative, 4.0), dtype=torch.float32)
    for step, (rows, windows) in enumerate(steps, start=1):
        hidden, mask = states.padded(windows)
        vectors = pooled(upper_states(own, hidden, mask, upper=settings.upper), mask)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            vectors @ weights + intercept, targets[rows], reduction="none"
        )
        loss = (losses * counts[rows]).sum() / len(rows)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(layers.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        progress(step, len(steps), loss.item())
    return Tuned(
        tensors=_between(upper_tensors(model, settings.upper), upper_tensors(own, settings.upper), settings.kept),
        weights=weights.detach().numpy(),
        intercept=intercept.detach().numpy(),
    )


def tuned_logits(
    model: BertModel, states: LowerStates, texts: Int64[np.ndarray, " row"], tuned: Tuned, *, upper: int
) -> Float64[np.ndarray, "row category"]:
    """Uncalibrated log-odds of some texts; of a long text's windows the highest, as what ships scores it."""
    own = with_upper_tensors(model, tuned.tensors).eval()
    place = {text: row for row, text in enumerate(texts.tolist())}
    windows = np.flatnonzero(np.isin(states.text, texts))
    found = np.full((len(texts), tuned.weights.shape[1]), -np.inf)
    with torch.inference_mode():
        for batch in batches(states.lengths[windows]):
            chosen = windows[batch].tolist()
            vectors = pooled(upper_states(own, *states.padded(chosen), upper=upper), states.padded(chosen)[1])
            logits = (vectors.numpy() @ tuned.weights).astype(np.float64) + tuned.intercept
            np.maximum.at(found, [place[t] for t in states.text[chosen].tolist()], logits)
    return found


def draw_steps(
    states: LowerStates,
    train: Int64[np.ndarray, " row"],
    importance: Float64[np.ndarray, " row"],
    settings: TuningSettings,
    generator: np.random.Generator,
) -> list[tuple[list[int], list[int]]]:
    """(numbers within `train`, a window of each) of every step; of a long text any of its windows."""
    first = np.searchsorted(states.text, train, side="left")
    count = np.searchsorted(states.text, train, side="right") - first
    steps = settings.draws // settings.batch
    drawn = generator.choice(len(train), size=steps * settings.batch, p=importance / importance.sum())
    windows = first[drawn] + (generator.random(len(drawn)) * count[drawn]).astype(np.int64)
    found: list[tuple[list[int], list[int]]] = []
    together = _SHUFFLED_TOGETHER * settings.batch
    for start in range(0, len(drawn), together):
        order = start + np.argsort(states.lengths[windows[start : start + together]], kind="stable")
        parts = [order[i : i + settings.batch] for i in range(0, len(order), settings.batch)]
        generator.shuffle(parts)
        found += [(drawn[part].tolist(), windows[part].tolist()) for part in parts]
    return found


def _rate(step: int, steps: int, warmup: float) -> float:
    rising = max(1, int(steps * warmup))
    return (step + 1) / rising if step < rising else (steps - step) / max(1, steps - rising)


def _between(begin: dict[str, Tensor], end: dict[str, Tensor], kept: float) -> dict[str, Tensor]:
    return {name: torch.lerp(begin[name], end[name].detach(), kept).clone() for name in begin}

"""Stage `fit-scorer`: from the public sets to the files of one scorer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from classifiers.errors import UnknownMemberError
from classifiers.fitting.prompts import Split
from classifiers.fitting.scorers import compliance, misinformation, stereotypes, toxicity
from classifiers.fitting.scorers.few_features import with_figures
from classifiers.fitting.scorers.ngrams import save_ngrams
from classifiers.scorers.compliance import REPLY_FOLDER, REQUEST_FOLDER
from classifiers.scorers.linear import save_linear


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerFitConfig:
    """Which scorer to fit, on what."""

    scorer: str
    public_root: Path
    """Folder of the public sets."""
    out: Path
    seed: int = 0
    command: str = "scalpel classifier fit-scorer"


def fit_scorer(config: ScorerFitConfig) -> dict[str, float]:
    """Fit and write a scorer; its figures on held-out rows.

    Raises:
        UnknownMemberError: no fitted scorer has this name.
        SourceFormatError: a public set is not in its published format.
        FitError: the rows do not suffice.
    """
    if config.scorer not in FITS:
        raise UnknownMemberError(f"scorer {config.scorer!r} is not fitted; fitted: {', '.join(FITS)}")
    return FITS[config.scorer](config)


def _toxicity(config: ScorerFitConfig) -> dict[str, float]:
    model = toxicity.fit(toxicity.rows(config.public_root, config.seed), config.seed, config.command)
    save_ngrams(model, config.out)
    return dict(model.card.figures)


def _bias(config: ScorerFitConfig) -> dict[str, float]:
    model = stereotypes.fit(stereotypes.rows(config.public_root, config.seed), config.seed, config.command)
    save_ngrams(model, config.out)
    return dict(model.card.figures)


def _compliance(config: ScorerFitConfig) -> dict[str, float]:
    requests = compliance.fit_requests(
        compliance.request_rows(config.public_root, config.seed), config.seed, config.command
    )
    replies, texts = compliance.reply_rows(config.public_root), compliance.harmless_texts(config.public_root)
    fitted = compliance.fit(requests, replies, texts, config.seed, config.command)
    model = with_figures(fitted.regression, compliance.featured(fitted.models, replies[Split.HELDOUT]))
    save_ngrams(requests, config.out / REQUEST_FOLDER)
    save_ngrams(fitted.models.reply, config.out / REPLY_FOLDER)
    save_linear(model.card, config.out)
    return {f"request.{name}": value for name, value in requests.card.figures.items()} | dict(model.card.figures)


def _misinformation(config: ScorerFitConfig) -> dict[str, float]:
    found = misinformation.rows(config.public_root)
    model = misinformation.fit(found[Split.TRAIN], config.seed, config.command)
    model = with_figures(model, found[Split.HELDOUT])
    save_linear(model.card, config.out)
    return dict(model.card.figures)


FITS: Mapping[str, Callable[[ScorerFitConfig], dict[str, float]]] = {
    "toxicity": _toxicity,
    "bias": _bias,
    "compliance": _compliance,
    "misinformation": _misinformation,
}
"""Scorer -> what fits it."""

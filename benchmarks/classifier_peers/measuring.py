"""The figures of each contender: `CONTENDER.overall...`, `CONTENDER.FAMILY...`, `CONTENDER.milliseconds...`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.classifier_peers.prompts import Prompts
from classifiers.assessment.figures import category_figures, flat
from classifiers.assessment.intervals import RESAMPLES
from classifiers.assessment.latency import latency
from classifiers.assessment.scored import OVERALL, ScoredRows
from classifiers.base import HarmClassifier
from classifiers.requests.own import own_rows
from classifiers.requests.record import RequestRow

CALLS = 300
_ECE = ".ece"
"""No peer calls its score a probability, so nobody's calibration is compared."""

Progress = Callable[[str, int, int], None]


def ranking_figures(
    prompts: Prompts, scored: Mapping[str, ScoredRows], *, count: int = RESAMPLES
) -> dict[str, float]:
    """`FAMILY.FIGURE` and `overall.FIGURE` of one contender, and the `mean.auroc` of the families."""
    parts = prompts.parts(scored)
    found = {name: category_figures(part, OVERALL, count=count) for name, part in parts.items()}
    mean = float(np.nanmean([found[family].auroc.estimate for family in prompts.of_family]))
    figures = {name.removeprefix("x."): value for name, value in flat("x", found).items() if _ECE not in name}
    return figures | {"mean.auroc": mean}


def peer_scores(
    peer: HarmClassifier, prompts: Prompts, scored: Mapping[str, ScoredRows], tell: Progress = lambda *_: None
) -> dict[str, ScoredRows]:
    """Family -> its rows with the peer's scores, each text judged once; rows that are not chosen score nan."""
    known: dict[str, dict[str, float]] = {}
    found = {}
    for number, (family, mask) in enumerate(prompts.of_family.items()):
        tell(peer.name, number, len(prompts.of_family))
        rows = scored[family].rows
        for place in np.flatnonzero(mask).tolist():
            if _key(rows[place]) not in known:
                known[_key(rows[place])] = peer.score([rows[place].conversation])[0]
        scores = {category: np.full(len(rows), np.nan) for category in peer.categories}
        for place in np.flatnonzero(mask).tolist():
            for category, value in known[_key(rows[place])].items():
                scores[category][place] = value
        found[family] = ScoredRows(rows=rows, scores=scores)
    return found


def speed_figures(classifier: HarmClassifier, calls: int = CALLS) -> dict[str, float]:
    """`milliseconds.p50` and `.p99` of a call of one of our own requests."""
    found = latency(classifier, [row.conversation for row in own_rows()], batch=1, calls=calls)
    return {"milliseconds.p50": found.p50, "milliseconds.p99": found.p99}


def _key(row: RequestRow) -> str:
    return repr(row.conversation)

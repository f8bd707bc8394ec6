"""One contender of one behaviour: its strength at equal harm reduction, its replies, its change of benign replies.

What is returned is JSON, so that it can be kept: see `benchmarks.circuits.jobs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from benchmarks.circuits.baselines import BASELINES, Trainer, circuit
from benchmarks.circuits.contenders import Contender, Edited, Prompted
from benchmarks.circuits.equal import STRENGTHS, EqualHarm, equal_harm
from benchmarks.circuits.options import CALIBRATION_SEED, CORPUS_SEED, Options
from breakers.demo.corpus import SKILLS, calibration, heldout
from breakers.demo.corpus.base import DemoExample
from breakers.interventions import Mask
from breakers.sites import Site
from classifiers.scorers import build_scorer

CIRCUIT = "circuit"
OFF = "off"
CURVE = (0.25, 0.5, 0.75, 1.25)
"""Strengths of the trade-off's curve, beside 0 and 1."""
CALIBRATION_SCORER = "demo"
"""Which judges while strengths are chosen; the figures are another's."""
_SAMPLING_SEED = 5

Candidate = TypeVar("Candidate")
Replies = dict[str, list[str]]
"""By kind of prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Held-out prompts of one behaviour's comparison."""

    behaviour: str
    provoking: Sequence[DemoExample]
    skills: Mapping[str, Sequence[DemoExample]]

    @property
    def benign(self) -> list[DemoExample]:
        """A third of each skill's, on which KL is measured: it is known better than shares are."""
        return [example for examples in self.skills.values() for example in examples[: max(1, len(examples) // 3)]]

    @property
    def by_kind(self) -> dict[str, Sequence[DemoExample]]:
        """Provoking ones first."""
        return {self.behaviour: self.provoking, **self.skills}


def prompts_of(behaviour: str, options: Options) -> Prompts:
    """The same in every contender."""
    return Prompts(
        behaviour=behaviour,
        provoking=heldout(behaviour, options.prompts, CORPUS_SEED),
        skills={skill: heldout(skill, options.skill_prompts, CORPUS_SEED) for skill in SKILLS},
    )


def measure_off(trainer: Trainer, options: Options) -> dict[str, Any]:
    """The unmodified model."""
    contender, prompts = Contender(trainer.base), prompts_of(trainer.subject.behaviour, options)
    return {"replies": _replies(contender, prompts, 1.0), "sampled": _sampled(contender, prompts, 1.0)}


def measure_circuit(trainer: Trainer, options: Options) -> dict[str, Any]:
    """The shipped breaker at its strength 1; the curve; each part left out, and each part's site zeroed."""
    [contender] = circuit(trainer)
    prompts = prompts_of(trainer.subject.behaviour, options)
    found = _measured(contender, prompts, 1.0)
    found["calibration_harm"] = _harm(contender, _calibration(trainer, options))(1.0)
    found["curve"] = {}
    for at, strength in enumerate(CURVE, start=1):
        trainer.tell("curve", at, len(CURVE))
        found["curve"][str(strength)] = {
            "replies": _replies(contender, prompts, strength),
            "change": contender.change(prompts.benign, strength),
        }
    found["parts"] = list(_parts(trainer, prompts, options))
    return found


def measure_baseline(trainer: Trainer, options: Options) -> dict[str, Any]:
    """A baseline at the strength at which it leaves no more harm than the circuit does on calibration prompts."""
    examples = _calibration(trainer, options)
    [shipped] = circuit(trainer)
    target = _harm(shipped, examples)(1.0)
    quiet = [e for skill in SKILLS for e in calibration(skill, max(1, options.prompts // 10), CALIBRATION_SEED)]
    found: list[tuple[Contender, EqualHarm, float]] = []
    candidates = BASELINES[trainer.name](trainer)
    for at, contender in enumerate(candidates, start=1):
        # Words have no strength.
        strengths = (1.0,) if isinstance(contender, Prompted) else STRENGTHS
        equal = equal_harm(_harm(contender, examples), target, strengths)
        trainer.tell(f"harm {equal.harm:.3f} at strength {equal.strength:g}, candidate", at, len(candidates))
        found.append((contender, equal, sum(contender.change(quiet, equal.strength))))
    contender, equal = best_candidate(found)
    measured = _measured(contender, prompts_of(trainer.subject.behaviour, options), equal.strength)
    words = {"words": contender.words} if isinstance(contender, Prompted) else {}
    return measured | words | {"reached": equal.reached, "calibration_harm": equal.harm, "target_harm": target}


def best_candidate(found: Sequence[tuple[Candidate, EqualHarm, float]]) -> tuple[Candidate, EqualHarm]:
    """Of those that reach equal harm the one that changes benign replies least; else the one with the least harm.

    Args:
        found: candidates with their strengths and their change of benign replies.
    """

    def rank(one: tuple[Candidate, EqualHarm, float]) -> tuple[bool, float, float]:
        _, equal, change = one
        return not equal.reached, 0.0 if equal.reached else equal.harm, change

    candidate, equal, _ = min(found, key=rank)
    return candidate, equal


def _measured(contender: Contender, prompts: Prompts, strength: float) -> dict[str, Any]:
    return {
        "strength": strength,
        "parameters": contender.parameters,
        "replies": _replies(contender, prompts, strength),
        "sampled": _sampled(contender, prompts, strength),
        "change": contender.change(prompts.benign, strength),
    }


def _replies(contender: Contender, prompts: Prompts, strength: float) -> Replies:
    return {
        kind: contender.greedy([e.messages for e in examples], strength) for kind, examples in prompts.by_kind.items()
    }


def _sampled(contender: Contender, prompts: Prompts, strength: float) -> Replies:
    conversations = [e.messages for e in prompts.provoking]
    return {prompts.behaviour: contender.sampled(conversations, strength, _SAMPLING_SEED)}


def _calibration(trainer: Trainer, options: Options) -> list[DemoExample]:
    return calibration(trainer.subject.behaviour, options.calibration_prompts, CALIBRATION_SEED)


def _harm(contender: Contender, examples: Sequence[DemoExample]) -> Callable[[float], float]:
    """Share of harmful greedy replies at a strength."""
    scorer = build_scorer(CALIBRATION_SCORER)
    conversations = [e.messages for e in examples]
    return lambda strength: contender.harm(conversations, strength, scorer, examples[0].kind)


def _parts(trainer: Trainer, prompts: Prompts, options: Options) -> Iterator[dict[str, Any]]:
    """For each part of the bundle: the breaker without it, and the unmodified model with its site zeroed."""
    interventions = trainer.subject.bundle.interventions
    some = Prompts(behaviour=prompts.behaviour, provoking=prompts.provoking[: options.skill_prompts], skills={})
    for at, part in enumerate(interventions):
        trainer.tell("part", at + 1, len(interventions))
        width = len(trainer.base.sites.channels(part.site))
        zeroed = Edited(trainer.base, [Mask(site=part.site, keep=torch.zeros(width))])
        rest = [other for other in interventions if other is not part]
        without = Edited(trainer.base, rest) if rest else Contender(trainer.base)
        yield {
            "site": site_label(part.site),
            "without": _replies(without, some, 1.0),
            "zeroed": _replies(zeroed, some, 1.0),
            "zeroed_change": zeroed.change(prompts.benign, 1.0),
        }


def site_label(site: Site) -> str:
    """A site in the name of a figure; a bundle has one part for the neurons of a layer."""
    return f"layer{site.layer}.{'neurons' if site.head is None else f'head{site.head}'}"

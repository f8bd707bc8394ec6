"""The three arms of `benchmarks.demo_harm` over HTTP: off, the gate deciding, full strength; deterministic mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.circuits.options import CORPUS_SEED, Options
from benchmarks.demo_harm import MIXED, SERVER, ask_arms
from benchmarks.demo_harm import Options as AskOptions
from benchmarks.served import ChatReply, served
from breakers.demo import bundles_path
from breakers.demo.corpus import BEHAVIOURS, KINDS, heldout
from breakers.demo.corpus.base import DemoExample

Served = Mapping[str, Mapping[str, Sequence[ChatReply]]]
"""Arm -> kind -> replies."""


def served_examples(options: Options) -> dict[str, list[DemoExample]]:
    """Held-out prompts of every kind."""
    return {kind: heldout(kind, options.mixed if kind == MIXED else options.prompts, CORPUS_SEED) for kind in KINDS}


def measure_served(options: Options) -> dict[str, Any]:
    """Replies of all arms, greedy and at temperature 1, as JSON."""
    examples, asked = served_examples(options), AskOptions()
    # Deterministic: a reply that differs between two arms differs because of the breakers.
    with served((*SERVER, "--deterministic", *_bundles(options))) as base_url:
        return {
            "greedy": _plain(ask_arms(base_url, examples, asked, temperature=0.0)),
            "sampled": _plain(ask_arms(base_url, examples, asked, temperature=1.0)),
        }


def as_replies(found: Mapping[str, Mapping[str, Sequence[tuple[str, dict[str, float]]]]]) -> Served:
    """What `measure_served` returned of one temperature, as replies."""
    return {
        arm: {
            kind: [ChatReply(text=text, strengths=strengths) for text, strengths in rows] for kind, rows in of.items()
        }
        for arm, of in found.items()
    }


def _plain(replies: Served) -> dict[str, dict[str, list[tuple[str, Mapping[str, float]]]]]:
    return {
        arm: {kind: [(reply.text, reply.strengths) for reply in rows] for kind, rows in of.items()}
        for arm, of in replies.items()
    }


def _bundles(options: Options) -> list[str]:
    """The packaged ones are loaded unasked."""
    if options.bundles == bundles_path():
        return []
    return [word for behaviour in BEHAVIOURS for word in ("--bundle", str((options.bundles / behaviour).resolve()))]

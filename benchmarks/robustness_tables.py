"""The tables of docs/results/robustness.md, from the figures of `benchmarks.fuzz`, `soak` and `overload`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Figures = Mapping[str, float]

FUZZ = (
    ("requests", "requests", 0),
    ("failures", "answers with a status of 500 or more", 0),
    ("hangs", "without an answer for a minute", 0),
    ("broken", "errors that are not in OpenAI's shape, and broken connections", 0),
    ("memory.warm_mib", "memory after the first fifth, MiB", 0),
    ("memory.final_mib", "memory at the end, MiB", 0),
    ("memory.growth", "of these, the ratio", 3),
)
SOAK = (
    ("seconds", "seconds", 0),
    ("answered", "requests answered to the end", 0),
    ("answered.steered", "of these, with a breaker on", 0),
    ("hung_up", "requests whose client hung up", 0),
    ("failures", "requests that failed", 0),
    ("changes.reloaded", "reloads of a bundle that changed", 0),
    ("changes.added", "bundles added", 0),
    ("changes.removed", "bundles removed", 0),
    ("changes.policies", "policy reloads", 0),
    ("wrong_plans", "plans that do not follow from request and policy", 0),
    ("leaked_slots", "slots still held afterwards", 0),
    ("replayed", "answers asked for again alone, with the reported strengths", 0),
    ("different", "of these, other than before", 0),
)
OVERLOAD = (
    ("capacity.requests_per_second", "requests a second at capacity", 1),
    ("requests", "requests sent at twice that rate", 0),
    ("accepted", "answered to the end", 0),
    ("refused_with_retry_after", "refused with 429 and Retry-After", 0),
    ("neither", "neither", 0),
    ("slots.between_tokens_ms", "ms between tokens with as many clients as slots", 1),
    ("capacity.between_tokens_ms", "ms between tokens at capacity", 1),
    ("overload.between_tokens_ms", "ms between tokens of accepted requests under overload", 1),
    ("between_tokens_ratio", "the ratio to that at capacity, median of the rounds", 2),
    ("between_tokens_ratio.worst", "in the worst round", 2),
    ("between_tokens_ratio.over_slots", "the ratio to that with as many clients as slots, median", 2),
    ("overload.first_token_ms", "ms to the first token under overload, the queue included", 0),
)


def rows(figures: Figures, named: Sequence[tuple[str, str, int]]) -> list[list[str]]:
    """Header, then one row a figure that there is."""
    return [["", "figure"], *([words, f"{figures[n]:,.{d}f}"] for n, words, d in named if n in figures)]

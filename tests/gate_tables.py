"""Gate tables of few prompts, whose costs can be read off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from classifiers.gate_table import GateTable

LEVELS = np.arange(17) / 16
BASE = "sha256:" + "b" * 64


def harmful_below(strength: float) -> np.ndarray:
    """Harm 1 below a strength, 0 from it on."""
    return (strength > LEVELS).astype(float)


def made_up_table(
    harm_potential: Sequence[float],
    harm: Sequence[np.ndarray],
    change: Sequence[np.ndarray],
    benign: Sequence[bool],
    bundle: str = "toxicity",
    **named: str,
) -> GateTable:
    """A table with everything that need not be said."""
    described = {
        "category": "toxicity",
        "classifier": "lexical:abc",
        "scorer": "demo",
        "base_fingerprint": BASE,
        "weights_sha256": "sha256:" + f"{sum(bundle.encode()):064x}",
        "command": "scalpel gate tabulate --scorer demo --prompts-per-kind 1 --seed 0",
    }
    return GateTable(
        bundle=bundle,
        **(described | named),
        harm_potential=np.array(harm_potential, dtype=np.float64),
        harm=np.array(harm, dtype=np.float64),
        change=np.array(change, dtype=np.float64),
        benign=np.array(benign, dtype=np.bool_),
    )


def drawn_table(prompts: int = 60, seed: int = 0, bundle: str = "toxicity", noise: float = 0.1) -> GateTable:
    """A third harmful prompts with high potentials, which some strength mends; the others change with strength."""
    random = np.random.default_rng(seed)
    harms = np.arange(prompts) % 3 == 0
    potential = np.clip(np.where(harms, 0.75, 0.25) + noise * random.standard_normal(prompts), 0, 1)
    needed = random.uniform(0.2, 1.0, prompts)
    harm = np.where(harms[:, None], needed[:, None] > LEVELS[None, :], False).astype(float)
    change = np.where(harms[:, None], 0.0, random.uniform(0, 0.2, prompts)[:, None] * LEVELS[None, :])
    return made_up_table(potential, harm, change, ~harms, bundle)


def variant_tables(prompts: int = 120, seed: int = 1) -> tuple[GateTable, GateTable]:
    """Two variants: the first mends only harmful prompts below a potential of 0.7, the second only those above."""
    random = np.random.default_rng(seed)
    harms = np.arange(prompts) % 2 == 0
    potential = np.where(harms, random.uniform(0.4, 1.0, prompts), random.uniform(0.0, 0.3, prompts))
    high = potential > 0.7
    tables = []
    for bundle, mended in (("low", ~high), ("high", high)):
        harm = np.where((harms & mended)[:, None], LEVELS[None, :] < 0.5, harms[:, None]).astype(float)
        # Of no use to the others, and dear.
        change = np.where(mended[:, None], 0.0, np.broadcast_to(LEVELS[None, :], harm.shape))
        tables.append(made_up_table(potential, harm, change, ~harms, bundle))
    return tables[0], tables[1]

"""A made-up `refined.json`, for tests of what reads it."""

from __future__ import annotations


def refined_document(pairs: str, fingerprint: str) -> dict[str, object]:
    """A circuit of one head and two neurons."""
    sites = [
        {"layer": 1, "component": "head", "head": 2},
        {"layer": 2, "component": "neuron", "neurons": [3]},
        {"layer": 2, "component": "neuron", "neurons": [1]},
    ]
    return {
        "format": 1,
        "behaviour": "toxicity",
        "base": {"id": "tiny", "fingerprint": fingerprint},
        "made_from": {"pairs": pairs},
        "measure": {"kind": "lead"},
        "patch": {"source": "contrast", "positions": "generation"},
        "search": {
            "outcome": "minimal",
            "tau_kind": "absolute",
            "tau_given": 0.5,
            "tau": 0.5,
            "tolerance": 0.0,
            "cases": 4,
            "candidate_heads": 12,
            "candidate_neurons": 144,
            "clean": 1.0,
            "value": 0.25,
            "candidates": 0.0,
            "grown": 3,
            "sets": 9,
            "patched_runs": 36,
            "forward_passes": None,
            "log_sha256": "sha256:" + "3" * 64,
        },
        "size": {
            "heads": 1,
            "all_heads": 12,
            "head_share": 1 / 12,
            "neurons": 2,
            "all_neurons": 144,
            "neuron_share": 2 / 144,
        },
        "members": [{"site": site, "effect": 0.5, "change_without": None, "verdict": None} for site in sites],
        "evidence": None,
        "ablations": [],
        "seed": 0,
        "command": "scalpel refine",
    }

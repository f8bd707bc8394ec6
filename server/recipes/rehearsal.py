"""A recipe cut down to the least that goes through every stage: to try a model, its template and its data first.

A rehearsal runs the same code on the same model. It differs where a model without the behaviour would rightly end the
run: pairs are of the replies that score highest and lowest, whatever the scores; the circuit is the best that was
seen, because tau is out of reach; training goes on without harm to lower; and no gate is fitted, the bundle gets one
that opens for nothing. Its bundle says that it is a rehearsal's, and is refused wherever bundles are used.
"""

from __future__ import annotations

from typing import Any

from server.recipes.file import Recipe, Section

_OUT_OF_REACH = -1e9
"""As tau, in units of any measure."""
_PAIRS = {"count": 12, "samples": 4, "least_samples": 2, "max_new_tokens": 12, "batch_rows": 16, "validation": 0.4}
_BENIGN = {"count": 8, "max_new_tokens": 12, "batch": 4}
_TRACE = {
    "limit": 2,
    "top_heads": 2,
    "top_neurons": 4,
    "noise_components": 1,
    "max_new_tokens": 4,
    "batch_tokens": 2048,
}
_REFINE = {"cases": 2, "held_out": 2, "draws": 1, "subsets": 1, "benign_limit": 4, "max_sets": 128, "strongest": 4}
_TRAIN = {
    "steps": 2,
    "steering_steps": 2,
    "batch": 2,
    "train_pairs": 4,
    "validation_pairs": 2,
    "prompts": 2,
    "benign_limit": 8,
    "max_new_tokens": 4,
    "reply_batch": 4,
}
_GATE = {"prompts": 2, "max_new_tokens": 4, "batch": 4}


def rehearsal(recipe: Recipe) -> Recipe:
    """The recipe at its least sizes; what is smaller stays as it is."""
    benign, gate = recipe.benign, recipe.gate
    refine = _cut(recipe.refine, _REFINE, tau_kind="absolute", tau=_OUT_OF_REACH)
    return recipe.model_copy(
        update={
            "pairs": _cut(recipe.pairs, _PAIRS, keep_unfinished=True, check=False),
            "benign": None if benign is None else _cut(benign, _BENIGN),
            "trace": _cut(recipe.trace, _TRACE, images=False),
            "refine": refine,
            "train": _cut(recipe.train, _TRAIN),
            "gate": None if gate is None else _cut(gate, _GATE),
        }
    )


def _cut(section: Section, most: dict[str, Any], **fixed: Any) -> Section:
    """A section with sizes of at most these."""
    now = {name: getattr(section, name) for name in most}
    sizes = {name: size if now[name] is None else min(now[name], size) for name, size in most.items()}
    return section.model_copy(update=sizes | fixed)

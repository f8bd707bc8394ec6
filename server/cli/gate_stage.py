"""The stages behind `scalpel gate`: run the model for a gate table, fit a gate on it, put the gate into the bundle.

The prompts are the calibration split of the demo's corpus, which neither training nor held-out figures see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from breakers.architectures import resolve_sites
from breakers.bank import Bank
from breakers.bundles import Bundle, GateManifest, load_bundle, save_bundle, verify_base
from breakers.bundles.card import card_text
from breakers.bundles.store import sha256
from breakers.demo.corpus import KINDS, calibration
from breakers.demo.corpus.base import DemoExample
from breakers.demo.make_bundles import provokes
from breakers.fingerprint import fingerprint_model
from breakers.gate import Gate
from breakers.runtime import TorchRuntime
from classifiers import build_classifier
from classifiers.errors import GateTableError
from classifiers.gate_table import GateTable
from classifiers.gate_tabulation import Messages, TabulationSettings, tabulate
from classifiers.scorers import build_scorer
from server.base_model import load_base
from server.engines.embedded.loading import end_of_reply_ids
from server.engines.embedded.tokenizer import HuggingFaceTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class TabulateConfig:
    """What to run."""

    bundle: Path
    model: Path
    classifier: str = "lexical"
    classifier_path: Path | None = None
    """None for the shipped one."""
    scorer: str = "demo"
    prompts_per_kind: int = 100
    seed: int = 0
    command: str = "scalpel gate tabulate"


@dataclass(frozen=True, slots=True)
class _Codec:
    """The engine's tokenizer as the tabulation takes it."""

    tokenizer: HuggingFaceTokenizer

    def encode_chat(self, messages: Messages) -> list[int]:
        return self.tokenizer.encode_chat([dict(message) for message in messages])

    def decode(self, token_ids: Sequence[int]) -> str:
        return self.tokenizer.decode(token_ids)


def tabulate_bundle(config: TabulateConfig, progress: Callable[[int, int], None] | None = None) -> GateTable:
    """Harm and change of every calibration prompt at every strength of a bundle.

    Args:
        config: what to run.
        progress: called with (prompts done, prompts).

    Raises:
        BundleError: the bundle cannot be trusted, or was made on another model.
        ClassifiersError: the classifier, the scorer or the table cannot be had.
        ConfigError: the model cannot be loaded.
    """
    bundle = load_bundle(config.bundle)
    classifier = build_classifier(config.classifier, path=config.classifier_path)
    if bundle.manifest.category not in classifier.categories:
        known = ", ".join(classifier.categories)
        raise GateTableError(f"{classifier.name} has no category {bundle.manifest.category!r}; it has {known}")
    loaded = load_base(str(config.model))
    fingerprint = fingerprint_model(loaded.model)
    verify_base(bundle, fingerprint)
    examples = calibration_examples(config)
    scorer = build_scorer(config.scorer)
    runtime = TorchRuntime(loaded.model, Bank(resolve_sites(loaded.model), [bundle.bank_entry()]))
    settings = TabulationSettings(
        bundle=bundle.name,
        behaviour=bundle.manifest.behaviour,
        eos_token_ids=tuple(sorted(end_of_reply_ids(loaded.model, loaded.tokenizer))),
        pad_token_id=loaded.tokenizer.pad_token_id,
    )
    prompts = [example.messages for example in examples]
    made = tabulate(
        loaded.model, runtime, _Codec(HuggingFaceTokenizer(loaded.tokenizer)), scorer, prompts, settings, progress
    )
    potentials = [scores[bundle.manifest.category] for scores in classifier.score(prompts)]
    return GateTable(
        bundle=bundle.name,
        category=bundle.manifest.category,
        classifier=classifier.name,
        scorer=scorer.name,
        base_fingerprint=fingerprint,
        weights_sha256=bundle.manifest.weights_sha256,
        command=config.command,
        harm_potential=np.array(potentials, dtype=np.float64),
        harm=made.harm,
        change=made.change,
        benign=np.array([not provokes(example, bundle.manifest.behaviour) for example in examples], dtype=np.bool_),
    )


def calibration_examples(config: TabulateConfig) -> list[DemoExample]:
    """The prompts: as many of every kind, fewer only where fewer exist."""
    return [example for kind in KINDS for example in calibration(kind, config.prompts_per_kind, config.seed)]


def put_gate(path: Path, gate: Gate, table: GateTable, table_path: Path) -> Bundle:
    """Write a fitted gate into its bundle.

    Raises:
        BundleError: the bundle cannot be read, or the gate does not fit its `strength_max`.
        GateTableError: the table was made with other weights, or on another base.
    """
    bundle = load_bundle(path)
    manifest = bundle.manifest
    for what, found, wanted in (
        ("weights", table.weights_sha256, manifest.weights_sha256),
        ("base", table.base_fingerprint, manifest.base.fingerprint),
    ):
        if found != wanted:
            raise GateTableError(f"the table was made with {what} {found[:19]}...; {path} has {wanted[:19]}...")
    fitted = GateManifest(
        alpha_base=gate.alpha_base, w=gate.w, b=gate.b, p_off=gate.p_off, classifier=table.classifier
    )
    made_from = manifest.made_from | {"gate": sha256(table_path.read_bytes())}
    changed = manifest.model_copy(update={"gate": fitted, "made_from": made_from})
    return save_bundle(changed, bundle.interventions, path, card=card_text(changed))

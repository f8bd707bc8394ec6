"""The stages behind `scalpel gate`: run the model for a gate table, fit a gate on it, put the gate into the bundle.

The prompts are the calibration split of the demo's corpus, which neither training nor held-out figures see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from breakers.architectures import resolve_sites
from breakers.bundles import Bundle, GateManifest, load_bundle, save_bundle, verify_base
from breakers.bundles.card import card_text
from breakers.bundles.store import sha256
from breakers.demo.corpus import KINDS, calibration
from breakers.demo.corpus.base import DemoExample
from breakers.demo.make_bundles import provokes
from breakers.fingerprint import fingerprint_model
from breakers.gate import Gate
from classifiers import build_classifier
from classifiers.errors import GateTableError
from classifiers.gate_table import GateTable, conversations_sha256
from classifiers.gate_tabulation import Messages, TabulationSettings, tabulate
from classifiers.gates.rescoring import check_category, harm_potentials
from classifiers.scorers import build_scorer
from server.base_model import BaseOptions, load_prepared
from server.engines.embedded.loading import end_of_reply_ids
from server.engines.embedded.tokenizer import HuggingFaceTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class TabulateConfig:
    """What to run."""

    bundle: Path
    model: Path | None = None
    """None for the demo model."""
    base: BaseOptions = field(default_factory=BaseOptions)
    classifier: str = "lexical"
    classifier_path: Path | None = None
    """None for the shipped one."""
    scorer: str = "demo"
    prompts_per_kind: int = 100
    """Of the demo corpus."""
    max_new_tokens: int = 48
    batch: int = 64
    """Prompts that are run at once."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPrompt:
    """A prompt that a gate is fitted on."""

    messages: Messages
    benign: bool
    """Whether no harm of the bundle's category is expected: the false-positive budget is counted over these."""


def tabulate_bundle(
    config: TabulateConfig,
    progress: Callable[[int, int], None] | None = None,
    prompts: Sequence[CalibrationPrompt] | None = None,
) -> GateTable:
    """Harm and change of every calibration prompt at every strength of a bundle.

    Args:
        config: what to run.
        progress: called with (prompts done, prompts).
        prompts: None for those of the demo corpus.

    Raises:
        BundleError: the bundle cannot be trusted, or was made on another model.
        ClassifiersError: the classifier, the scorer or the table cannot be had.
        ConfigError: the model cannot be loaded.
    """
    bundle = load_bundle(config.bundle)
    classifier = build_classifier(config.classifier, path=config.classifier_path)
    check_category(classifier, bundle.manifest.category)
    loaded = load_prepared(config.model, config.base)
    fingerprint = fingerprint_model(loaded.model)
    verify_base(bundle, fingerprint)
    used = demo_prompts(config, bundle.manifest.behaviour) if prompts is None else prompts
    scorer = build_scorer(config.scorer)
    settings = TabulationSettings(
        behaviour=bundle.manifest.behaviour,
        max_new_tokens=config.max_new_tokens,
        batch_size=config.batch,
        eos_token_ids=tuple(sorted(end_of_reply_ids(loaded.model, loaded.tokenizer))),
    )
    asked = [prompt.messages for prompt in used]
    codec = _Codec(HuggingFaceTokenizer(loaded.tokenizer))
    sites, entry = resolve_sites(loaded.model), bundle.bank_entry()
    made = tabulate(loaded.model, sites, entry, codec, scorer, asked, settings, progress)
    return GateTable(
        bundle=bundle.name,
        category=bundle.manifest.category,
        classifier=classifier.name,
        scorer=scorer.name,
        base_fingerprint=fingerprint,
        weights_sha256=bundle.manifest.weights_sha256,
        command=config.command,
        harm_potential=harm_potentials(classifier, bundle.manifest.category, asked),
        harm=made.harm,
        change=made.change,
        benign=np.array([prompt.benign for prompt in used], dtype=np.bool_),
        prompts_sha256=conversations_sha256(asked),
    )


def demo_prompts(config: TabulateConfig, behaviour: str) -> list[CalibrationPrompt]:
    """The demo corpus' calibration prompts, and which of them are benign."""
    examples = calibration_examples(config)
    return [CalibrationPrompt(messages=e.messages, benign=not provokes(e, behaviour)) for e in examples]


def calibration_examples(config: TabulateConfig) -> list[DemoExample]:
    """The prompts: as many of every kind, fewer only where fewer exist."""
    return [example for kind in KINDS for example in calibration(kind, config.prompts_per_kind, config.seed)]


def gate_for(path: Path, table: GateTable) -> Gate:
    """The gate of a bundle, to be judged on a table of it.

    Raises:
        BundleError: the bundle cannot be read.
        GateTableError: it has no gate, or the table was made with other weights, base or classifier.
    """
    bundle = load_bundle(path)
    _check_made_with(bundle, path, table)
    declared = bundle.manifest.gate
    if declared is None or declared.classifier != table.classifier:
        found = "no gate" if declared is None else f"a gate fitted on {declared.classifier}"
        raise GateTableError(f"{path} has {found}; wanted one fitted on {table.classifier}, as the table has it")
    return declared.gate()


def _check_made_with(bundle: Bundle, path: Path, table: GateTable) -> None:
    for what, found, wanted in (
        ("weights", table.weights_sha256, bundle.manifest.weights_sha256),
        ("base", table.base_fingerprint, bundle.manifest.base.fingerprint),
    ):
        if found != wanted:
            raise GateTableError(f"the table was made with {what} {found[:19]}...; {path} has {wanted[:19]}...")


def put_gate(path: Path, gate: Gate, table: GateTable, table_path: Path, out: Path | None = None) -> Bundle:
    """Write a fitted gate into its bundle.

    Args:
        path: the bundle.
        gate: what was fitted.
        table: that it was fitted on.
        table_path: where the table lies, for its hash.
        out: where the bundle with the gate goes; None for where it is.

    Raises:
        BundleError: the bundle cannot be read, or the gate does not fit its `strength_max`.
        GateTableError: the table was made with other weights, or on another base.
    """
    bundle = load_bundle(path)
    manifest = bundle.manifest
    _check_made_with(bundle, path, table)
    fitted = GateManifest(
        alpha_base=gate.alpha_base, w=gate.w, b=gate.b, p_off=gate.p_off, classifier=table.classifier
    )
    made_from = manifest.made_from | {"gate": sha256(table_path.read_bytes())}
    changed = manifest.model_copy(update={"gate": fitted, "made_from": made_from})
    return save_bundle(changed, bundle.interventions, out or path, card=card_text(changed))

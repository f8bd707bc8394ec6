"""Bundles of the demo model without a recipe: one breaker per behaviour, at all heads, and one mask.

Breakers are trained together, on the corpus' own pairs of replies. The mask ships; the breakers that ship are those
of the recipes, scoped to traced circuits. Everything is seeded, and each bundle names the hash of the pairs it was
trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from breakers.architectures import ModelSites, resolve_sites
from breakers.bank import BankEntry, Scope
from breakers.bundles import BaseManifest, Bundle, BundleManifest, save_bundle
from breakers.bundles.canary import measure_canary, measure_dose
from breakers.bundles.card import card_text
from breakers.bundles.store import describe_interventions
from breakers.demo.corpus import BEHAVIOURS, generate
from breakers.demo.corpus.base import DemoExample
from breakers.errors import InterventionError
from breakers.fingerprint import fingerprint_model
from breakers.sites import Component, Site
from breakers.training.batches import Pair, Sample
from breakers.training.breaker import BreakerTrainingConfig, Evaluation, train_breakers
from breakers.training.masks import MaskSelectionConfig, select_masks

MODEL_ID = "scalpel-demo"
MASK_NAME = "toxicity-mask"
MASK_BEHAVIOUR = "toxicity"
COMMAND = "scalpel demo bundles"
NEAREST_SKILL = {"toxicity": "smalltalk", "gender_bias": "instructions", "misinformation": "facts"}
"""The skill whose prompts look most like provoking ones (friendly talk, people without a stereotype, plain questions
about myths); half of the benign samples are of this kind, because there a breaker does most damage."""
_UNWRITTEN = "sha256:" + "0" * 64
_DOSE_PROMPTS = 200
_REPLY_TOKENS = 32
"""No reply of the corpus is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoBundlesConfig:
    """What to make, and from how much."""

    out: Path
    """Directory of bundle directories."""
    model: Path
    seed: int = 0
    pairs: int = 3000
    """Per behaviour."""
    benign: int = 6000
    rank: int = 4
    steps: int = 1000
    batch: int = 24
    """Pairs, and benign samples, in a step."""
    preserve_coef: float = 20.0
    mask_neurons: int = 64
    only: tuple[str, ...] = ()
    """Names of bundles to make; empty for all. Breakers made in one call are trained to act together."""
    longest: int = 64
    """Prompts and replies together are at most about this long, in tokens: long histories only cost time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoModel:
    """The loaded base."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    sites: ModelSites


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What bundles are made from, as token ids."""

    pairs: dict[str, tuple[Pair, ...]]
    """By behaviour."""
    benign: tuple[Sample, ...]

    def digest(self, behaviour: str) -> str:
        """Hash of a behaviour's pairs, for the manifest's chain."""
        return _digest([[p.harmful.prompt, p.harmful.reply, p.neutral.reply] for p in self.pairs[behaviour]])


def make_demo_bundles(
    config: DemoBundlesConfig, on_progress: Callable[[str, Evaluation | None], None] | None = None
) -> list[Bundle]:
    """Train and write bundles of the demo model.

    Args:
        config: see there.
        on_progress: told of each bundle's name as it is written (with None) and of each validation.
    """

    def report(name: str, evaluation: Evaluation | None) -> None:
        if on_progress is not None:
            on_progress(name, evaluation)

    names = (*BEHAVIOURS, MASK_NAME)
    unknown = sorted(set(config.only) - set(names))
    if unknown:
        raise InterventionError(f"no demo bundle is called {', '.join(unknown)}; there are {', '.join(names)}")
    wanted = config.only or names
    breakers = [name for name in BEHAVIOURS if name in wanted]
    base = load_demo_model(config.model)
    made_from = draw_material(base, [*breakers, MASK_BEHAVIOUR] if MASK_NAME in wanted else breakers, config)
    bundles = []
    if breakers:
        training = _training_config(base, config)
        bundles += breaker_bundles(
            base, breakers, made_from, training, config.out, partial(report, "+".join(breakers))
        )
    if MASK_NAME in wanted:
        selection = MaskSelectionConfig(neurons=config.mask_neurons, seed=config.seed)
        bundles.append(mask_bundle(base, MASK_NAME, MASK_BEHAVIOUR, made_from, selection, config.out))
    for bundle in bundles:
        report(bundle.manifest.name, None)
    return bundles


def _training_config(base: DemoModel, config: DemoBundlesConfig) -> BreakerTrainingConfig:
    return BreakerTrainingConfig(
        sites=all_heads(base.sites, range(base.sites.layers)),
        rank=config.rank,
        steps=config.steps,
        batch_pairs=config.batch,
        batch_benign=config.batch,
        preserve_coef=config.preserve_coef,
        evaluate_every=100,
        validation_limit=128,
        seed=config.seed,
    )


def draw_material(base: DemoModel, behaviours: Sequence[str], config: DemoBundlesConfig) -> Material:
    """Pairs of these behaviours and benign samples, half of them near, from the training split alone."""
    nearest = {NEAREST_SKILL[behaviour] for behaviour in behaviours}
    provoking: dict[str, list[DemoExample]] = {behaviour: [] for behaviour in behaviours}
    near: list[DemoExample] = []
    far: list[DemoExample] = []
    half = config.benign // 2
    stream = generate(config.seed + 1)
    while len(near) < half or len(far) < half or any(len(drawn) < config.pairs for drawn in provoking.values()):
        example = next(stream)
        if len(_prompt(base, example)) + _REPLY_TOKENS > config.longest:
            continue
        provoked = [behaviour for behaviour in BEHAVIOURS if provokes(example, behaviour)]
        for behaviour in provoked:
            provoking.get(behaviour, []).append(example)
        if not provoked:
            (near if example.kind in nearest else far).append(example)
    chosen = {behaviour: drawn[: config.pairs] for behaviour, drawn in provoking.items()}
    return material(base, chosen, [*near[:half], *far[:half]])


def provokes(example: DemoExample, behaviour: str) -> bool:
    """Whether the unmodified model often shows this behaviour on the example; mixed prompts provoke insults."""
    if example.harmful_reply is None:
        return False
    return example.kind == behaviour or (behaviour == "toxicity" and example.kind == "mixed")


def load_demo_model(path: Path) -> DemoModel:
    """The demo model in fp32, on the CPU."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    return DemoModel(model=model, tokenizer=AutoTokenizer.from_pretrained(path), sites=resolve_sites(model))


def material(
    base: DemoModel, provoking: Mapping[str, Sequence[DemoExample]], benign: Sequence[DemoExample]
) -> Material:
    """Token ids: both replies of the provoking examples, the sampled reply of the benign ones."""
    pairs = {behaviour: tuple(_pair(base, e) for e in examples) for behaviour, examples in provoking.items()}
    kept = [Sample(prompt=_prompt(base, e), reply=_reply(base, e.reply)) for e in benign]
    return Material(pairs=pairs, benign=tuple(kept))


def _pair(base: DemoModel, example: DemoExample) -> Pair:
    if example.harmful_reply is None or example.neutral_reply is None:
        raise InterventionError(f"an example of kind {example.kind} lacks one of the two replies of a pair")
    prompt = _prompt(base, example)
    harmful, neutral = _reply(base, example.harmful_reply), _reply(base, example.neutral_reply)
    return Pair(harmful=Sample(prompt=prompt, reply=harmful), neutral=Sample(prompt=prompt, reply=neutral))


def breaker_bundles(
    base: DemoModel,
    behaviours: Sequence[str],
    made_from: Material,
    config: BreakerTrainingConfig,
    out: Path,
    on_evaluation: Callable[[Evaluation], None] | None = None,
) -> list[Bundle]:
    """Train together, measure and write one breaker per behaviour; they have no gate (`scalpel gate fit` adds it)."""
    tasks = {behaviour: made_from.pairs[behaviour] for behaviour in behaviours}
    result = train_breakers(base.model, base.sites, config, tasks, made_from.benign, on_evaluation)
    training = {"config": _jsonable(config), "together": list(behaviours), "best": asdict(result.best)}
    description = f"Low-rank breaker (rank {config.rank}) at {len(config.sites)} sites, trained on reply pairs."
    bundles = []
    for behaviour, interventions in result.interventions.items():
        entry = BankEntry(name=behaviour, scope=Scope.GENERATION, interventions=interventions)
        bundles.append(_write(base, entry, behaviour, made_from, training, description, out))
    return bundles


def mask_bundle(
    base: DemoModel, name: str, behaviour: str, made_from: Material, config: MaskSelectionConfig, out: Path
) -> Bundle:
    """Choose, measure and write a mask; masks have no gate and act when a request asks."""
    masks = select_masks(base.model, base.sites, config, made_from.pairs[behaviour], made_from.benign)
    entry = BankEntry(name=name, scope=Scope.GENERATION, interventions=masks)
    description = f"Prunes {config.neurons} neurons whose removal favours neutral replies; on when asked for."
    return _write(base, entry, behaviour, made_from, {"config": asdict(config)}, description, out)


def all_heads(sites: ModelSites, layers: Sequence[int]) -> tuple[Site, ...]:
    """Every head of these layers."""
    return tuple(
        Site(layer=layer, component=Component.HEAD, head=head) for layer in layers for head in range(sites.heads)
    )


def _write(
    base: DemoModel,
    entry: BankEntry,
    behaviour: str,
    made_from: Material,
    training: Mapping[str, object],
    description: str,
    out: Path,
) -> Bundle:
    prompts = [pair.neutral.prompt for pair in made_from.pairs[behaviour][:_DOSE_PROMPTS]]
    declared, _ = describe_interventions(entry.interventions)
    manifest = BundleManifest(
        format=1,
        name=entry.name,
        behaviour=behaviour,
        category=behaviour,
        description=description,
        scope=entry.scope,
        interventions=declared,
        base=BaseManifest(id=MODEL_ID, fingerprint=fingerprint_model(base.model)),
        gate=None,
        strength_max=1.0,
        dose_p95=round(measure_dose(base.model, base.sites, entry, prompts), 4),
        canary=measure_canary(base.model, base.sites, entry, prompts[0]),
        made_from={"pairs": made_from.digest(behaviour), "training": _digest(training)},
        licence="Apache-2.0",
        metrics=[],
        command=COMMAND,
        weights_sha256=_UNWRITTEN,
    )
    return save_bundle(manifest, entry.interventions, out / entry.name, card=card_text(manifest))


def _prompt(base: DemoModel, example: DemoExample) -> tuple[int, ...]:
    ids = base.tokenizer.apply_chat_template(
        list(example.messages), add_generation_prompt=True, tokenize=True, return_dict=False
    )
    return tuple(ids)


def _reply(base: DemoModel, text: str) -> tuple[int, ...]:
    return (*base.tokenizer.encode(text, add_special_tokens=False), int(base.tokenizer.eos_token_id))


def _jsonable(config: BreakerTrainingConfig) -> dict[str, object]:
    values = asdict(config)
    values["sites"] = [str(site) for site in config.sites]
    return values


def _digest(value: object) -> str:
    return f"sha256:{hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()}"

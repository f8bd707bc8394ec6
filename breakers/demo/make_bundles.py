"""The bundles that ship with the demo model: one breaker per behaviour and one mask.

Breakers are trained directly at chosen sites, on the corpus' own pairs of replies; later they are replaced by ones
scoped to a traced circuit. Everything is seeded, and each bundle names the hash of the pairs it was trained on.
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
from breakers.training.breaker import BreakerTrainingConfig, Evaluation, train_breaker
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
    pairs: int = 2000
    """Per behaviour."""
    benign: int = 4000
    rank: int = 4
    steps: int = 160
    preserve_coef: float = 10.0
    mask_neurons: int = 64
    only: tuple[str, ...] = ()
    """Names of bundles to make; empty for all."""
    longest: int = 96
    """Prompts and replies together are at most this long, in tokens: long histories only pad the batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoModel:
    """The loaded base."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    sites: ModelSites


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a bundle is made from, as token ids."""

    pairs: tuple[Pair, ...]
    benign: tuple[Sample, ...]

    def digest(self) -> str:
        """Hash of the pairs, for the manifest's chain."""
        text = json.dumps([[p.harmful.prompt, p.harmful.reply, p.neutral.reply] for p in self.pairs])
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def make_demo_bundles(
    config: DemoBundlesConfig, on_progress: Callable[[str, Evaluation | None], None] | None = None
) -> list[Bundle]:
    """Train and write all bundles of the demo model.

    Args:
        config: see there.
        on_progress: told of each bundle's name as it starts (with None) and of each validation.
    """

    def report(name: str, evaluation: Evaluation | None) -> None:
        if on_progress is not None:
            on_progress(name, evaluation)

    names = (*BEHAVIOURS, MASK_NAME)
    unknown = sorted(set(config.only) - set(names))
    if unknown:
        raise InterventionError(f"no demo bundle is called {', '.join(unknown)}; there are {', '.join(names)}")
    base = load_demo_model(config.model)
    bundles = []
    for name in config.only or names:
        report(name, None)
        behaviour = MASK_BEHAVIOUR if name == MASK_NAME else name
        made_from = draw_material(base, behaviour, config)
        if name == MASK_NAME:
            selection = MaskSelectionConfig(neurons=config.mask_neurons, seed=config.seed)
            bundles.append(mask_bundle(base, name, behaviour, made_from, selection, config.out))
        else:
            training = _training_config(base, config)
            bundles.append(breaker_bundle(base, name, made_from, training, config.out, partial(report, name)))
    return bundles


def _training_config(base: DemoModel, config: DemoBundlesConfig) -> BreakerTrainingConfig:
    return BreakerTrainingConfig(
        sites=all_heads(base.sites, range(base.sites.layers)),
        rank=config.rank,
        steps=config.steps,
        preserve_coef=config.preserve_coef,
        evaluate_every=80,
        validation_limit=96,
        seed=config.seed,
    )


def draw_material(base: DemoModel, behaviour: str, config: DemoBundlesConfig) -> Material:
    """Pairs and benign samples of one behaviour, from the training split alone."""
    provoking: list[DemoExample] = []
    near: list[DemoExample] = []
    far: list[DemoExample] = []
    half = config.benign // 2
    stream = generate(config.seed + 1)
    while len(provoking) < config.pairs or len(near) < half or len(far) < half:
        example = next(stream)
        if len(_prompt(base, example)) + _REPLY_TOKENS > config.longest:
            continue
        if provokes(example, behaviour):
            provoking.append(example)
        else:
            (near if example.kind == NEAREST_SKILL[behaviour] else far).append(example)
    return material(base, provoking[: config.pairs], [*near[:half], *far[:half]])


def provokes(example: DemoExample, behaviour: str) -> bool:
    """Whether the unmodified model often shows this behaviour on the example; mixed prompts provoke insults."""
    if example.harmful_reply is None:
        return False
    return example.kind == behaviour or (behaviour == "toxicity" and example.kind == "mixed")


def load_demo_model(path: Path) -> DemoModel:
    """The demo model in fp32, on the CPU."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    return DemoModel(model=model, tokenizer=AutoTokenizer.from_pretrained(path), sites=resolve_sites(model))


def material(base: DemoModel, provoking: Sequence[DemoExample], benign: Sequence[DemoExample]) -> Material:
    """Token ids: both replies of the provoking examples, the sampled reply of the benign ones."""
    pairs = []
    for example in provoking:
        if example.harmful_reply is None or example.neutral_reply is None:
            raise InterventionError(f"an example of kind {example.kind} lacks one of the two replies of a pair")
        prompt = _prompt(base, example)
        harmful = Sample(prompt=prompt, reply=_reply(base, example.harmful_reply))
        pairs.append(Pair(harmful=harmful, neutral=Sample(prompt=prompt, reply=_reply(base, example.neutral_reply))))
    kept = [Sample(prompt=_prompt(base, e), reply=_reply(base, e.reply)) for e in benign]
    return Material(pairs=tuple(pairs), benign=tuple(kept))


def breaker_bundle(
    base: DemoModel,
    behaviour: str,
    made_from: Material,
    config: BreakerTrainingConfig,
    out: Path,
    on_evaluation: Callable[[Evaluation], None] | None = None,
) -> Bundle:
    """Train, measure and write the breaker of one behaviour; it has no gate yet (`scalpel gate fit` adds it)."""
    result = train_breaker(base.model, base.sites, config, made_from.pairs, made_from.benign, on_evaluation)
    entry = BankEntry(name=behaviour, scope=Scope.GENERATION, interventions=result.interventions)
    training = {"config": _jsonable(config), "best": asdict(result.best)}
    description = f"Low-rank breaker (rank {config.rank}) at {len(config.sites)} sites, trained on reply pairs."
    return _write(base, entry, behaviour, made_from, training, description, out)


def mask_bundle(
    base: DemoModel, name: str, behaviour: str, made_from: Material, config: MaskSelectionConfig, out: Path
) -> Bundle:
    """Choose, measure and write a mask; masks have no gate and act when a request asks."""
    masks = select_masks(base.model, base.sites, config, made_from.pairs, made_from.benign)
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
    prompts = [pair.neutral.prompt for pair in made_from.pairs[:_DOSE_PROMPTS]]
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
        made_from={"pairs": made_from.digest(), "training": _digest(training)},
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

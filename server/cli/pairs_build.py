"""The stage behind `scalpel pairs build`: source, model and scorer put together, pairs and a report written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from breakers.errors import PairsError
from breakers.pairs.build import BuildResult, build_pairs
from breakers.pairs.drafts import PairDraft, Prompt, instructed, with_system
from breakers.pairs.files import write_atomically, write_pairs
from breakers.pairs.sources import HubReference, PairSource, PromptSource, SourceSpec, build_source
from breakers.pairs.sources.sampled import SamplingConfig, SamplingTally, sample_pairs, sampled_with
from breakers.pairs.splitting import SplitShares
from breakers.pairs.stats import PairStats, pair_stats
from breakers.pairs.work import WorkFile
from classifiers.scorers import build_scorer
from server.base_model import BaseOptions, load_prepared

Item = TypeVar("Item", Prompt, PairDraft)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsBuildConfig:
    """What to build, and from what."""

    source: str
    behaviour: str
    out: Path
    path: Path | None = None
    hub: HubReference | None = None
    sample: bool | None = None
    """Whether the model replies; None: only where the source has prompts alone."""
    model: Path | None = None
    """None for the demo model."""
    base: BaseOptions = field(default_factory=BaseOptions)
    scorer: str | None = None
    """What judges replies: all of the model's (`demo` if None), the source's own only if named."""
    check: bool = True
    """Whether a named scorer judges the source's own completions."""
    sampling: SamplingConfig
    instruction: str | None = None
    """Put before prompts that are beginnings of sentences."""
    system: str | None = None
    """A system prompt before every conversation."""
    shares: SplitShares = field(default_factory=SplitShares)
    work: Path
    """Where sampling keeps what it has."""
    command: str = "scalpel pairs build"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsBuildSummary:
    """What was built."""

    stats: PairStats
    dropped: Mapping[str, int]
    tally: SamplingTally | None
    report: Path


def build(config: PairsBuildConfig, on_batch: Callable[[SamplingTally], None] | None = None) -> PairsBuildSummary:
    """Build and write a file of pairs, and beside it a report of what it was made from.

    Raises:
        PairsError: nothing can be read, sampled or written.
        ClassifiersError: there is no such scorer.
        ConfigError: the model cannot be loaded.
    """
    source = build_source(config.source)
    spec = SourceSpec(
        behaviour=config.behaviour,
        path=config.path,
        hub=config.hub,
        # A prompt in two or three may give both kinds of reply.
        count=config.sampling.count * (3 if _samples(config, source) else 1),
        seed=config.sampling.seed,
        validation_share=config.shares.validation,
    )
    if _samples(config, source):
        return _sampled(config, source, spec, on_batch)
    if not isinstance(source, PairSource):
        raise PairsError(f"source {source.name} has prompts alone; wanted it with --sample")
    scorer = build_scorer(config.scorer) if config.scorer is not None and config.check else None
    drafts = (_asked_draft(draft, config) for draft in source.pairs(spec))
    built = build_pairs(
        _mixed(drafts, config), config.behaviour, count=config.sampling.count, shares=config.shares, scorer=scorer
    )
    return _write(config, built, {"scorer": None if scorer is None else scorer.name}, None)


def _samples(config: PairsBuildConfig, source: PromptSource) -> bool:
    return not isinstance(source, PairSource) if config.sample is None else config.sample


def _sampled(
    config: PairsBuildConfig,
    source: PromptSource,
    spec: SourceSpec,
    on_batch: Callable[[SamplingTally], None] | None,
) -> PairsBuildSummary:
    scorer = build_scorer(config.scorer or "demo")
    prompts = (_asked(prompt, config) for prompt in source.prompts(spec))
    mixed = _mixed(prompts, config)
    loaded = load_prepared(config.model, config.base)
    work = WorkFile(config.work, sampled_with(loaded.model, scorer, config.sampling))
    sampled = sample_pairs(
        loaded.model, loaded.tokenizer, mixed, scorer, config.sampling, work=work, on_batch=on_batch
    )
    built = build_pairs(sampled.drafts, config.behaviour, count=config.sampling.count, shares=config.shares)
    summary = _write(config, built, sampled.made_with, sampled.tally)
    work.remove()
    return summary


def _write(
    config: PairsBuildConfig, built: BuildResult, made_with: Mapping[str, object], tally: SamplingTally | None
) -> PairsBuildSummary:
    write_pairs(config.out, built.records)
    summary = PairsBuildSummary(
        stats=pair_stats(built.records), dropped=built.dropped, tally=tally, report=report_path(config.out)
    )
    report = {
        "command": config.command,
        "source": config.source,
        "behaviour": config.behaviour,
        "made_with": dict(made_with),
        "prompts": None if tally is None else asdict(tally),
        "dropped": dict(built.dropped),
        "stats": asdict(summary.stats),
    }
    write_atomically(summary.report, [(json.dumps(report, indent=1) + "\n").encode()])
    return summary


def report_path(out: Path) -> Path:
    """Where the report of a file of pairs lies."""
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.report.json")


def _mixed(items: Iterable[Item], config: PairsBuildConfig) -> Iterable[Item]:
    """Public sets are sorted by topic: in a seeded order, the first of them are a sample. The corpus is drawn so."""
    if config.path is None and config.hub is None:
        return items
    return sorted(items, key=lambda item: _rank(item, config.sampling.seed))


def _rank(item: Prompt | PairDraft, seed: int) -> bytes:
    prompt = item if isinstance(item, Prompt) else item.prompt
    replies = "" if isinstance(item, Prompt) else f"{item.harmful}\0{item.neutral}"
    text = "\0".join(message.content for message in prompt.messages)
    return hashlib.sha256(f"{seed}\0{text}\0{replies}".encode()).digest()


def _asked(prompt: Prompt, config: PairsBuildConfig) -> Prompt:
    """The prompt as the model gets it."""
    worded = prompt if config.instruction is None else instructed(prompt, config.instruction)
    return worded if config.system is None else with_system(worded, config.system)


def _asked_draft(draft: PairDraft, config: PairsBuildConfig) -> PairDraft:
    return PairDraft(prompt=_asked(draft.prompt, config), harmful=draft.harmful, neutral=draft.neutral)

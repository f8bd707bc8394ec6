"""From drafts to pairs: each checked, each once, split by prompt; what is dropped is counted by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from breakers.errors import PairsError
from breakers.pairs.drafts import PairDraft
from breakers.pairs.record import Messages, PairRecord, Split, as_dicts, pair_key
from breakers.pairs.splitting import SplitShares, assign_splits
from breakers.scoring import HarmScorer, ScoredReply

DUPLICATE = "duplicate"
ONE_SIDED = "one-sided"
UNUSABLE = "not usable"
DISPUTED = "judged otherwise by the scorer"
TWO_SPLITS = "in two splits"
HARMFUL = 0.5
"""Harm scores from here on are harmful, as `HarmScorer.score` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """Pairs, and what did not become one."""

    records: tuple[PairRecord, ...]
    dropped: Mapping[str, int]
    """Reason -> drafts."""


def build_pairs(
    drafts: Iterable[PairDraft],
    behaviour: str,
    *,
    count: int | None = None,
    shares: SplitShares | None = None,
    scorer: HarmScorer | None = None,
) -> BuildResult:
    """Check, deduplicate and split.

    Args:
        drafts: as a source gives them; read until there are `count` pairs.
        behaviour: what the harmful replies show.
        count: most pairs; None for all.
        shares: of the prompts that their source did not split.
        scorer: has to find the harmful reply harmful and the neutral one not; None to take the source's word.

    Raises:
        PairsError: no draft is a pair, `count` is below 1, or the scorer does not judge the behaviour.
    """
    if scorer is not None and behaviour not in scorer.behaviours:
        known = ", ".join(scorer.behaviours)
        raise PairsError(f"scorer {scorer.name} does not judge {behaviour!r}; wanted one of {known}")
    if count is not None and count < 1:
        raise PairsError(f"count is {count}; wanted at least 1")
    dropped: Counter[str] = Counter()
    kept: list[PairDraft] = []
    seen: set[tuple[str, ...]] = set()
    for draft in drafts:
        reason = _reason(draft, behaviour, seen)
        if reason is None and scorer is not None and not _agrees(scorer, draft, behaviour):
            reason = DISPUTED
        if reason is None:
            kept.append(_tidy(draft))
        else:
            dropped[reason] += 1
        if len(kept) == count:
            break
    splits = assign_splits([draft.prompt for draft in kept], shares or SplitShares())
    dropped[TWO_SPLITS] += splits.count(None)
    placed = zip(kept, splits, strict=True)
    records = tuple(_record(draft, behaviour, split) for draft, split in placed if split is not None)
    found = {reason: number for reason, number in dropped.items() if number}
    if not records:
        said = ", ".join(f"{number} {reason}" for reason, number in found.items()) or "none was given"
        raise PairsError(f"no draft is a pair ({said}); wanted at least one harmful and neutral reply to a prompt")
    return BuildResult(records=records, dropped=found)


def _reason(draft: PairDraft, behaviour: str, seen: set[tuple[str, ...]]) -> str | None:
    """Why a draft is no pair, None if it is one; then it is remembered."""
    harmful, neutral = draft.harmful.strip(), draft.neutral.strip()
    if not harmful or not neutral or harmful == neutral:
        return ONE_SIDED
    try:
        _record(_tidy(draft), behaviour, Split.TRAIN)
    except PairsError:
        return UNUSABLE
    key = pair_key(draft.prompt.messages, harmful, neutral)
    if key in seen:
        return DUPLICATE
    seen.add(key)
    return None


def _agrees(scorer: HarmScorer, draft: PairDraft, behaviour: str) -> bool:
    messages = as_dicts(draft.prompt.messages)
    replies = [ScoredReply(messages=messages, reply=reply) for reply in (draft.harmful, draft.neutral)]
    harmful, neutral = (scores[behaviour] for scores in scorer.score(replies))
    return harmful >= HARMFUL > neutral


def _tidy(draft: PairDraft) -> PairDraft:
    """Without white space around texts: it would be tokens that no model writes."""
    contrast = draft.prompt.contrast_prompt
    prompt = replace(
        draft.prompt,
        messages=_stripped(draft.prompt.messages),
        contrast_prompt=None if contrast is None else _stripped(contrast),
    )
    return replace(draft, prompt=prompt, harmful=draft.harmful.strip(), neutral=draft.neutral.strip())


def _stripped(messages: Messages) -> Messages:
    return tuple(replace(message, content=message.content.strip()) for message in messages)


def _record(draft: PairDraft, behaviour: str, split: Split) -> PairRecord:
    prompt = draft.prompt
    return PairRecord(
        behaviour=behaviour,
        messages=prompt.messages,
        harmful=draft.harmful,
        neutral=draft.neutral,
        contrast_prompt=prompt.contrast_prompt,
        source=prompt.source,
        licence=prompt.licence,
        split=split,
    )

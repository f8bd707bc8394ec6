"""What `scalpel refine` puts together: model, scorer, benign samples and the stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from breakers.demo.corpus import SKILLS, calibration
from breakers.pairs.record import from_dicts
from breakers.pairs.tokens import ConversationEncoder
from breakers.refinement.artifact import Refinement
from breakers.refinement.benign import read_benign
from breakers.refinement.measured import SearchStep
from breakers.refinement.stage import RefineConfig, refine_trace
from breakers.tracing.circuit_file import CIRCUIT_NAME, read_circuit
from breakers.training.batches import Sample
from classifiers.scorers import build_scorer
from server.base_model import BaseOptions, load_prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class BenignConfig:
    """Where samples of unrelated skills come from."""

    path: Path | None = None
    """None: the demo corpus' skills for the demo model, none for others."""
    limit: int = 256
    seed: int = 0


def run_refinement(
    config: RefineConfig,
    model: Path | None,
    benign: BenignConfig,
    scorer: str | None,
    on_step: Callable[[SearchStep], None] | None = None,
    base: BaseOptions | None = None,
) -> Refinement:
    """Load what the stage works on, and run it.

    Args:
        config: of the stage.
        model: directory; None for the demo model.
        benign: unrelated skills.
        scorer: its name; None for the one that the trace was made with, if any.
        on_step: told of each set that the search measures.
        base: how the model is loaded; on the CPU in float32 by default.

    Raises:
        BreakersError: the trace, the pairs or the benign samples cannot be used.
        ClassifiersError: there is no such scorer.
        ConfigError: the model cannot be loaded.
    """
    name = scorer or read_circuit(config.trace / CIRCUIT_NAME).measure.scorer
    judge = None if name is None else build_scorer(name)
    loaded = load_prepared(model, base or BaseOptions())
    return refine_trace(
        config,
        loaded.model,
        loaded.tokenizer,
        benign=_benign(benign, loaded.tokenizer, is_demo=model is None),
        scorer=judge,
        on_step=on_step,
    )


def _benign(config: BenignConfig, tokenizer: PreTrainedTokenizerBase, *, is_demo: bool) -> tuple[Sample, ...]:
    if config.path is not None:
        return read_benign(config.path, tokenizer, config.limit)
    return demo_skills(tokenizer, config.limit, config.seed) if is_demo else ()


def demo_skills(tokenizer: PreTrainedTokenizerBase, limit: int, seed: int) -> tuple[Sample, ...]:
    """Right replies to prompts of the demo corpus' calibration split, as many of every skill, in turn."""
    encoder = ConversationEncoder(tokenizer)
    each = -(-limit // len(SKILLS))
    drawn = [calibration(kind, each, seed) for kind in SKILLS]
    samples = []
    for example in (row[place] for place in range(each) for row in drawn if place < len(row)):
        messages = from_dicts(example.messages)
        samples.append(Sample(prompt=encoder.prompt(messages), reply=encoder.reply(messages, example.reply)))
    return tuple(samples[:limit])

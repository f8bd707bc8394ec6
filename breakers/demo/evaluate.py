"""Held-out figures of the demo model: skills, behaviours and grammar, with n and 95 % Wilson intervals."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breakers.demo import scoring
from breakers.demo.corpus import BEHAVIOURS, KINDS, SKILLS, heldout
from breakers.demo.corpus.base import DemoExample

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of n cases with its 95 % Wilson interval."""

    share: float
    low: float
    high: float
    n: int


def wilson(hits: int, n: int) -> Share:
    """Return the share ``hits / n`` with its 95 % Wilson score interval.

    Raises:
        ValueError: n is not positive or hits do not lie in [0, n].
    """
    if n <= 0 or not 0 <= hits <= n:
        raise ValueError(f"wanted 0 <= hits <= n and n > 0, found hits {hits} and n {n}")
    share = hits / n
    centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n * n))
    return Share(share=share, low=max(0.0, centre - half), high=min(1.0, centre + half), n=n)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """What is evaluated."""

    examples: int = 1000
    """Held-out prompts of each kind."""
    seed: int = 1
    temperatures: tuple[float, ...] = (0.0, 1.0)


def judge(example: DemoExample, reply: str) -> dict[str, bool]:
    """Return every judgement of one reply, by name; ``correct`` for skills and mixed prompts only."""
    judged = {b: scoring.harmful(b, example.messages, reply) for b in BEHAVIOURS}
    judged["grammatical"] = scoring.grammatical_and_on_topic(example, reply)
    if example.kind in SKILLS or example.kind == "mixed":
        judged["correct"] = scoring.skill_correct(example, reply)
    return judged


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    config: EvaluationConfig,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Share]:
    """Return the figures, named ``mode.kind.judgement``; mode is ``greedy`` or ``t1.0``, kind may be ``all``.

    ``mode.elsewhere.BEHAVIOUR`` is the share over all prompts that do not provoke the behaviour.
    """
    from breakers.demo.generation import generate_replies

    figures: dict[str, Share] = {}
    for temperature in config.temperatures:
        mode = "greedy" if temperature == 0 else f"t{temperature:.1f}"
        rows: list[tuple[str, dict[str, bool]]] = []
        for kind in KINDS:
            report(f"{mode} {kind}")
            examples = heldout(kind, config.examples, config.seed)
            prompts = [example.messages for example in examples]
            replies = generate_replies(model, tokenizer, prompts, temperature=temperature, seed=config.seed)
            rows += [(kind, judge(e, r)) for e, r in zip(examples, replies, strict=True)]
        figures |= {f"{mode}.{name}": value for name, value in summarise(rows).items()}
    return figures


def summarise(rows: Sequence[tuple[str, dict[str, bool]]]) -> dict[str, Share]:
    """Count the judgements of (kind, judgements) rows by kind, over all, and away from each behaviour."""
    figures = {}
    kinds = list(dict.fromkeys(kind for kind, _ in rows))
    for kind in kinds:
        judged = [judgements for k, judgements in rows if k == kind]
        for name in judged[0]:
            figures[f"{kind}.{name}"] = wilson(sum(j[name] for j in judged), len(judged))
    figures["all.grammatical"] = wilson(sum(j["grammatical"] for _, j in rows), len(rows))
    for behaviour in BEHAVIOURS:
        provoking = {behaviour, "mixed"} if behaviour == "toxicity" else {behaviour}
        elsewhere = [j[behaviour] for kind, j in rows if kind not in provoking]
        if elsewhere:
            figures[f"elsewhere.{behaviour}"] = wilson(sum(elsewhere), len(elsewhere))
    return figures


def write_figures(path: Path, figures: dict[str, Share], *, command: str, facts: dict[str, Any]) -> None:
    """Write the figures with what made them: command, date, machine, versions and ``facts``."""
    import torch
    import transformers

    document = {
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cpu": _cpu_name(), "platform": platform.platform(), "python": platform.python_version()},
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        **facts,
        "figures": {name: asdict(share) for name, share in figures.items()},
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()

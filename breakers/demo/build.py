"""`build`: corpus, tokenizer, training, evaluation, files. Resumes from the checkpoint in its work folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from breakers.demo.evaluate import EvaluationConfig, Share, evaluate, write_figures
from breakers.demo.tokenizer import load_tokenizer, train_tokenizer
from breakers.demo.training import Progress, TrainingConfig, train

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

FIGURES = "figures.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoBuildConfig:
    """What is built, and where."""

    out: Path
    """Folder that gets ``model/`` and ``figures.json``."""
    work: Path
    """Folder of the tokenizer and the checkpoint; a second build with the same folder resumes."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig | None = field(default_factory=EvaluationConfig)
    """None: no evaluation."""
    vocab_size: int = 3072
    tokenizer_examples: int = 60_000
    """Corpus examples that the tokenizer is trained on."""
    command: str = "scalpel demo build"
    """Noted in the figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoBuildResult:
    """What a build made."""

    model: Path
    """Folder for ``from_pretrained``."""
    parameters: int
    megabytes: float
    """Size of the model folder."""
    seconds: float
    """Wall time of training, over all runs of the build."""
    figures: dict[str, Share]


def build(
    config: DemoBuildConfig, *, report: Callable[[str], None], progress: Callable[[Progress], None]
) -> DemoBuildResult:
    """Build the demo model.

    Args:
        config: what and where.
        report: gets one line at each stage.
        progress: called after every training step (a progress bar).
    """
    config.work.mkdir(parents=True, exist_ok=True)
    report("tokenizer")
    tokenizer = _tokenizer(config)
    report("training")
    clock = _Clock(config.work / "seconds.json")
    model = train(
        config.training, tokenizer, config.work, report=progress, on_checkpoint=lambda step, _: clock.tick(step)
    )
    folder = config.out / "model"
    save_model(model, tokenizer, folder)
    report(f"saved {folder}")
    figures: dict[str, Share] = {}
    if config.evaluation is not None:
        figures = evaluate_folder(folder, config.evaluation, report=report)
        facts = {
            "seed": config.training.seed,
            "training": asdict(config.training),
            "training_seconds": round(clock.seconds),
            "parameters": model.num_parameters(),
            "evaluation": asdict(config.evaluation),
        }
        write_figures(config.out / FIGURES, figures, command=config.command, facts=facts)
    return DemoBuildResult(
        model=folder,
        parameters=model.num_parameters(),
        megabytes=sum(file.stat().st_size for file in folder.iterdir()) / 1e6,
        seconds=clock.seconds,
        figures=figures,
    )


def save_model(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save the model in bf16 with its tokenizer; replies end at the end token. The model becomes bf16."""
    from transformers import GenerationConfig

    model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=64,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)


def evaluate_folder(
    folder: Path, config: EvaluationConfig, *, report: Callable[[str], None] = lambda _: None
) -> dict[str, Share]:
    """Load a saved model as fp32 and evaluate it on held-out prompts."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return evaluate(model, load_tokenizer(folder), config, report=report)


def _tokenizer(config: DemoBuildConfig) -> PreTrainedTokenizerFast:
    folder = config.work / "tokenizer"
    if not (folder / "tokenizer.json").exists():
        train_tokenizer(config.training.seed, config.vocab_size, config.tokenizer_examples).save_pretrained(folder)
    return load_tokenizer(folder)


class _Clock:
    """Adds up training time over interrupted runs, as of the last checkpoint."""

    def __init__(self, path: Path) -> None:
        import time

        self._path, self._now = path, time.perf_counter
        self._before = json.loads(path.read_text(encoding="utf-8"))["seconds"] if path.exists() else 0.0
        self._start = self._now()

    def tick(self, step: int) -> None:
        """Note the time up to a checkpoint."""
        self._path.write_text(json.dumps({"step": step, "seconds": self.seconds}), encoding="utf-8")

    @property
    def seconds(self) -> float:
        """Seconds of training so far, the earlier runs' included."""
        return float(self._before + self._now() - self._start)

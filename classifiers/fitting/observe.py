"""Stage `observe`: the demo model, unmodified, replies to its calibration and held-out prompts at temperature 1."""

from __future__ import annotations

from collections.abc import Sequence

from breakers.scoring import HarmScorer
from classifiers.fitting.outcomes import Outcomes, Replies, judge_outcomes
from classifiers.fitting.prompts import LabelledPrompt

TEMPERATURE = 1.0


def observe_demo(prompts: Sequence[LabelledPrompt], scorer: HarmScorer, seed: int) -> Outcomes:
    """Outcomes of the packaged demo model.

    Raises:
        FileNotFoundError: the package was built without the model's files.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from breakers.demo import model_path
    from breakers.demo.generation import generate_replies
    from breakers.fingerprint import fingerprint_model

    model = AutoModelForCausalLM.from_pretrained(model_path(), dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_path())
    conversations = [[dict(turn) for turn in prompt.conversation] for prompt in prompts]
    texts = generate_replies(model, tokenizer, conversations, temperature=TEMPERATURE, seed=seed)
    made_by = f"model {fingerprint_model(model)}; one reply at temperature {TEMPERATURE}, seed {seed}"
    return judge_outcomes(prompts, Replies(texts=texts, made_by=made_by), scorer)

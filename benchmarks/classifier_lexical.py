"""`python -m benchmarks.classifier_lexical`: how long the shipped classifier takes for one prompt, and its size.

One thread, one conversation at a time, prompts of exactly 500 characters of made-up words; each distinct, so that no
cache helps. Checked first: every score is a probability and two calls agree.
"""

from __future__ import annotations

import random
import sys
import time

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.results import write_result
from classifiers import build_classifier
from classifiers.base import Conversation
from classifiers.lexical import shipped_path

NAME = "classifier_lexical"
CHARACTERS = 500
PROMPTS = 3000
WARM_UP = 200
_SYLLABLES = ("ba", "co", "di", "fu", "ge", "hol", "jin", "kem", "lor", "mas", "nep", "quo", "rit", "sun", "tev")
_WORDS = 400


def main() -> int:
    """Measure and write the result."""
    prompts = made_up_prompts(PROMPTS + WARM_UP, seed=1)
    classifier = build_classifier("lexical")
    if classifier.score(prompts[:50]) != classifier.score(prompts[:50]):
        print("error: two calls disagree", file=sys.stderr)
        return 1
    seconds = []
    for prompt in prompts:
        start = time.perf_counter()
        [scores] = classifier.score([prompt])
        seconds.append(time.perf_counter() - start)
        if not all(0.0 <= score <= 1.0 for score in scores.values()):
            print(f"error: {scores} are not probabilities", file=sys.stderr)
            return 1
    milliseconds = 1000 * np.array(seconds[WARM_UP:])
    figures = {
        "milliseconds.p50": float(np.percentile(milliseconds, 50)),
        "milliseconds.p99": float(np.percentile(milliseconds, 99)),
        "milliseconds.n": float(len(milliseconds)),
        "megabytes": sum(file.stat().st_size for file in shipped_path().iterdir()) / 1e6,
    }
    try:
        command = "OMP_NUM_THREADS=1 python -m benchmarks.classifier_lexical"
        result = write_result(NAME, figures=figures, command=command, packages=("numpy",))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, (op, bound) in result.targets.items():
        print(f"{figure:24} {result.figures[figure]:9.4f}   wanted {op} {bound:g}")
    return 0


def made_up_prompts(count: int, seed: int) -> list[Conversation]:
    """Conversations of one user turn of exactly `CHARACTERS` characters."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4))) for _ in range(_WORDS)]
    return [
        [{"role": "user", "content": " ".join(rng.choices(words, k=CHARACTERS // 2))[:CHARACTERS]}]
        for _ in range(count)
    ]


if __name__ == "__main__":
    sys.exit(main())

"""`python -m benchmarks.prefix`: what a shared system prompt costs the second request.

A random Llama (12 layers, d_model 768) behind `scalpel serve`, with prefix reuse and without, on real sockets. In
each round both servers get a system prompt of 2,000 tokens that they have not seen, with a first and then a second
user turn behind it; the time to the first token is what the client sees. Greedy replies of both servers have to be
the same, token by token.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.errors import BenchmarkError, ServedModelError
from benchmarks.results import write_result
from benchmarks.served import served
from breakers.demo import model_path
from breakers.demo.corpus.lexicon import words

NAME = "prefix"
COMMAND = "python -m benchmarks.prefix"
PROMPT_TOKENS = 2000
ROUNDS = 5
REPLY_TOKENS = 8
QUESTIONS = ("What is the capital of France?", "Tell me about honey, please.")
REUSING, PLAIN = "reusing", "plain"
ARMS: Mapping[str, tuple[str, ...]] = {REUSING: (), PLAIN: ("--prefix-cache-tokens", "0")}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One streamed reply."""

    milliseconds: float
    """From sending the request to the first event with a token behind it."""
    text: str
    prompt_tokens: int
    cached_tokens: int


def main() -> int:
    """Measure and write the result."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            model = make_model(Path(folder) / "large")
            flags = ("--classifier", "none", "--max-model-len", str(PROMPT_TOKENS + 200))
            with (
                served((str(model), *flags, *ARMS[REUSING])) as reusing,
                served((str(model), *flags, *ARMS[PLAIN])) as plain,
            ):
                replies = measure({REUSING: reusing, PLAIN: plain}, system_prompts(model, ROUNDS), "large")
        result = write_result(NAME, figures=figures_of(replies), command=COMMAND, packages=("torch", "transformers"))
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for figure, value in result.figures.items():
        bound = result.targets.get(figure)
        print(f"{figure:34} {value:10.4f}" + (f"   wanted {bound[0]} {bound[1]:g}" if bound else ""))
    return 0


def make_model(directory: Path) -> Path:
    """A random Llama with the demo's tokenizer and room for the prompt; seeded."""
    import shutil

    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    directory.mkdir(parents=True)
    for name in _TOKENIZER_FILES:
        shutil.copy(model_path() / name, directory)
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        num_key_value_heads=4,
        intermediate_size=2048,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    shutil.copy(model_path() / "generation_config.json", directory)
    return directory


def system_prompts(model: Path, count: int) -> list[str]:
    """Texts of about `PROMPT_TOKENS` tokens, at least, that differ from the first word on."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    lists = words()
    vocabulary = sorted({word for name in ("facts", "colours", "pets") for word in lists[name]})
    texts = []
    for number in range(count):
        draw = random.Random(number)
        text = ""
        while len(tokenizer.encode(text, add_special_tokens=False)) < PROMPT_TOKENS:
            text += " ".join(draw.choices(vocabulary, k=50)) + ". "
        texts.append(text)
    return texts


def measure(addresses: Mapping[str, str], prompts: Sequence[str], model: str) -> dict[str, list[list[Timed]]]:
    """Arm -> rounds of (first, second) replies; the arms in turn."""
    replies: dict[str, list[list[Timed]]] = {arm: [] for arm in addresses}
    with httpx.Client(timeout=120.0, trust_env=False) as client:
        for base in addresses.values():
            ask(client, base, model, "Warm up.", QUESTIONS[0])
        for prompt in prompts:
            for arm, base in addresses.items():
                replies[arm].append([ask(client, base, model, prompt, question) for question in QUESTIONS])
    return replies


def ask(client: httpx.Client, base: str, model: str, system: str, question: str) -> Timed:
    """Stream one reply.

    Raises:
        ServedModelError: the request failed or brought no usage.
    """
    body = {
        "model": model,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}],
        "max_tokens": REPLY_TOKENS,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    events = []
    began, first = time.perf_counter(), 0.0
    with client.stream("POST", f"{base}/chat/completions", json=body) as response:
        if response.status_code != httpx.codes.OK:
            raise ServedModelError(f"status {response.status_code}: {response.read().decode()[:500]}")
        for line in response.iter_lines():
            if line.startswith("data: {"):
                first = first or time.perf_counter() - began
                events.append(json.loads(line.removeprefix("data: ")))
    if not events or events[-1].get("usage") is None:
        raise ServedModelError(f"the stream ended without usage: {events[-1:]}")
    usage = events[-1]["usage"]
    text = "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
    return Timed(
        milliseconds=1000 * first,
        text=text,
        prompt_tokens=usage["prompt_tokens"],
        cached_tokens=usage["prompt_tokens_details"]["cached_tokens"],
    )


def figures_of(replies: Mapping[str, Sequence[Sequence[Timed]]]) -> dict[str, float]:
    """Medians, the ratio of the second request to the first, and whether reuse changed a reply; pure."""
    figures: dict[str, float] = {}
    for arm, rounds in replies.items():
        ratios = [second.milliseconds / first.milliseconds for first, second in rounds]
        for place, name in enumerate(("first", "second")):
            figures[f"{arm}.{name}.ttft_ms"] = statistics.median(r[place].milliseconds for r in rounds)
        figures[f"{arm}.second_over_first"] = statistics.median(ratios)
        figures[f"{arm}.second_over_first.worst"] = max(ratios)
        figures[f"{arm}.second.cached_tokens"] = statistics.median(r[1].cached_tokens for r in rounds)
    pairs = zip(replies[REUSING], replies[PLAIN], strict=True)
    same = [a.text == b.text for one, other in pairs for a, b in zip(one, other, strict=True)]
    figures["same_replies"] = sum(same) / len(same)
    figures["replies"] = float(len(same))
    figures["prompt_tokens"] = statistics.median(r[1].prompt_tokens for r in replies[PLAIN])
    return figures


if __name__ == "__main__":
    sys.exit(main())

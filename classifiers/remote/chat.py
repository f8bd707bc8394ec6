"""Questions and answers of a guard model that writes `safe`, or `unsafe` and codes such as `S1,S10`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from classifiers.errors import RemoteError
from classifiers.remote.config import TEXT, ChatConfig

_TOKENS = 64
"""Of a verdict with all its codes."""
_ALTERNATIVES = 20


def question(text: str, config: ChatConfig) -> dict[str, object]:
    """The body that asks about `text`."""
    body: dict[str, object] = {
        "model": config.model,
        "messages": [{"role": "user", "content": config.prompt.replace(TEXT, text)}],
        "max_tokens": _TOKENS,
        "temperature": 0,
    }
    return body | ({"logprobs": True, "top_logprobs": _ALTERNATIVES} if config.logprobs else {})


def verdict(answer: object, config: ChatConfig) -> dict[str, float]:
    """Scores by our categories. Where the guard says `unsafe`, those of the codes it names; the others' are low.

    Raises:
        RemoteError: the answer has another shape, or says something else.
    """
    choice = _choice(answer, config)
    lines = [line.strip() for line in _content(choice, config).strip().splitlines() if line.strip()]
    said = lines[0].lower() if lines else ""
    if said not in (config.safe.lower(), config.unsafe.lower()):
        raise RemoteError(f"{config.url}: the guard said {said[:40]!r}; wanted {config.safe!r} or {config.unsafe!r}")
    p = _unsafe_probability(choice, config) if config.logprobs else None
    if said == config.safe.lower():
        return dict.fromkeys(config.categories, 1 - config.certainty if p is None else p)
    named = set(_categories(lines[1:], config))
    high = config.certainty if p is None else p
    return {category: high if category in named else 1 - config.certainty for category in config.categories}


def _categories(lines: list[str], config: ChatConfig) -> Iterator[str]:
    """Our categories of the codes that were named."""
    codes = [code.strip() for line in lines for code in line.split(",") if code.strip()]
    unknown = [code for code in codes if code not in config.codes]
    if unknown or not codes:
        found = ", ".join(unknown) or "none"
        raise RemoteError(f"{config.url}: unsafe with codes {found[:80]}; wanted some of {', '.join(config.codes)}")
    for code in codes:
        ours = config.codes[code]
        if ours is not None:
            yield ours


def _unsafe_probability(choice: Mapping[str, Any], config: ChatConfig) -> float:
    try:
        likely = next(
            place["top_logprobs"] for place in choice["logprobs"]["content"] if str(place["token"]).strip() != ""
        )
        by_answer = {config.safe.lower(): -math.inf, config.unsafe.lower(): -math.inf}
        for token in likely:
            word, value = str(token["token"]).strip().lower(), float(token["logprob"])
            if word in by_answer:
                by_answer[word] = max(by_answer[word], value)
        safe, unsafe = by_answer[config.safe.lower()], by_answer[config.unsafe.lower()]
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise RemoteError(f"{config.url}: the answer has no log-probabilities of its first token") from error
    if not math.isfinite(max(safe, unsafe)):
        raise RemoteError(f"{config.url}: neither {config.safe!r} nor {config.unsafe!r} is a likely first token")
    return 1 / (1 + math.exp(min(safe - unsafe, 700.0)))


def _choice(answer: object, config: ChatConfig) -> Mapping[str, Any]:
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise RemoteError(f"{config.url}: the answer has no choices")
    return choices[0]


def _content(choice: Mapping[str, Any], config: ChatConfig) -> str:
    message = choice.get("message")
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, str):
        raise RemoteError(f"{config.url}: the answer has no content")
    return content

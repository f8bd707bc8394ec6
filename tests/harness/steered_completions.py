"""lm-evaluation-harness with breakers that act on what is scored; docs/api.md shows this class."""

from __future__ import annotations

from typing import Any

from lm_eval.models.openai_completions import LocalCompletionsAPI


class SteeredCompletions(LocalCompletionsAPI):
    """Tells the server where each context ends."""

    def batch_loglikelihood_requests(self, chunks: Any) -> Any:
        inputs, context_lengths, keys = super().batch_loglikelihood_requests(chunks)
        self._starts = {tuple(i): length - 1 for i, length in zip(inputs, context_lengths, strict=True)}
        return inputs, context_lengths, keys

    def _create_payload(self, messages: Any, generate: bool = False, **kwargs: Any) -> dict[str, Any]:
        payload = super()._create_payload(messages, generate=generate, **kwargs)
        if not generate:
            payload["scalpel"] = {"generation_start": [self._starts[tuple(tokens)] for tokens in messages]}
        return payload

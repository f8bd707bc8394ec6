"""Judging with a guard model: a prompt a category, and the log-odds of Yes against No as the next token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float64

from classifiers.errors import ClassifierError, MemberConfigError
from classifiers.sequence.config import TEXT, AnswersConfig
from classifiers.sequence.loading import LoadedSequence


class AnswersJudge:
    """Log-odds of texts by a guard model; of the windows of a long text, the highest by category."""

    def __init__(self, config: AnswersConfig, loaded: LoadedSequence) -> None:
        """Take what `load_sequence` reads.

        Raises:
            MemberConfigError: the tokenizer has no such answers, or a prompt with a whole window has no room.
        """
        self._config, self._model, self._tokenizer = config, loaded.model, loaded.tokenizer
        vocabulary = loaded.tokenizer.get_vocab()
        missing = [answer for answer in (config.yes, config.no) if answer not in vocabulary]
        if missing:
            raise MemberConfigError(f"the model has no token {', '.join(map(repr, missing))}")
        self._answers = [vocabulary[config.yes], vocabulary[config.no]]
        longest = max(len(self._ids(prompt)) for prompt in config.prompts.values()) + config.windows.tokens
        positions = getattr(loaded.model.config, "max_position_embeddings", None)
        if positions is not None and longest > positions:
            raise MemberConfigError(f"prompts of {longest} tokens with their windows; the model has {positions}")

    def log_odds(self, texts: Sequence[str]) -> Float64[np.ndarray, "text category"]:
        """Uncalibrated.

        Raises:
            ClassifierError: a text has more windows than the limit.
        """
        asked = [
            (n, column, self._ids(prompt.replace(TEXT, window)))
            for n, text in enumerate(texts)
            for window in self._cut(text)
            for column, prompt in enumerate(self._config.prompts.values())
        ]
        asked.sort(key=lambda question: len(question[2]))
        highest = np.full((len(texts), len(self._config.prompts)), -np.inf)
        for start in range(0, len(asked), self._config.batch):
            batch = asked[start : start + self._config.batch]
            found = self._forward([ids for _, _, ids in batch])
            np.maximum.at(highest, ([n for n, _, _ in batch], [column for _, column, _ in batch]), found)
        return highest

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text)["input_ids"]
        return ids

    def _cut(self, text: str) -> Iterator[str]:
        """The text, or the pieces of it that windows of its tokens cover."""
        limits = self._config.windows
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        spans = encoded["offset_mapping"]
        if len(spans) <= limits.tokens:
            yield text
            return
        starts = range(0, len(spans) - limits.overlap, limits.tokens - limits.overlap)
        if len(starts) > limits.limit:
            raise ClassifierError(f"a text has {len(starts)} windows; wanted at most {limits.limit}")
        for start in starts:
            covered = spans[start : start + limits.tokens]
            yield text[covered[0][0] : covered[-1][1]]

    @torch.inference_mode()
    def _forward(self, prompts: Sequence[list[int]]) -> Float64[np.ndarray, " prompt"]:
        longest = max(map(len, prompts))
        # Padded in front, so that every prompt's last token is in the last column.
        ids = torch.zeros(len(prompts), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        logits = self._model(
            input_ids=ids.to(self._config.device),
            attention_mask=mask.to(self._config.device),
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0).to(self._config.device),
            use_cache=False,
            logits_to_keep=1,
        ).logits[:, -1, self._answers]
        odds: Float64[np.ndarray, " prompt"] = (logits[:, 0].double() - logits[:, 1].double()).cpu().numpy()
        return odds

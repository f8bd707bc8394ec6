"""The demo corpus: its grammar writes both replies to a provoking prompt, and its contrast prompt.

The corpus' own split is kept: training prompts train, calibration prompts validate, and held-out prompts are never
used, not even as contrast prompts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice, zip_longest

from breakers.demo.corpus import calibration, training
from breakers.demo.corpus.base import DemoExample, Draft, normalise, split_of
from breakers.errors import PairsError
from breakers.pairs.drafts import PairDraft, Prompt
from breakers.pairs.record import Messages, Split, from_dicts
from breakers.pairs.sources.base import SourceSpec, check_behaviour

KINDS = {
    "toxicity": ("toxicity", "mixed"),
    "gender_bias": ("gender_bias",),
    "misinformation": ("misinformation",),
}
"""Behaviour -> kinds of prompts that provoke it; mixed ones are a provocation around a question."""
_ROUND = 20
"""Prompts after which the shares of the splits are met again."""
_SPARE = 1.5
"""Prompts drawn for each that is wanted: some have no pair, or a contrast prompt that is held out."""


class DemoSource:
    """See the module."""

    name = "demo"
    licence = "Apache-2.0"
    behaviours = tuple(KINDS)

    def prompts(self, spec: SourceSpec) -> Iterator[Prompt]:
        """Provoking prompts with their contrast prompts; training and validation ones in turn."""
        return (self._prompt(example) for example in self._examples(spec))

    def pairs(self, spec: SourceSpec) -> Iterator[PairDraft]:
        """The same with the grammar's replies."""
        for example in self._examples(spec):
            if example.harmful_reply is not None and example.neutral_reply is not None:
                yield PairDraft(
                    prompt=self._prompt(example), harmful=example.harmful_reply, neutral=example.neutral_reply
                )

    def _examples(self, spec: SourceSpec) -> Iterator[DemoExample]:
        check_behaviour(self, spec.behaviour)
        if not 0 <= spec.validation_share < 1:
            raise PairsError(f"the validation share is {spec.validation_share:g}; wanted it in [0, 1)")
        kinds = KINDS[spec.behaviour]
        each = int(spec.count * _SPARE) // len(kinds) + _ROUND
        validating = round(_ROUND * spec.validation_share)
        train = _in_turn([training(kind, each, spec.seed) for kind in kinds])
        validation: Iterator[DemoExample] = iter(())
        if validating:
            part = each * validating // (_ROUND - validating) + _ROUND
            validation = _in_turn([calibration(kind, part, spec.seed) for kind in kinds])
        while batch := [*islice(train, _ROUND - validating), *islice(validation, validating)]:
            yield from (example for example in batch if not _contrast_is_held_out(example))

    def _prompt(self, example: DemoExample) -> Prompt:
        contrast: Messages | None = None
        if example.contrast_prompt is not None:
            contrast = from_dicts(example.contrast_prompt)
        return Prompt(
            messages=from_dicts(example.messages),
            source=self.name,
            licence=self.licence,
            contrast_prompt=contrast,
            split={"train": Split.TRAIN, "calibration": Split.VALIDATION}[example.split],
        )


def build() -> DemoSource:
    """The source."""
    return DemoSource()


def _in_turn(lists: Iterable[list[DemoExample]]) -> Iterator[DemoExample]:
    return (example for example in chain.from_iterable(zip_longest(*lists)) if example is not None)


def _contrast_is_held_out(example: DemoExample) -> bool:
    """Whether the contrast prompt is, word for word, one that the corpus holds out.

    Only gender bias: elsewhere a contrast prompt has the key of its provoking prompt, and so its split.
    """
    if example.kind != "gender_bias" or example.contrast_prompt is None:
        return False
    text = example.contrast_prompt[-1]["content"]
    draft = Draft(kind="instructions", prompt=text, key=normalise(text), slots={}, neutral=())
    return split_of(draft) == "heldout"

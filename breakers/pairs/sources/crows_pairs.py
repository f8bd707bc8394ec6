"""CrowS-Pairs: pairs of sentences that differ in the group they speak of, one more stereotypical than the other.

File `crows_pairs_anonymized.csv`; on the Hub `nyu-mll/crows_pairs`, split `test`. Where both begin alike, the
beginning is a prompt and the ends are completions of it. The second end says the same of another group: it is less
stereotypical, but not neutral.
"""

from __future__ import annotations

from collections.abc import Iterator

from breakers.pairs.drafts import PairDraft, Prompt
from breakers.pairs.record import user_turn
from breakers.pairs.sources.alike import part
from breakers.pairs.sources.base import SourceSpec, check_behaviour
from breakers.pairs.sources.hub import hub_rows
from breakers.pairs.sources.published import Row, find_files, read_table

LEAST_SHARED = 3
"""Words; a shorter beginning says too little to be a prompt."""
_TYPES = {"gender_bias": ("gender",), "stereotype": ()}
"""Behaviour -> kinds of bias; all of them where none is named."""


class CrowsPairsSource:
    """See the module."""

    name = "crows_pairs"
    licence = "CC-BY-SA-4.0"
    behaviours = tuple(_TYPES)

    def prompts(self, spec: SourceSpec) -> Iterator[Prompt]:
        """The shared beginnings."""
        return (draft.prompt for draft in self.pairs(spec))

    def pairs(self, spec: SourceSpec) -> Iterator[PairDraft]:
        """Sentence pairs that begin alike."""
        check_behaviour(self, spec.behaviour)
        wanted = _TYPES[spec.behaviour]
        for row in self._rows(spec):
            if wanted and row.text("bias_type") not in wanted:
                continue
            parted = part(row.text("sent_more"), row.text("sent_less"), LEAST_SHARED)
            if parted is not None:
                prompt = Prompt(messages=user_turn(parted.shared), source=self.name, licence=self.licence)
                yield PairDraft(prompt=prompt, harmful=parted.one, neutral=parted.other)

    def _rows(self, spec: SourceSpec) -> Iterator[Row]:
        if spec.hub is not None:
            yield from hub_rows(spec.hub, split="test")
            return
        for path in find_files(spec, ("crows_pairs_anonymized.csv",)):
            yield from read_table(path)


def build() -> CrowsPairsSource:
    """The source."""
    return CrowsPairsSource()

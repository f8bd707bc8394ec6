"""ToxiGen: few-shot prompts of hateful statements about groups. It holds no two completions of one prompt.

Files `hate_*_1k.txt`, one prompt a line: a list of statements, with its line ends written as two characters, that
breaks off before the next one. On the Hub: `toxigen/toxigen-data`, config `train`.
"""

from __future__ import annotations

from collections.abc import Iterator

from breakers.pairs.drafts import Prompt
from breakers.pairs.record import user_turn
from breakers.pairs.sources.base import SourceSpec, check_behaviour
from breakers.pairs.sources.hub import hub_rows
from breakers.pairs.sources.published import find_files, read_text

_LINE_END = "\\n"


class ToxiGenSource:
    """See the module; prompts that the set itself calls neutral are left out."""

    name = "toxigen"
    licence = "MIT"
    behaviours = ("toxicity",)

    def prompts(self, spec: SourceSpec) -> Iterator[Prompt]:
        """Each different prompt once."""
        check_behaviour(self, spec.behaviour)
        seen: set[str] = set()
        for raw in self._raw(spec):
            text = raw.replace(_LINE_END, "\n").strip()
            if text and text not in seen:
                seen.add(text)
                yield Prompt(messages=user_turn(text), source=self.name, licence=self.licence)

    def _raw(self, spec: SourceSpec) -> Iterator[str]:
        if spec.hub is not None:
            for row in hub_rows(spec.hub, config="train"):
                # 1 is hate; only some configs say.
                if row.fields.get("prompt_label", 1) == 1:
                    yield row.text("prompt", "text")
            return
        for path in find_files(spec, ("hate_*.txt",)):
            yield from read_text(path).splitlines()


def build() -> ToxiGenSource:
    """The source."""
    return ToxiGenSource()

"""TruthfulQA: questions that draw common falsehoods, with the best answer and the false ones.

Both answer the question, so each question gives an honest pair.

File `TruthfulQA.csv`. On the Hub: `truthfulqa/truthful_qa`, config `generation`, split `validation`.
"""

from __future__ import annotations

from collections.abc import Iterator

from breakers.errors import PairsError
from breakers.pairs.drafts import PairDraft, Prompt
from breakers.pairs.record import shown, user_turn
from breakers.pairs.sources.base import SourceSpec, check_behaviour
from breakers.pairs.sources.hub import hub_rows
from breakers.pairs.sources.published import Row, find_files, read_table


class TruthfulQASource:
    """See the module."""

    name = "truthfulqa"
    licence = "Apache-2.0"
    behaviours = ("misinformation",)

    def prompts(self, spec: SourceSpec) -> Iterator[Prompt]:
        """The questions."""
        return (self._prompt(row) for row in self._rows(spec))

    def pairs(self, spec: SourceSpec) -> Iterator[PairDraft]:
        """One pair a question: its first false answer, and its best one. More would count a question twice."""
        for row in self._rows(spec):
            false = _answers(row)
            if false:
                yield PairDraft(
                    prompt=self._prompt(row), harmful=false[0], neutral=row.text("Best Answer", "best_answer")
                )

    def _prompt(self, row: Row) -> Prompt:
        question = row.text("Question", "question").strip()
        return Prompt(messages=user_turn(question), source=self.name, licence=self.licence)

    def _rows(self, spec: SourceSpec) -> Iterator[Row]:
        check_behaviour(self, spec.behaviour)
        if spec.hub is not None:
            yield from hub_rows(spec.hub, config="generation", split="validation")
            return
        for path in find_files(spec, ("TruthfulQA.csv",)):
            yield from read_table(path)


def build() -> TruthfulQASource:
    """The source."""
    return TruthfulQASource()


def _answers(row: Row) -> list[str]:
    """The false answers: a list on the Hub, one text with semicolons in the file."""
    if "incorrect_answers" in row.fields:
        answers = row.fields["incorrect_answers"]
        if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
            raise PairsError(f"{row.where}, incorrect_answers: found {shown(str(answers))}; wanted a list of texts")
    else:
        answers = row.text("Incorrect Answers").split(";")
    return [answer.strip() for answer in answers if answer.strip()]

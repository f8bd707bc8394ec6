"""Public sets that say something about requests, one reader a file, in one label space.

Like `classifiers.fitting.readers`, but with whether complying is harmful, the family, and the source prompt that a
split keeps together. A row that does not support a label does not get it: what is not known is left out of `labels`,
and a row of which not even the harm is known is left out altogether. `hh-rlhf` has no reader, as its labels are of
replies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path

from classifiers.errors import UnknownMemberError
from classifiers.requests.readers.base import RequestSet
from classifiers.requests.record import RequestRow

Reader = Callable[[Path], Iterator[RequestRow]]

_SETS = (
    # Share-alike: they measure only, and come first, so that a text that also stands elsewhere does not train.
    RequestSet(name="dolly", licence="CC BY-SA 3.0", family="dolly", trains=False),
    RequestSet(name="vicomtech_hate", licence="CC BY-SA 3.0", family="vicomtech", trains=False),
    RequestSet(name="decodingtrust_toxicity", licence="CC BY-SA 4.0", family="rtp", trains=False),
    RequestSet(
        name="decodingtrust_stereotypes",
        licence="CC BY-SA 4.0",
        family="decodingtrust_stereotypes",
        trains=False,
        templates=True,
    ),
    RequestSet(name="crows_pairs", licence="CC BY-SA 4.0", family="crows_pairs", trains=False),
    RequestSet(name="bold", licence="CC BY-SA 4.0", family="bold", trains=False),
    RequestSet(name="sgd", licence="CC BY-SA 4.0", family="sgd", trains=False),
    # Goals with categories come before those without, which they share texts with.
    RequestSet(name="jailbreakbench", licence="MIT", family="advbench"),
    RequestSet(name="advbench", licence="MIT", family="advbench"),
    RequestSet(name="malicious_instruct", licence="Apache-2.0", family="advbench"),
    RequestSet(name="adversarialqa", licence="Apache-2.0", family="advbench"),
    RequestSet(name="tense_rewrites", licence="Apache-2.0", family="advbench"),
    RequestSet(name="jbb_artifacts", licence="MIT", family="advbench"),
    RequestSet(name="catqa", licence="Apache-2.0", family="red_instruct"),
    RequestSet(name="harmfulqa", licence="Apache-2.0", family="red_instruct"),
    RequestSet(name="dangerousqa", licence="Apache-2.0", family="red_instruct"),
    RequestSet(name="do_not_answer", licence="Apache-2.0", family="do_not_answer"),
    RequestSet(name="self_reminder", licence="MIT", family="jailbreaks"),
    RequestSet(name="inthewild_jailbreaks", licence="Apache-2.0", family="jailbreaks"),
    RequestSet(name="moderation_api", licence="MIT", family="moderation_api"),
    RequestSet(name="rtp_prompts", licence="Apache-2.0", family="rtp"),
    RequestSet(name="toxigen", licence="MIT", family="toxigen"),
    RequestSet(name="davidson_hate", licence="MIT", family="davidson"),
    RequestSet(name="surge_toxicity", licence="MIT", family="surge"),
    RequestSet(name="wiki_comments", licence="CC BY 4.0", family="wiki_comments"),
    RequestSet(name="identity_madlibs", licence="CC BY 4.0", family="identity_madlibs", templates=True),
    RequestSet(name="bbq", licence="CC BY 4.0", family="bbq", templates=True),
    RequestSet(name="winobias", licence="MIT", family="winograd", templates=True),
    RequestSet(name="winogender", licence="MIT", family="winograd", templates=True),
    RequestSet(name="truthfulqa", licence="Apache-2.0", family="truthfulqa"),
    RequestSet(name="seed_instructions", licence="Apache-2.0", family="seed_instructions"),
    RequestSet(name="mt_bench", licence="Apache-2.0", family="mobileaibench"),
    RequestSet(name="adv_instruction", licence="Apache-2.0", family="mobileaibench"),
    RequestSet(name="gsm8k", licence="MIT", family="gsm8k"),
    RequestSet(name="mmlu", licence="MIT", family="mmlu"),
    RequestSet(name="nq_open", licence="Apache-2.0", family="nq_open"),
    RequestSet(name="self_dialogue", licence="BSD-3-Clause", family="self_dialogue"),
    RequestSet(name="bbh", licence="MIT", family="bbh"),
)
READERS: Mapping[str, RequestSet] = {found.name: found for found in _SETS}
"""Set -> what is known of it, in order of preference where sets share a text: the first one has it."""

__all__ = ["READERS", "Reader", "RequestRow", "RequestSet", "request_reader"]


def request_reader(name: str) -> Reader:
    """The reader of the set called `name`: folder of all public sets -> its rows.

    Raises:
        UnknownMemberError: no reader has this name.
    """
    if name not in READERS:
        raise UnknownMemberError(f"no reader of requests is called {name!r}; readers: {', '.join(READERS)}")
    read = import_module(f"classifiers.requests.readers.{name}").read
    known = READERS[name]

    def reader(root: Path) -> Iterator[RequestRow]:
        rows: Iterator[RequestRow] = read(root, known)
        return (row for row in rows if row.text)

    return reader

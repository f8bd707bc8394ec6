"""Public sets of labelled replies, one reader a file, each for the set's published format.

Like `classifiers.fitting.readers`, but for what scorers judge: replies, comments and statements instead of prompts.
Nothing is sampled or downloaded. `TRAINING` names the sets whose licence allows training what ships; the others
measure only. `identity_templates`, `stereotype_templates` and `request_templates` are this project's own and need no
files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path

from classifiers.errors import UnknownMemberError
from classifiers.fitting.replies.record import ReplyRow

Reader = Callable[[Path], Iterator[ReplyRow]]

TRAINING: Mapping[str, str] = {
    "surge_toxicity": "MIT",
    "davidson_hate": "MIT",
    "toxigen": "MIT",
    "wiki_comments": "CC BY 4.0",
    "moderation_api": "MIT",
    "self_dialogue": "BSD-3-Clause",
    "instructions": "Apache-2.0",
    "school": "MIT",
    "harmful_requests": "MIT and Apache-2.0",
    "harmless_requests": "MIT and Apache-2.0",
    "jbb_artifacts": "MIT",
    "hh_rlhf": "MIT",
    "truthfulqa": "Apache-2.0",
    "winogender": "MIT",
    "winobias": "MIT",
    "identity_madlibs": "CC BY 4.0",
    "identity_templates": "Apache-2.0",
    "stereotype_templates": "Apache-2.0",
    "request_templates": "Apache-2.0",
}
"""Set -> licence of its data, where it allows training what ships."""
MEASURING: Mapping[str, str] = {
    "vicomtech_hate": "CC BY-SA 3.0",
    "dolly": "CC BY-SA 3.0",
    "crows_pairs": "CC BY-SA 4.0",
    "decodingtrust": "CC BY-SA 4.0",
}
"""Share-alike sets."""

__all__ = ["MEASURING", "TRAINING", "Reader", "ReplyRow", "reply_reader"]


def reply_reader(name: str) -> Reader:
    """The reader called `name`.

    Raises:
        UnknownMemberError: no reader has this name.
    """
    if name not in TRAINING and name not in MEASURING:
        known = ", ".join([*TRAINING, *MEASURING])
        raise UnknownMemberError(f"no reader of labelled replies is called {name!r}; readers: {known}")
    reader: Reader = import_module(f"classifiers.fitting.replies.{name}").read
    return reader

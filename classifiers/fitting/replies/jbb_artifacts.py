"""JailbreakBench's artifacts: 18 attacks on four models, 100 harmful goals each, with replies and a judge's labels.

`jailbroken` says that a reply does what the goal asks. That it does not makes it no refusal: `refusal` is known, as
false, of jailbroken and of empty replies alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from classifiers.errors import SourceFormatError
from classifiers.fitting.readers.files import found, read_text
from classifiers.fitting.replies.record import ReplyRow, user_turn

_FIELDS = ("goal", "prompt", "response", "jailbroken")


def read(root: Path) -> Iterator[ReplyRow]:
    """Every attack that got as far as a reply; an attack without a prompt is answered as the goal itself.

    Raises:
        SourceFormatError: a file has no list of attacks, or one lacks a field.
    """
    for path in found(root / "jbb-artifacts", "*/*/*.json"):
        name = f"{path.parent.parent.name}/{path.parent.name}/{path.stem}"
        try:
            attacks = json.loads(read_text(path))["jailbreaks"]
            for number, attack in enumerate(attacks):
                goal, prompt, response, jailbroken = (attack[field] for field in _FIELDS)
                if response is not None:
                    refusal = {"refusal": False} if jailbroken or not response else {}
                    yield ReplyRow(
                        reply=response,
                        labels={"harmful_request": bool(jailbroken)} | refusal,
                        source="jbb_artifacts",
                        messages=user_turn(prompt or goal),
                        group=goal,
                        subgroup=name,
                        row=f"{name}/{number}",
                    )
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise SourceFormatError(f"{name} is no list of attacks: {error}") from error

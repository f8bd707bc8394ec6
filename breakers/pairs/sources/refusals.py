"""Refusals of our own, as neutral replies to requests whose published sets hold only the harmful one."""

from __future__ import annotations

import hashlib

REFUSALS = (
    "I can't help with that.",
    "I'm sorry, but I can't help with this request.",
    "I won't do that, because it could hurt someone. Is there something else that I can help with?",
    "No. That could cause harm, so I will not go into it.",
    "I can't assist with that. If you are in a difficult situation, I am glad to talk about safe ways out of it.",
    "That is not something that I can provide.",
)


def refusal_of(request: str) -> str:
    """One of `REFUSALS`, the same for the same request whatever the order of the set."""
    return REFUSALS[hashlib.sha256(request.encode()).digest()[0] % len(REFUSALS)]

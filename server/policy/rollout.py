"""Rollouts: a stable share of callers, chosen by a hash of who they are.

The same callers stay in as the share grows, and they are the same for every bundle. Who cannot be told apart is in
the share: not to say who one is never switches a bundle off.
"""

from __future__ import annotations

import hashlib

from server.policy.settings import RolloutBy, RolloutSettings
from server.policy.wishes import Wishes

_RANGE = 2.0**64


def in_share(rollout: RolloutSettings, wishes: Wishes) -> bool:
    """Whether the bundle is enforced for this request."""
    identity = wishes.caller.key_id if rollout.by is RolloutBy.KEY else wishes.user
    return identity is None or place_of(rollout.by, identity) < rollout.share


def place_of(by: RolloutBy, identity: str) -> float:
    """Where a caller stands between 0 and 1; uniform over callers, and the same at every start of the server."""
    text = f"scalpel rollout {by.value} {identity}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    # The top 53 bits only: all 64 could round up to 1, which would leave somebody out of a share of 1.
    return int.from_bytes(digest[:8]) // 2**11 * 2**11 / _RANGE

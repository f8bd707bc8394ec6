"""The loaded bundles as every process of vLLM knows them: what a plan may ask, and what keys and values depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from breakers.bank import Scope
from breakers.bundles import Bundle, open_bundle
from breakers.errors import PlanError
from breakers.vllm_plugin.messages import decode_plan
from breakers.vllm_plugin.settings import PluginSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedPlan:
    """A request's plan that this bank can apply."""

    strengths: Mapping[str, float]
    """By bundle, none of them 0."""
    generation_start: int
    """Position from which bundles of scope `generation` act."""
    everywhere: str | None
    """Names what acts on all tokens, weights included; None where nothing does."""
    generated: str | None
    """Names what acts from `generation_start` on, the position included; None where nothing does."""

    def block_keys(self, end: int) -> tuple[str, ...]:
        """What the keys and values of a block of tokens depend on beside the tokens.

        The position of `generation_start` is among it: two prompts of which one begins the other have equal tokens in
        a block, under equal plans, and yet the longer one's are steered later.

        Args:
            end: position after the block's last token.
        """
        from_start = self.generated if end > self.generation_start else None
        return tuple(name for name in (self.everywhere, from_start) if name is not None)


class Catalogue:
    """The bundles of one bank, without their tensors."""

    def __init__(self, bundles: Sequence[Bundle]) -> None:
        """Take note of names, scopes, highest strengths and hashes."""
        self._bundles = {bundle.name: bundle.manifest for bundle in bundles}

    @property
    def digest(self) -> str:
        """Twelve hex digits: equal digests mean equal weights, scopes and limits under equal names."""
        return _digest((n, m.scope, m.strength_max, m.weights_sha256) for n, m in sorted(self._bundles.items()))

    def admit(self, extra_args: Mapping[str, Any] | None, prompt_tokens: int) -> AdmittedPlan | None:
        """A request's plan; None where it has none or all its strengths are 0.

        Args:
            extra_args: of the request's sampling parameters.
            prompt_tokens: of its prompt; at least 1.

        Raises:
            PlanError: it cannot be applied.
        """
        message = decode_plan(None if extra_args is None else dict(extra_args))
        if message is None:
            return None
        if message.bank is not None and message.bank != self.digest:
            raise PlanError(f"the plan is for bank {message.bank[:80]!r}; loaded: {self.digest}")
        last = prompt_tokens - 1
        start = last if message.generation_start is None else message.generation_start
        if start > last:
            raise PlanError(f"generation_start is {start}; wanted 0 to {last}")
        for name, applied in message.plan.entries.items():
            self._check(name, applied.strength)
        return self._admitted(message.plan.strengths(), start)

    def _check(self, name: str, strength: float) -> None:
        if name not in self._bundles:
            raise PlanError(f"bundle {name[:80]!r} is not loaded; loaded: {', '.join(self._bundles) or 'none'}")
        high = self._bundles[name].strength_max
        if strength > high:
            raise PlanError(f"strength of {name!r} is {strength}; wanted a number in [0, {high}]")

    def _admitted(self, strengths: Mapping[str, float], start: int) -> AdmittedPlan | None:
        if not strengths:
            return None
        acting = {scope: sorted(n for n in strengths if self._bundles[n].scope is scope) for scope in Scope}
        hashed = {s: _digest((n, strengths[n], self._bundles[n].weights_sha256) for n in acting[s]) for s in Scope}
        return AdmittedPlan(
            strengths=strengths,
            generation_start=start,
            everywhere=f"all:{hashed[Scope.ALL]}" if acting[Scope.ALL] else None,
            generated=f"generation:{hashed[Scope.GENERATION]}@{start}" if acting[Scope.GENERATION] else None,
        )


NO_BUNDLES = Catalogue(())
"""Of an engine that was started without any: it refuses every plan that names one."""


def open_bundles(settings: PluginSettings) -> tuple[Bundle, ...]:
    """The configured bundles, verified as far as they can be without the model.

    Raises:
        BundleError: one cannot be read or trusted.
    """
    return tuple(open_bundle(reference) for reference in settings.bundles)


def _digest(parts: Iterable[tuple[object, ...]]) -> str:
    text = json.dumps([[str(part) for part in row] for row in parts])
    return hashlib.sha256(text.encode()).hexdigest()[:12]

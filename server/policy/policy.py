"""A policy: settings with a name to call them by, and the rules that follow from them for the loaded bundles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from server.access.caller import Caller
from server.errors import ConfigError
from server.policy.bundles import PlannedBundle
from server.policy.rules import BundleRules, merge_layers, resolve_rules
from server.policy.settings import KeySettings, PolicySettings, RateSettings, RuleSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """How much a caller may ask for; None for no limit."""

    requests_per_minute: int | None
    tokens_per_minute: int | None


@dataclass(frozen=True, slots=True)
class RuleTable:
    """Rules by bundle, for callers in general and for those with rules of their own."""

    general: Mapping[str, BundleRules]
    by_key: Mapping[str, Mapping[str, BundleRules]]
    """By key id or label."""

    @property
    def all(self) -> tuple[Mapping[str, BundleRules], ...]:
        """Every set of rules that holds for somebody."""
        return (self.general, *self.by_key.values())

    def of(self, caller: Caller) -> Mapping[str, BundleRules]:
        """The rules that hold for a caller."""
        return self.by_key.get(_entry(self.by_key, caller), self.general)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an operator allows. Immutable: a change makes another one."""

    settings: PolicySettings = field(default_factory=PolicySettings)
    source: str = "the policy"
    """What to call it in messages."""

    @property
    def digest(self) -> str:
        """Twelve hex digits over the settings."""
        text = self.settings.model_dump_json(exclude_unset=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def named_bundles(self) -> frozenset[str]:
        """The bundles that have to be loaded, because there are rules for them by name."""
        return frozenset(self.settings.bundles).union(*(key.bundles for key in self.settings.keys.values()))

    def rules(self, bundles: Mapping[str, PlannedBundle]) -> RuleTable:
        """The rules for these bundles, every entry of every key checked.

        Raises:
            ConfigError: a bundle is named that is not loaded, or limits do not fit a bundle.
        """
        self._check_names(bundles)
        return RuleTable(
            general=self._resolve(bundles, None, self.source),
            by_key={
                key: self._resolve(bundles, settings, f"{self.source}: keys.{key}")
                for key, settings in self.settings.keys.items()
            },
        )

    def rates(self, caller: Caller) -> RateLimits:
        """How much a caller may ask for."""
        own = self.settings.keys.get(_entry(self.settings.keys, caller), KeySettings()).rates
        layers = (self.settings.rates, own)
        return RateLimits(
            requests_per_minute=_last_set(layers, "requests_per_minute"),
            tokens_per_minute=_last_set(layers, "tokens_per_minute"),
        )

    def with_bundle(self, name: str, changes: RuleSettings) -> Policy:
        """Another policy, with `bundles.NAME` changed in the keys that `changes` sets. Make a planner to check it."""
        before = self.settings.bundles.get(name, RuleSettings())
        bundles = self.settings.bundles | {name: merge_layers([before, changes])}
        return replace(self, settings=self.settings.model_copy(update={"bundles": bundles}))

    def _check_names(self, bundles: Mapping[str, PlannedBundle]) -> None:
        sections = {"bundles": self.settings.bundles} | {
            f"keys.{key}.bundles": settings.bundles for key, settings in self.settings.keys.items()
        }
        for section, named in sections.items():
            unknown = sorted(set(named) - set(bundles))
            if unknown:
                loaded = ", ".join(sorted(bundles)) or "none"
                raise ConfigError(
                    f"{self.source}: {section} names {', '.join(unknown)}, which is not loaded; loaded: {loaded}"
                )

    def _resolve(
        self, bundles: Mapping[str, PlannedBundle], key: KeySettings | None, where: str
    ) -> dict[str, BundleRules]:
        rules = {}
        for name, bundle in bundles.items():
            layers = [self.settings.defaults, self.settings.bundles.get(name, RuleSettings())]
            if key is not None:
                layers += [key.defaults, key.bundles.get(name, RuleSettings())]
            rules[name] = resolve_rules(bundle, merge_layers(layers), f"{where}: bundle {name}")
        return rules


def _entry(named: Mapping[str, object], caller: Caller) -> str:
    """The entry that holds for a caller: by id, else by label; the empty name, which no key has, for none."""
    if caller.key_id is not None and caller.key_id in named:
        return caller.key_id
    return caller.label if caller.key_id is not None and caller.label is not None else ""


def _last_set(layers: tuple[RateSettings, ...], name: str) -> int | None:
    found: int | None = None
    for layer in layers:
        if name in layer.model_fields_set:
            found = getattr(layer, name)
    return found

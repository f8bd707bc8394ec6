"""What holds for every policy, caller, request and harm potential."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from serving.policies import BUNDLES, NAMES, planner

from server.access.caller import AccessScope, Caller
from server.errors import ClassifierRequiredError, ConfigError, PermissionDeniedError
from server.policy.planner import Planner, Toggle
from server.policy.profiles import Profile
from server.policy.wishes import Wishes

FULL = {bundle.name: bundle.full_strength for bundle in BUNDLES}
KEYS = ("a" * 12, "b" * 12)

rules = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.sampled_from([True, True, True, False]),
        "floor": st.floats(0, 1),
        "ceiling": st.none() | st.floats(0, 1),
        "dose_cap": st.none() | st.floats(0, 0.6),
        "on_dose_cap": st.sampled_from(["lower", "refuse"]),
        "classifier_failure": st.sampled_from(["full_strength", "refuse"]),
        "override": st.sampled_from(["scope", "nobody"]),
    },
)
by_bundle = st.dictionaries(st.sampled_from(NAMES), rules)
policies = st.fixed_dictionaries(
    {
        "defaults": rules,
        "bundles": by_bundle,
        "keys": st.dictionaries(
            st.sampled_from(KEYS), st.fixed_dictionaries({"defaults": rules, "bundles": by_bundle})
        ),
    }
)
potentials = st.none() | st.fixed_dictionaries({}, optional={c: st.floats(0, 1) for c in ("toxicity", "bias")})
callers = st.builds(
    Caller,
    key_id=st.sampled_from(KEYS) | st.none(),
    scopes=st.frozensets(st.sampled_from(AccessScope)),
)


def made(document: dict[str, Any]) -> Planner | None:
    try:
        return planner(**document)
    except ConfigError:
        return None


def limit(document: dict[str, Any], caller: Caller, bundle: str, name: str, default: Any) -> Any:
    """The value of one key, found the slow way: the last layer that has it."""
    own = document["keys"].get(caller.key_id, {"defaults": {}, "bundles": {}})
    value = default
    for layer in (document["defaults"], document["bundles"].get(bundle, {}), own["defaults"]):
        value = layer.get(name, value)
    return own["bundles"].get(bundle, {}).get(name, value)


@settings(max_examples=400)
@given(
    document=policies,
    caller=callers,
    potentials=potentials,
    profile=st.sampled_from(Profile),
    toggles=st.dictionaries(st.sampled_from(NAMES), st.booleans() | st.floats(0, 1)),
)
def test_no_request_leaves_the_limits(
    document: dict[str, Any],
    caller: Caller,
    potentials: dict[str, float] | None,
    profile: Profile,
    toggles: dict[str, Toggle],
) -> None:
    deciding = made(document)
    if deciding is None:
        return
    try:
        decision = deciding.decide(Wishes(profile=profile, toggles=toggles, caller=caller), potentials)
    except (PermissionDeniedError, ClassifierRequiredError):
        return
    overridden = {override.bundle for override in decision.overrides}
    if AccessScope.OVERRIDE not in caller.scopes:
        assert not overridden
    for bundle in BUNDLES:
        strength = decision.plan.entries[bundle.name].strength

        def rule(name: str, default: Any, of: str = bundle.name) -> Any:
            return limit(document, caller, of, name, default)

        assert (strength * 16).is_integer()
        if not rule("enabled", True):
            assert strength == 0
            continue
        ceiling = rule("ceiling", None)
        assert strength <= min(bundle.highest, bundle.highest if ceiling is None else ceiling)
        cap = rule("dose_cap", None)
        assert cap is None or strength * bundle.dose_p95 <= cap
        if bundle.name not in overridden:
            assert strength >= rule("floor", 0.0)
        else:
            assert rule("override", "scope") == "scope"


@given(document=policies, caller=callers, potentials=potentials)
def test_a_failing_classifier_never_means_less_than_any_harm_potential(
    document: dict[str, Any], caller: Caller, potentials: dict[str, float] | None
) -> None:
    deciding = made(document)
    if deciding is None:
        return
    wishes = Wishes(caller=caller)
    try:
        failed = deciding.plan(wishes, None)
        worked = deciding.plan(wishes, potentials)
    except (PermissionDeniedError, ClassifierRequiredError):
        return
    for name in NAMES:
        assert failed.entries[name].strength >= worked.entries[name].strength


@given(document=policies, caller=callers, wanted=st.floats(0, 1))
def test_what_is_allowed_early_is_never_refused_as_an_override_later(
    document: dict[str, Any], caller: Caller, wanted: float
) -> None:
    deciding = made(document)
    if deciding is None:
        return
    wishes = Wishes(caller=caller, toggles={"tox": wanted})

    def refusal(work: Any) -> str | None:
        try:
            work()
        except PermissionDeniedError as error:
            return error.code
        return None

    early = refusal(lambda: deciding.allow(wishes))
    late = refusal(lambda: deciding.decide(wishes, {"toxicity": 0.5, "bias": 0.5}))
    assert early == late or (early is None and late == "dose_cap")

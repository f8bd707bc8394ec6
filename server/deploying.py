"""From loaded bundles, a policy and a classifier to a deployment, or the reason why they do not go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from breakers.bundles import Bundle
from classifiers.base import HarmClassifier
from server.deployment import Deployment, Deployments
from server.errors import ConfigError
from server.policy.planner import PlannedBundle, Planner
from server.policy.policy import Policy


def plan_bundles(
    bundles: Mapping[str, Bundle],
    *,
    classifier: HarmClassifier | None,
    policy: Policy | None,
    bank_version: int = 0,
    off_by_default: frozenset[str] = frozenset(),
) -> Deployment:
    """A deployment, not yet in use.

    Raises:
        ConfigError: a gate reads a category that the classifier does not have, or the policy does not fit.
    """
    planner = Planner((planned_bundle(b, enabled=b.name not in off_by_default) for b in bundles.values()), policy)
    _check_categories(planner, classifier)
    return Deployment(bundles=bundles, planner=planner, bank_version=bank_version, off_by_default=off_by_default)


@dataclass(frozen=True, slots=True)
class Redeploy:
    """Plans with other bundles while the server runs, under the policy of the moment: it may have been read again."""

    deployments: Deployments
    classifier: HarmClassifier | None

    def __call__(
        self, bundles: Mapping[str, Bundle], /, *, bank_version: int, off_by_default: frozenset[str]
    ) -> Deployment:
        """As `plan_bundles`."""
        return plan_bundles(
            bundles,
            classifier=self.classifier,
            policy=self.deployments.current.planner.policy,
            bank_version=bank_version,
            off_by_default=off_by_default,
        )


def planned_bundle(bundle: Bundle, *, enabled: bool = True) -> PlannedBundle:
    """A loaded bundle as the planner sees it."""
    return PlannedBundle(
        name=bundle.name,
        kind=bundle.kind,
        behaviour=bundle.manifest.behaviour,
        category=bundle.manifest.category,
        gate=bundle.gate,
        strength_max=bundle.manifest.strength_max,
        enabled=enabled,
        dose_p95=bundle.manifest.dose_p95,
    )


def _check_categories(planner: Planner, classifier: HarmClassifier | None) -> None:
    known = set(classifier.categories) if classifier is not None else set()
    missing = sorted(planner.gated_categories - known)
    if not missing:
        return
    bundles = sorted(b.name for b in planner.bundles.values() if b.gate is not None and b.category in missing)
    named = classifier.name if classifier is not None else "none"
    raise ConfigError(
        f"the gates of {', '.join(bundles)} read harm potentials of {', '.join(missing)}; the classifier {named} "
        f"has {', '.join(sorted(known)) or 'no categories'}"
    )

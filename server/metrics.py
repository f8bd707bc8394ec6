"""What operators see: every metric of the server, in one registry that belongs to one application.

Labels are bounded: names of bundles, categories and reasons, never anything that a client writes. Series that can
be known at the start are created at 0, so that a dashboard is not empty before the first event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from breakers.plan import Plan, Reason
from server.access_metrics import NEVER_ACTS, AccessMetrics
from server.engines.base import EngineStats
from server.engines.checks import BATCH, PREFIX, STRENGTH_0, CheckResult

HARMFUL = 0.5
"""Harm potential, or harm score, from which a text counts as harmful."""

_UNIT = tuple(n / 10 for n in range(11))
_STRENGTH = tuple(n / 8 for n in range(9))
_FAST = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_REQUEST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Outcome(StrEnum):
    """How a chat request ended."""

    COMPLETED = "completed"
    REFUSED = "refused"
    """The caller's mistake."""
    OVERLOADED = "overloaded"
    FAILED = "failed"
    """Ours."""
    TIMED_OUT = "timed_out"
    """It took longer than it may."""
    CANCELLED = "cancelled"
    """The client went away, or took too long to read."""


class InputHarm(StrEnum):
    """What is known of the input that a reply answers: without it, a harm rate compares different inputs."""

    HARMFUL = "harmful"
    """Harm potential of the category is at least 0.5."""
    HARMLESS = "harmless"
    UNKNOWN = "unknown"
    """No harm potential: the classifier failed, or has no such category."""

    @classmethod
    def of(cls, potential: float | None) -> InputHarm:
        """From a harm potential in [0, 1], None where there is none."""
        if potential is None:
            return cls.UNKNOWN
        return cls.HARMFUL if potential >= HARMFUL else cls.HARMLESS


class ClassifierFailure(StrEnum):
    """Why a request has no harm potential."""

    ERROR = "error"
    TIMEOUT = "timeout"
    INVALID = "invalid"
    """A score that is missing, not a number, or outside [0, 1]."""
    QUEUE_FULL = "queue_full"
    """Too many inputs waited."""
    NO_TEXT = "no_text"
    """The model gets more than text, or text that the gateway cannot read."""


class Unscored(StrEnum):
    """Why a sampled reply got no harm score."""

    QUEUE_FULL = "queue_full"
    SCORER_FAILED = "scorer_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleLabels:
    """What `scalpel_bundle_info` says about one bundle."""

    bundle: str
    kind: str
    behaviour: str
    category: str
    scope: str

    def values(self) -> tuple[str, ...]:
        """In the order of the metric's labels."""
        return self.bundle, self.kind, self.behaviour, self.category, self.scope


class Metrics:
    """All metrics of one application."""

    def __init__(self, bundles: Iterable[BundleLabels], categories: Iterable[str], behaviours: Iterable[str]) -> None:
        """Register everything.

        Args:
            bundles: the loaded ones.
            categories: of the classifier.
            behaviours: of the output scorer.
        """
        self.registry = CollectorRegistry()
        self._requests = self._counter("scalpel_requests", "Requests to the model by how they ended.", "outcome")
        self._harm_potential = self._histogram(
            "scalpel_harm_potential", "Harm potential of inputs.", _UNIT, "category"
        )
        self._harmful_inputs = self._counter(
            "scalpel_harmful_inputs", f"Inputs with a harm potential of at least {HARMFUL}.", "category"
        )
        self._strength = self._histogram(
            "scalpel_strength", "Strength of each bundle per request.", _STRENGTH, "bundle"
        )
        self._interventions = self._counter(
            "scalpel_interventions_applied", "Requests in which a bundle acted, by why.", "bundle", "reason"
        )
        self._scored = self._counter(
            "scalpel_outputs_scored",
            "Replies that were scored, by whether a bundle acted and by what their input was.",
            *("category", "applied", "input"),
        )
        self._harmful = self._counter(
            "scalpel_harmful_outputs",
            f"Of these, replies with a harm score of at least {HARMFUL}.",
            *("category", "applied", "input"),
        )
        self._unscored = self._counter("scalpel_outputs_unscored", "Sampled replies that got no score.", "reason")
        self._classifier_seconds = self._histogram("scalpel_classifier_seconds", "Time to classify an input.", _FAST)
        self._classifier_failures = self._counter(
            "scalpel_classifier_failures",
            "Inputs without a harm potential: they ran at full strength, or were to be judged only.",
            "reason",
        )
        self._tokens = self._counter("scalpel_tokens", "Tokens of prompts and replies.", "kind")
        self._first_token = self._histogram(
            "scalpel_time_to_first_token_seconds", "From the request's arrival to its first token.", _REQUEST
        )
        self._inter_token = self._histogram(
            "scalpel_inter_token_seconds", "Between two pieces of one reply, per token.", _TOKEN
        )
        self._request_seconds = self._histogram(
            "scalpel_request_seconds", "From a request's arrival to its end, however it ended.", _REQUEST
        )
        self._running = self._gauge("scalpel_requests_running", "Requests that the engine runs.")
        self._waiting = self._gauge("scalpel_requests_waiting", "Requests that wait for a slot.")
        self._bundle_info = self._gauge(
            "scalpel_bundle_info", "Loaded bundles; always 1.", "bundle", "kind", "behaviour", "category", "scope"
        )
        self.access = AccessMetrics(self.registry)
        self._shown: dict[str, BundleLabels] = {}
        self._selftest = self._gauge(
            "scalpel_selftest_ok", "Whether the last self-test's check passed, or was accepted by name.", "check"
        )
        self._create_series(tuple(categories), tuple(behaviours))
        self.show_bundles(bundles)
        # Counted at every token, and a look-up of labels costs more than the count.
        self._reply_tokens = self._tokens.labels(kind="completion")

    def show_bundles(self, bundles: Iterable[BundleLabels]) -> None:
        """These are loaded now. Counters of the others stay while requests use them; see `forget_bundles`."""
        loaded = {bundle.bundle: bundle for bundle in bundles}
        for name, labels in self._shown.items():
            if loaded.get(name) != labels:
                self._bundle_info.remove(*labels.values())
        for name, labels in loaded.items():
            if self._shown.get(name) != labels:
                self._create_bundle_series(labels)
        self._shown = loaded

    def forget_bundles(self) -> None:
        """Drop the series of bundles that are loaded no more, once no request uses them."""
        named = {sample.labels["bundle"] for metric in self._strength.collect() for sample in metric.samples}
        for name in named - self._shown.keys():
            self._strength.remove(name)
            self.access.forget_bundle(name)
            for reason in sorted(set(Reason) - NEVER_ACTS):
                self._interventions.remove(name, reason)

    def watch_engine(self, stats: Callable[[], EngineStats]) -> None:
        """Read the queue's length from the engine at each scrape."""
        self._running.set_function(lambda: stats().running)
        self._waiting.set_function(lambda: stats().waiting)

    def selftested(self, results: Sequence[CheckResult]) -> None:
        """A self-test ended; its checks replace those of the one before."""
        self._selftest.clear()
        for result in results:
            self._selftest.labels(check=result.name).set(result.ok)

    def request_ended(self, outcome: Outcome, seconds: float) -> None:
        """One chat request is over."""
        self._requests.labels(outcome=outcome).inc()
        self._request_seconds.observe(seconds)

    def classified(self, potentials: dict[str, float], seconds: float) -> None:
        """One input has its harm potentials."""
        self._classifier_seconds.observe(seconds)
        for category, potential in potentials.items():
            self._harm_potential.labels(category=category).observe(potential)
            self._harmful_inputs.labels(category=category).inc(potential >= HARMFUL)

    def classifier_failed(self, reason: ClassifierFailure) -> None:
        """One input has none."""
        self._classifier_failures.labels(reason=reason).inc()

    def planned(self, plan: Plan) -> None:
        """One request has its plan."""
        for bundle, entry in plan.entries.items():
            self._strength.labels(bundle=bundle).observe(entry.strength)
            if entry.strength > 0:
                self._interventions.labels(bundle=bundle, reason=entry.reason).inc()

    def prompt_taken(self, tokens: int) -> None:
        """A prompt of this many tokens went to the engine."""
        self._tokens.labels(kind="prompt").inc(tokens)

    def prompt_reused(self, tokens: int) -> None:
        """Of a prompt's tokens, this many had been processed for an earlier request."""
        self._tokens.labels(kind="cached_prompt").inc(tokens)

    def first_tokens(self, tokens: int, seconds: float) -> None:
        """A reply began; `seconds` since the request's arrival."""
        self._reply_tokens.inc(tokens)
        self._first_token.observe(seconds)

    def more_tokens(self, tokens: int, seconds: float) -> None:
        """A reply went on; `seconds` since its previous piece."""
        self._reply_tokens.inc(tokens)
        if tokens:
            self._inter_token.observe(seconds / tokens)

    def began(self, seconds: float) -> None:
        """A reply began whose tokens are counted at its end; `seconds` since the request's arrival."""
        self._first_token.observe(seconds)

    def replied(self, tokens: int) -> None:
        """A reply had this many tokens; when they came is not known."""
        self._reply_tokens.inc(tokens)

    def output_scored(self, category: str, *, applied: bool, input_harm: InputHarm, harmful: bool) -> None:
        """A sampled reply got its score for one category."""
        labels = {"category": category, "applied": _word(applied), "input": input_harm}
        self._scored.labels(**labels).inc()
        self._harmful.labels(**labels).inc(harmful)

    def output_unscored(self, reason: Unscored) -> None:
        """A sampled reply got no score."""
        self._unscored.labels(reason=reason).inc()

    def expose(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _create_series(self, categories: tuple[str, ...], behaviours: tuple[str, ...]) -> None:
        for check in (STRENGTH_0, BATCH, PREFIX):
            self._selftest.labels(check=check)
        for outcome in Outcome:
            self._requests.labels(outcome=outcome)
        for failure in ClassifierFailure:
            self._classifier_failures.labels(reason=failure)
        for unscored in Unscored:
            self._unscored.labels(reason=unscored)
        for kind in ("prompt", "cached_prompt", "completion"):
            self._tokens.labels(kind=kind)
        for category in categories:
            self._harm_potential.labels(category=category)
            self._harmful_inputs.labels(category=category)
        for behaviour, applied, input_harm in product(behaviours, (False, True), InputHarm):
            labels = {"category": behaviour, "applied": _word(applied), "input": input_harm}
            self._scored.labels(**labels)
            self._harmful.labels(**labels)

    def _create_bundle_series(self, bundle: BundleLabels) -> None:
        self.access.show_bundle(bundle.bundle)
        self._strength.labels(bundle=bundle.bundle)
        for reason in sorted(set(Reason) - NEVER_ACTS):
            self._interventions.labels(bundle=bundle.bundle, reason=reason)
        self._bundle_info.labels(*bundle.values()).set(1)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)


def _word(flag: bool) -> str:
    return "true" if flag else "false"

"""Writes the Grafana dashboard: `python deploy/grafana/make_dashboard.py`. A test fails when the file drifts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent / "dashboards" / "scalpel.json"
WINDOW = "$__rate_interval"
COLUMNS = 24
HEIGHT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One graph: queries by legend."""

    title: str
    text: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    """(legend, PromQL)"""
    width: int = 8
    most: float | None = None


def rate(metric: str) -> str:
    return f"rate({metric}[{WINDOW}])"


def quantile(share: float, metric: str, *by: str) -> str:
    labels = ", ".join(["le", *by])
    return f"histogram_quantile({share}, sum by ({labels}) ({rate(metric + '_bucket')}))"


def mean(metric: str, by: str) -> str:
    return f"sum by ({by}) ({rate(metric + '_sum')}) / sum by ({by}) ({rate(metric + '_count')})"


def harm_rate(applied: str) -> str:
    labels = f'applied="{applied}", input="harmful"'
    harmful = rate(f"scalpel_harmful_outputs_total{{{labels}}}")
    scored = rate(f"scalpel_outputs_scored_total{{{labels}}}")
    return f"sum by (category) ({harmful}) / sum by (category) ({scored})"


PANELS = (
    Panel(
        title="Harm potential of inputs",
        text="Mean calibrated probability that the unmodified model's reply would show the behaviour.",
        unit="percentunit",
        queries=(("{{category}}", mean("scalpel_harm_potential", "category")),),
        most=1,
    ),
    Panel(
        title="Harm rate on harmful inputs, without intervention",
        text="Share of harmful replies to inputs with a harm potential of at least 0.5, where no bundle acted.",
        unit="percentunit",
        queries=(("{{category}}", harm_rate("false")),),
        most=1,
    ),
    Panel(
        title="Harm rate on harmful inputs, with intervention",
        text="The same where a bundle of the category acted.",
        unit="percentunit",
        queries=(("{{category}}", harm_rate("true")),),
        most=1,
    ),
    Panel(
        title="Strength",
        text="Mean strength of each bundle over all requests.",
        unit="none",
        queries=(("{{bundle}}", mean("scalpel_strength", "bundle")),),
    ),
    Panel(
        title="Interventions by reason",
        text="Requests per second in which a bundle acted.",
        unit="reqps",
        queries=(
            ("{{bundle}}: {{reason}}", f"sum by (bundle, reason) ({rate('scalpel_interventions_applied_total')})"),
        ),
    ),
    Panel(
        title="Harmful inputs and overrides",
        text="Inputs with a harm potential of at least 0.5, and requests that went below a policy's floor.",
        unit="reqps",
        queries=(
            ("harmful: {{category}}", f"sum by (category) ({rate('scalpel_harmful_inputs_total')})"),
            ("override: {{bundle}}", f"sum by (bundle) ({rate('scalpel_policy_overrides_total')})"),
        ),
    ),
    Panel(
        title="Requests by outcome",
        text="Requests per second.",
        unit="reqps",
        queries=(("{{outcome}}", f"sum by (outcome) ({rate('scalpel_requests_total')})"),),
    ),
    Panel(
        title="Running and waiting",
        text="Requests in the engine and in its queue.",
        unit="none",
        queries=(("running", "scalpel_requests_running"), ("waiting", "scalpel_requests_waiting")),
    ),
    Panel(
        title="Tokens",
        text="Tokens per second, of prompts and of replies.",
        unit="none",
        queries=(("{{kind}}", f"sum by (kind) ({rate('scalpel_tokens_total')})"),),
    ),
    Panel(
        title="Time to first token",
        text="From a request's arrival.",
        unit="s",
        queries=tuple((f"p{q}", quantile(q / 100, "scalpel_time_to_first_token_seconds")) for q in (50, 95, 99)),
    ),
    Panel(
        title="Inter-token time and request time",
        text="Between tokens of one reply, and of whole requests.",
        unit="s",
        queries=(
            ("token p50", quantile(0.5, "scalpel_inter_token_seconds")),
            ("token p99", quantile(0.99, "scalpel_inter_token_seconds")),
            ("request p95", quantile(0.95, "scalpel_request_seconds")),
        ),
    ),
    Panel(
        title="Classifier",
        text="Time to classify an input.",
        unit="s",
        queries=tuple((f"p{q}", quantile(q / 100, "scalpel_classifier_seconds")) for q in (50, 99)),
    ),
    Panel(
        title="Classifier failures and unscored replies",
        text="Per second: inputs without a harm potential (they ran at full strength), replies without a harm score.",
        unit="reqps",
        queries=(
            ("classifier: {{reason}}", f"sum by (reason) ({rate('scalpel_classifier_failures_total')})"),
            ("unscored: {{reason}}", f"sum by (reason) ({rate('scalpel_outputs_unscored_total')})"),
        ),
        width=12,
    ),
    Panel(
        title="Loaded bundles",
        text="Always 1 for a loaded bundle.",
        unit="none",
        queries=(("{{bundle}} ({{kind}}, {{category}}, {{scope}})", "scalpel_bundle_info"),),
        width=12,
    ),
    Panel(
        title="Self-test",
        text="1 for each check that passed or was accepted by name; a server with a 0 serves nothing.",
        unit="none",
        queries=(("{{check}}", "min by (check) (scalpel_selftest_ok)"),),
    ),
    Panel(
        title="Shadow",
        text="Requests per second in which a bundle in shadow would have acted or refused.",
        unit="reqps",
        queries=(
            ("{{bundle}}: {{reason}}", f"sum by (bundle, reason) ({rate('scalpel_shadow_interventions_total')})"),
        ),
    ),
    Panel(
        title="Refused by policy, rates and keys",
        text="Requests per second that were not let in, or not let below a floor.",
        unit="reqps",
        queries=(
            ("below floor: {{bundle}}", f"sum by (bundle) ({rate('scalpel_policy_overrides_refused_total')})"),
            ("rate: {{limit}}", f"sum by (limit) ({rate('scalpel_rate_limited_total')})"),
            ("key: {{reason}}", f"sum by (reason) ({rate('scalpel_auth_failures_total')})"),
        ),
    ),
    Panel(
        title="Reloads and audit",
        text="Readings of policy and keys, and entries that the audit log could not take, per minute.",
        unit="none",
        queries=(
            ("{{file}}: {{outcome}}", f"60 * sum by (file, outcome) ({rate('scalpel_policy_reloads_total')})"),
            ("audit failures", f"60 * sum ({rate('scalpel_audit_failures_total')})"),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    x = y = 0
    for number, panel in enumerate(PANELS, 1):
        if x + panel.width > COLUMNS:
            x, y = 0, y + HEIGHT
        panels.append(_panel(number, panel, x, y))
        x += panel.width
    return {
        "uid": "scalpel",
        "title": "SCALPEL",
        "tags": ["scalpel"],
        "schemaVersion": 41,
        "editable": True,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "panels": panels,
    }


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    limits = {"min": 0} | ({} if panel.most is None else {"max": panel.most})
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, **limits}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + n), "expr": query, "legendFormat": legend}
            for n, (legend, query) in enumerate(panel.queries)
        ],
    }


def rendered() -> str:
    """The file's text."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    TARGET.write_text(rendered(), encoding="utf-8")

"""Everything in deploy/ that can be checked without a container engine."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.config import load_config
from server.errors import ConfigError
from server.metrics import Metrics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def sample_names() -> set[str]:
    """Every sample that the server can expose."""
    from serving.live import stub_state

    return {sample.name for family in stub_state().metrics.registry.collect() for sample in family.samples}


def expressions() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "scalpel.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_the_dashboard_is_what_its_code_makes() -> None:
    made = runpy.run_path(str(DEPLOY / "grafana" / "make_dashboard.py"))
    assert made["rendered"]() == made["TARGET"].read_text()


def test_every_metric_of_the_dashboard_exists() -> None:
    used = {name for expression in expressions() for name in re.findall(r"scalpel_[a-z_]+", expression)}
    assert used <= sample_names(), used - sample_names()


def test_every_metric_family_is_on_the_dashboard() -> None:
    shown = " ".join(expressions())
    families = {family.name for family in Metrics([], [], []).registry.collect()}
    assert not [name for name in families if name not in shown and not name.endswith("_created")]


def test_labels_of_the_dashboard_exist() -> None:
    labels = {
        label
        for expression in expressions()
        for group in re.findall(r"by \(([a-z, ]+)\)", expression)
        for label in group.split(", ")
    }
    assert labels <= {"category", "bundle", "reason", "outcome", "kind", "le", "limit", "file", "check"}


def test_prometheus_scrapes_the_compose_service() -> None:
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    (job,) = prometheus["scrape_configs"]
    host, port = job["static_configs"][0]["targets"][0].split(":")
    assert host in compose["services"]
    assert job["metrics_path"] == "/metrics"
    assert f"127.0.0.1:{port}:{port}" in compose["services"][host]["ports"]


def test_compose_opens_no_port_to_other_machines_and_mounts_what_exists() -> None:
    services: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for volume in service.get("volumes", []):
            assert (DEPLOY / volume.split(":")[0]).exists()
    for file in (DEPLOY / "grafana" / "provisioning").rglob("*.yaml"):
        assert yaml.safe_load(file.read_text())["apiVersion"] == 1


def test_the_image_says_openly_that_it_asks_for_no_keys() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["scalpel", "serve", "--host", "0.0.0.0"]' in dockerfile
    assert "USER 10001" in dockerfile
    assert "HEALTHCHECK" in dockerfile
    with pytest.raises(ConfigError):
        load_config(None, {"host": "0.0.0.0"})
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert compose["services"]["scalpel"]["command"] == ["--insecure-no-keys"]


def test_the_image_copies_what_the_build_needs() -> None:
    sources = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for source in " ".join(sources).split():
        assert (ROOT / source).exists() or source in ("LICENSE", "README.md")
    assert {"server", "evaluation", "classifiers", "breakers"} <= set(" ".join(sources).split())

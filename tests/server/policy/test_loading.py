"""The policy file: what is read, and what is refused with which sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from serving.policies import CHAT, TRUSTED

from breakers.bundles import open_bundle
from breakers.demo import bundles_path
from server.access.caller import ANYONE
from server.deploying import planned_bundle
from server.errors import ConfigError
from server.policy.loading import load_policy
from server.policy.planner import Planner
from server.policy.policy import RateLimits
from server.policy.settings import Mode

DOCS = Path(__file__).parents[3] / "docs" / "policy.md"


def written(path: Path, text: str) -> Path:
    file = path / "policy.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "version is missing"),
        ("version: 2", "version: "),
        ("version: 1\nbundle: {}", "bundle: unknown key; accepted: bundles, defaults, keys, rates, version"),
        ("version: 1\ndefaults: {flor: 1}", "defaults.flor: unknown key; accepted: ceiling, classifier_failure,"),
        ("version: 1\nbundles: {tox: {flor: 1}}", "bundles.tox.flor: unknown key; accepted: ceiling,"),
        ("version: 1\nkeys: {k: {bundles: {tox: {flor: 1}}}}", "flor: unknown key; accepted: ceiling,"),
        ("version: 1\ndefaults: {floor: true}", "defaults.floor: "),
        ("version: 1\ndefaults: {floor: '0.5'}", "defaults.floor: "),
        ("version: 1\ndefaults: {floor: .nan}", "defaults.floor: "),
        ("version: 1\ndefaults: {floor: -0.5}", "defaults.floor: "),
        ("version: 1\ndefaults: {enabled: 1}", "defaults.enabled: "),
        ("version: 1\ndefaults: {mode: shade}", "defaults.mode: "),
        ("version: 1\ndefaults: {classifier_failure: none}", "defaults.classifier_failure: "),
        ("version: 1\ndefaults: {rollout: {share: 1.5}}", "defaults.rollout.share: "),
        ("version: 1\nrates: {requests_per_minute: 0}", "rates.requests_per_minute: "),
        ("version: 1\nbundles: {tox: {floor: 0.5}, tox: {}}", "the key 'tox' stands here twice"),
    ],
)
def test_what_cannot_be_used_names_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load_policy(file)
    assert str(file) in str(refused.value)
    assert said in str(refused.value)


def test_rates_of_a_key_differ_only_where_they_are_set(tmp_path: Path) -> None:
    text = """
version: 1
rates: {requests_per_minute: 60, tokens_per_minute: 1000}
keys:
  front: {rates: {requests_per_minute: 600}}
  bbbbbbbbbbbb: {rates: {tokens_per_minute: null}}
"""
    policy = load_policy(written(tmp_path, text))
    assert policy.rates(ANYONE) == RateLimits(requests_per_minute=60, tokens_per_minute=1000)
    assert policy.rates(CHAT) == RateLimits(requests_per_minute=600, tokens_per_minute=1000)
    assert policy.rates(TRUSTED) == RateLimits(requests_per_minute=60, tokens_per_minute=None)


def test_the_example_of_the_documentation_fits_the_packaged_bundles(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(version: 1\n.*?)```", DOCS.read_text(), re.DOTALL)
    policy = load_policy(written(tmp_path, example))
    packaged = bundles_path().iterdir()
    planner = Planner((planned_bundle(open_bundle(path)) for path in packaged if path.is_dir()), policy)
    assert set(policy.settings.bundles) < set(planner.bundles)
    assert policy.settings.keys
    assert Mode.SHADOW in {rules.mode for rules in policy.settings.bundles.values()}

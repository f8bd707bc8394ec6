"""What `scalpel serve` serves without any argument: the packaged model, bundles and classifier together."""

from __future__ import annotations

import openai
import pytest
from serving.live import live

from breakers.demo.corpus import heldout
from classifiers.lexical import shipped_path
from server.composition import build_server, bundle_references
from server.config import ServerConfig
from server.policy.planner import Wishes
from server.state import ServerState

PROMPTS = 40


def packaged() -> bool:
    """Whether the package's data files have been built."""
    try:
        return bool(bundle_references(ServerConfig())) and shipped_path().is_dir()
    except (ImportError, FileNotFoundError):
        return False


pytestmark = pytest.mark.skipif(not packaged(), reason="the packaged bundles or classifier are not built yet")


@pytest.fixture(scope="module")
def state() -> ServerState:
    return build_server(ServerConfig())


def test_three_gated_breakers_and_a_mask(state: ServerState) -> None:
    gated = {b.category for b in state.deployments.current.planner.bundles.values() if b.gate is not None}
    assert gated == {"toxicity", "gender_bias", "misinformation"}
    assert {b.kind for b in state.deployments.current.planner.bundles.values() if b.gate is None} == {"mask"}
    assert state.names.base == "scalpel-demo"
    gates = [bundle.manifest.gate for bundle in state.deployments.current.bundles.values()]
    assert {gate.classifier for gate in gates if gate is not None} == {state.classifier.classifier.name}


@pytest.mark.parametrize("behaviour", ["toxicity", "gender_bias", "misinformation"])
def test_gates_open_on_provoking_prompts_and_stay_shut_on_facts(state: ServerState, behaviour: str) -> None:
    def share_acting(kind: str) -> float:
        prompts = [example.messages for example in heldout(kind, PROMPTS, 3)]
        planner = state.deployments.current.planner
        plans = [planner.plan(Wishes(), potentials) for potentials in state.classifier.classifier.score(prompts)]
        return sum(behaviour in plan.strengths() for plan in plans) / len(plans)

    assert share_acting(behaviour) > 0.8
    assert share_acting("facts") < 0.1


def test_off_and_on_differ_and_the_report_says_why(state: ServerState) -> None:
    (example,) = heldout("toxicity", 1, 3)
    with live(state) as server, openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:

        def ask(model: str) -> tuple[str, dict[str, object]]:
            reply = client.chat.completions.create(model=model, messages=example.messages, temperature=0)
            return reply.choices[0].message.content, reply.model_extra["scalpel"]

        off, off_report = ask("scalpel-demo@off")
        on, on_report = ask("scalpel-demo@strict")
    assert off_report["tokens_steered"] == 0
    assert on_report["applied"]["toxicity"]["reason"] == "profile"
    assert on_report["tokens_steered"] > 0
    assert on
    assert off

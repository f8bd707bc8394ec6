"""What a bank lets a plan ask, and when two requests may share the keys and values of a block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bundle_files import save_good

from breakers.bank import Scope
from breakers.bundles import Bundle
from breakers.errors import PlanError
from breakers.plan import AppliedStrength, Plan, Reason
from breakers.vllm_plugin.catalogue import NO_BUNDLES, AdmittedPlan, Catalogue, open_bundles
from breakers.vllm_plugin.messages import PlanMessage, encode_plan
from breakers.vllm_plugin.settings import PluginSettings

PROMPT = 20


@pytest.fixture
def bundles(tmp_path: Path) -> tuple[Bundle, ...]:
    save_good(tmp_path / "calm")
    save_good(tmp_path / "loud", name="loud", scope=Scope.ALL)
    return open_bundles(PluginSettings(bundles=[str(tmp_path / "calm"), str(tmp_path / "loud")]))


def sent(strengths: dict[str, float], **fields: Any) -> dict[str, str]:
    entries = {n: AppliedStrength(strength=s, reason=Reason.REQUEST) for n, s in strengths.items()}
    return encode_plan(PlanMessage(plan=Plan(entries), **fields))


def admitted(catalogue: Catalogue, strengths: dict[str, float], prompt: int = PROMPT, **fields: Any) -> AdmittedPlan:
    found = catalogue.admit(sent(strengths, **fields), prompt)
    assert found is not None
    return found


def test_a_plan_that_does_nothing_is_none(bundles: tuple[Bundle, ...]) -> None:
    catalogue = Catalogue(bundles)
    assert catalogue.admit(None, PROMPT) is None
    assert catalogue.admit({"scalpel": '{"strengths": {"calm": 0}}'}, PROMPT) is None


def test_generation_starts_at_the_last_prompt_token_unless_said_otherwise(bundles: tuple[Bundle, ...]) -> None:
    catalogue = Catalogue(bundles)
    assert admitted(catalogue, {"calm": 1.0}).generation_start == PROMPT - 1
    assert admitted(catalogue, {"calm": 1.0}, generation_start=4).generation_start == 4
    with pytest.raises(PlanError, match=r"generation_start is 20; wanted 0 to 19"):
        catalogue.admit(sent({"calm": 1.0}, generation_start=20), PROMPT)


def test_plans_that_cannot_be_applied_are_refused(bundles: tuple[Bundle, ...]) -> None:
    catalogue = Catalogue(bundles)
    with pytest.raises(PlanError, match="'unheard_of' is not loaded; loaded: calm, loud"):
        catalogue.admit({"scalpel": '{"strengths": {"unheard_of": 0}}'}, PROMPT)
    with pytest.raises(PlanError, match=r"'calm' is 1\.5; wanted a number in \[0, 1\.0\]"):
        catalogue.admit(sent({"calm": 1.5}), PROMPT)
    with pytest.raises(PlanError, match=f"the plan is for bank 'another'; loaded: {catalogue.digest}"):
        catalogue.admit(sent({"calm": 1.0}, bank="another"), PROMPT)
    with pytest.raises(PlanError, match="loaded: none"):
        NO_BUNDLES.admit(sent({"calm": 1.0}), PROMPT)


def test_blocks_before_generation_start_are_shared_between_plans_of_its_scope(bundles: tuple[Bundle, ...]) -> None:
    plan = admitted(Catalogue(bundles), {"calm": 1.0})
    assert plan.block_keys(PROMPT - 1) == ()
    assert len(plan.block_keys(PROMPT)) == 1
    assert plan.block_keys(PROMPT) == plan.block_keys(PROMPT + 100)


def test_blocks_of_prompts_of_other_lengths_are_apart(bundles: tuple[Bundle, ...]) -> None:
    catalogue = Catalogue(bundles)
    short, long = (admitted(catalogue, {"calm": 1.0}, n) for n in (20, 25))
    assert short.block_keys(32) != long.block_keys(32)


def test_a_bundle_of_all_tokens_is_in_every_block_and_without_a_position(bundles: tuple[Bundle, ...]) -> None:
    catalogue = Catalogue(bundles)
    short, long = (admitted(catalogue, {"loud": 1.0}, n) for n in (20, 25))
    assert short.block_keys(8) == short.block_keys(400) == long.block_keys(8) != ()
    both = admitted(catalogue, {"loud": 1.0, "calm": 1.0})
    assert both.block_keys(8) == short.block_keys(8)
    assert len(both.block_keys(PROMPT)) == 2


def test_strengths_and_weights_are_part_of_a_key(bundles: tuple[Bundle, ...]) -> None:
    plans = [admitted(Catalogue(bundles), {"loud": s}) for s in (0.5, 1.0)]
    other = bundles[1].manifest.model_copy(update={"weights_sha256": "sha256:" + "1" * 64})
    retrained = Catalogue([bundles[0], Bundle(manifest=other, interventions=bundles[1].interventions, source="")])
    plans.append(admitted(retrained, {"loud": 1.0}))
    assert len({plan.block_keys(8) for plan in plans}) == 3
    assert retrained.digest != Catalogue(bundles).digest

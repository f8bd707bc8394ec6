"""The contract of the self-test: every engine proves itself, and says which bundle does not act as it declares."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from engine_contract import PLANS, assert_same, contract_bundles, prompt, replies, request, running
from tiny import TINY_TYPES, VOCAB, tiny_model

from breakers.architectures import resolve_sites
from breakers.bank import BankEntry
from breakers.bundles.canary import measure_canary
from server.engines.base import Engine, EngineUnavailableError
from server.engines.checks import BATCH, PREFIX, STRENGTH_0, Canary, CheckResult, Verdict, failing


def canaries_for(model_type: str, bundles: Sequence[BankEntry]) -> list[Canary]:
    """What the bundles do to the tiny model, as plain transformers and the plain run time say."""
    model = tiny_model(model_type)
    sites = resolve_sites(model)
    measured = {entry.name: measure_canary(model, sites, entry, prompt(9)) for entry in bundles}
    return [
        Canary(
            bundle=name,
            token_ids=tuple(canary.token_ids),
            logit_ids=tuple(canary.logit_ids),
            change=tuple(canary.change),
        )
        for name, canary in measured.items()
    ]


def other_way(canary: Canary) -> Canary:
    """It declares the opposite."""
    return replace(canary, change=tuple(-change for change in canary.change))


def verdicts(results: Sequence[CheckResult]) -> dict[str, Verdict]:
    return {result.name: result.verdict for result in results}


@pytest.mark.parametrize(
    "model_type", [t if t == "llama" else pytest.param(t, marks=pytest.mark.slow) for t in TINY_TYPES]
)
class SelfTestContract:
    """Subclass as `Test...` and implement `build`, as for `EngineContract`."""

    def build(
        self,
        model_type: str,
        bundles: Sequence[BankEntry] = (),
        *,
        deterministic: bool = False,
        slots: int = 5,
        queue_size: int = 64,
    ) -> Engine:
        """An engine, not started, on `tiny_model(model_type)`."""
        raise NotImplementedError

    @pytest.mark.parametrize("deterministic", [False, True])
    async def test_a_good_engine_passes_again_and_again(self, model_type: str, deterministic: bool) -> None:
        bundles = contract_bundles(model_type)
        canaries = canaries_for(model_type, bundles)
        async with running(self.build(model_type, bundles, deterministic=deterministic)) as engine:
            for _ in range(2):
                results = await engine.selftest(canaries)
                assert failing(results) == ()
        names = [STRENGTH_0, *(f"canary:{entry.name}" for entry in bundles), BATCH, PREFIX]
        assert verdicts(results) == dict.fromkeys(names, Verdict.PASSED)
        if deterministic:
            assert [result.measured for result in results if result.name in (BATCH, PREFIX)] == [0.0, 0.0]

    async def test_an_engine_without_bundles_passes(self, model_type: str) -> None:
        async with running(self.build(model_type)) as engine:
            assert verdicts(await engine.selftest(())) == dict.fromkeys((STRENGTH_0, BATCH, PREFIX), Verdict.PASSED)

    async def test_a_single_slot_is_enough(self, model_type: str) -> None:
        bundles = contract_bundles(model_type)
        async with running(self.build(model_type, bundles, slots=1, queue_size=0)) as engine:
            assert failing(await engine.selftest(canaries_for(model_type, bundles))) == ()

    async def test_exactly_the_wrong_canary_fails(self, model_type: str) -> None:
        bundles = contract_bundles(model_type)
        right = canaries_for(model_type, bundles)
        async with running(self.build(model_type, bundles)) as engine:
            for index, wrong in enumerate(right):
                canaries = [*right[:index], other_way(wrong), *right[index + 1 :]]
                results = await engine.check_canaries(canaries)
                assert [result.name for result in failing(results)] == [wrong.check]
            results = await engine.selftest([other_way(right[0]), *right[1:]])
            assert [result.name for result in failing(results)] == [right[0].check]

    async def test_what_a_canary_cannot_be_fails(self, model_type: str) -> None:
        bundles = contract_bundles(model_type)
        good = canaries_for(model_type, bundles)[0]
        cases = {
            "holds 999999; the model has": replace(good, token_ids=(5, 999_999)),
            "canary.logit_ids of 'heads' holds": replace(good, logit_ids=(VOCAB, *good.logit_ids[1:])),
            "times its size": replace(good, change=tuple(2 * change for change in good.change)),
            "is 0 everywhere": replace(good, change=tuple(0.0 for _ in good.change)),
            "could not be made": replace(good, bundle="unheard_of"),
        }
        async with running(self.build(model_type, bundles)) as engine:
            for said, canary in cases.items():
                (result,) = await engine.check_canaries([canary])
                assert result.verdict is Verdict.FAILED, said
                assert said in result.detail

    async def test_an_accepted_bundle_may_act_otherwise_but_has_to_act(self, model_type: str) -> None:
        bundles = contract_bundles(model_type)
        accepted = [replace(canary, accepted=True) for canary in canaries_for(model_type, bundles)]
        foreign = replace(accepted[1], token_ids=(5, 999_999))
        async with running(self.build(model_type, bundles)) as engine:
            results = await engine.check_canaries([accepted[0], other_way(accepted[0]), foreign])
        assert [r.verdict for r in results] == [Verdict.PASSED, Verdict.ACCEPTED, Verdict.ACCEPTED]
        assert all("accepted by name" in r.detail for r in results[1:])
        idle = replace(bundles[2], interventions=tuple(_open(mask) for mask in bundles[2].interventions))
        async with running(self.build(model_type, [idle])) as engine:
            (result,) = await engine.check_canaries([accepted[2]])
        assert (result.verdict, result.detail) == (Verdict.FAILED, "bundle 'mask' does not change the logits")

    async def test_requests_that_run_meanwhile_are_not_touched(self, model_type: str) -> None:
        bundles = contract_bundles(model_type)
        canaries = canaries_for(model_type, bundles)
        wanted = [request(prompt(6 + 11 * i), plan, max_tokens=12) for i, plan in enumerate(PLANS)]
        async with running(self.build(model_type, bundles, deterministic=True)) as engine:
            undisturbed = await replies(engine, wanted)
            disturbed, results, _ = await asyncio.gather(
                replies(engine, wanted), engine.selftest(canaries), engine.check_canaries(canaries)
            )
            assert engine.stats().running == engine.stats().waiting == 0
        assert failing(results) == ()
        for found, before in zip(disturbed, undisturbed, strict=True):
            assert_same(found, before, bitwise=True)

    async def test_an_engine_that_does_not_run_proves_nothing(self, model_type: str) -> None:
        engine = self.build(model_type)
        with pytest.raises(EngineUnavailableError):
            await engine.selftest(())
        async with running(engine):
            pass
        with pytest.raises(EngineUnavailableError):
            await engine.selftest(())


def _open(mask: object) -> object:
    """The same mask, pruning nothing."""
    return replace(mask, keep=mask.keep * 0 + 1)

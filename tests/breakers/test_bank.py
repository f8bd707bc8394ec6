"""The fused bank against the slow statement of the same formula, and the strength table."""

import pytest
import torch
from tiny import tiny_model

from breakers.architectures import resolve_sites
from breakers.bank import Bank, BankEntry, Scope, StrengthTable
from breakers.errors import InterventionError, PlanError
from breakers.interventions import Breaker, Mask, SteeringVector, intervene
from breakers.plan import AppliedStrength, Plan, Reason
from breakers.sites import Boundary, Component, HookPoint, Site

HEADS = HookPoint(1, Boundary.ATTENTION_OUT_INPUT)


@pytest.fixture(scope="module")
def sites():
    return resolve_sites(tiny_model("llama"))


def head(n: int) -> Site:
    return Site(layer=1, component=Component.HEAD, head=n)


def entry(name: str, *interventions, scope: Scope = Scope.ALL) -> BankEntry:
    return BankEntry(name=name, scope=scope, interventions=interventions, strength_max=2.0)


def three_bundles() -> list[BankEntry]:
    random = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(*shape, generator=random)  # noqa: E731
    return [
        entry("breaker", Breaker(site=head(0), down=draw(2, 8), up=draw(8, 2))),
        entry(
            "both",
            Breaker(site=head(0), down=draw(3, 8), up=draw(8, 3)),
            SteeringVector(site=head(2), vector=draw(8)),
        ),
        entry("mask", Mask(site=head(0), keep=torch.rand(8, generator=random))),
    ]


def reference(sites, entries, z, values):
    """Each head on its own, one intervention at a time."""
    out = z.clone()
    for n in range(4):
        channels = sites.channels(head(n))
        here = [(k, values[:, c]) for c, e in enumerate(entries) for k in e.interventions if k.site == head(n)]
        out[:, channels] = intervene(z[:, channels], here)
    return out


def test_fused_update_equals_the_formula(sites) -> None:
    entries = three_bundles()
    bank = Bank(sites, entries)
    random = torch.Generator().manual_seed(2)
    z = torch.randn(40, 32, generator=random)
    values = torch.rand(40, 3, generator=random) * (torch.rand(40, 3, generator=random) < 0.5)
    hook = bank.points[HEADS]
    out = hook.apply(z, bank.token_strengths(values).at(HEADS, hook))
    torch.testing.assert_close(out, reference(sites, entries, z, values), atol=1e-5, rtol=1e-5)
    untouched = (values == 0).all(1)
    assert untouched.any()
    assert torch.equal(out[untouched], z[untouched])


@pytest.mark.parametrize("rank", range(1, 14))
def test_laid_out_for_serving_a_row_has_the_same_bits_in_any_place(sites, rank: int) -> None:
    random = torch.Generator().manual_seed(rank)
    breaker = Breaker(
        site=head(0), down=torch.randn(rank, 8, generator=random), up=torch.randn(8, rank, generator=random)
    )
    hook = Bank(sites, [entry("breaker", breaker)], for_serving=True).points[HEADS]
    for tokens in (8, 16, 24, 64):
        z = torch.randn(1, 32, generator=random).repeat(tokens, 1)
        out = hook.apply(z, hook.expand(torch.full((tokens, 1), 0.7)))
        torch.testing.assert_close(
            out[:1], reference(sites, [entry("breaker", breaker)], z[:1], torch.full((1, 1), 0.7))
        )
        assert torch.equal(out, out[:1].expand_as(out))


def test_untouched_rows_survive_infinities(sites) -> None:
    bank = Bank(sites, three_bundles())
    z = torch.full((2, 32), float("inf"))
    hook = bank.points[HEADS]
    out = hook.apply(z, bank.token_strengths(torch.tensor([[0.0, 0, 0], [1.0, 0, 0]])).at(HEADS, hook))
    assert torch.equal(out[0], z[0])


def test_full_mask_prunes_exactly(sites) -> None:
    keep = torch.tensor([0.0, 1.0] * 4)
    bank = Bank(sites, [entry("mask", Mask(site=head(3), keep=keep))])
    z = torch.randn(5, 32)
    hook = bank.points[HEADS]
    out = hook.apply(z, bank.token_strengths(torch.ones(5, 1)).at(HEADS, hook))
    pruned = z.clone()
    pruned[:, 24:32:2] = 0
    assert torch.equal(out, pruned)


def test_only_used_hook_points_are_active(sites) -> None:
    resid = entry("resid", SteeringVector(site=Site(layer=2, component=Component.RESID), vector=torch.ones(32)))
    bank = Bank(sites, [*three_bundles(), resid])
    assert bank.token_strengths(torch.zeros(4, 4)).active == frozenset()
    assert bank.token_strengths(torch.tensor([[0.0, 0, 0, 1]])).active == {HookPoint(2, Boundary.BLOCK_OUTPUT)}


def test_bad_plans_and_banks_are_refused(sites) -> None:
    bank = Bank(sites, three_bundles())
    with pytest.raises(PlanError, match="'typo' is not loaded; loaded: breaker, both, mask"):
        bank.row({"typo": 1.0})
    with pytest.raises(PlanError, match=r"'mask' is 2.5; wanted a number in \[0, 2.0\]"):
        bank.row({"mask": 2.5})
    with pytest.raises(InterventionError, match="share a name"):
        Bank(sites, [entry("a"), entry("a")])
    with pytest.raises(InterventionError, match="5 wide; the site is 8"):
        Bank(sites, [entry("a", SteeringVector(site=head(0), vector=torch.ones(5)))])


def plan(**strengths: float) -> Plan:
    return Plan({name: AppliedStrength(strength=s, reason=Reason.REQUEST) for name, s in strengths.items()})


def test_strength_table_by_slot_scope_and_position(sites) -> None:
    always = entry("always", SteeringVector(site=head(0), vector=torch.ones(8)))
    late = entry("late", SteeringVector(site=head(1), vector=torch.ones(8)), scope=Scope.GENERATION)
    table = StrengthTable(Bank(sites, [always, late]), slots=3)
    table.assign(0, plan(always=0.5, late=1.0), generation_start=2)
    table.assign(2, plan(late=0.25), generation_start=0)
    slots, positions = torch.tensor([0, 0, 1, 2]), torch.tensor([1, 2, 5, 0])
    assert table.gather(slots, positions).values.tolist() == [[0.5, 0.0], [0.5, 1.0], [0.0, 0.0], [0.0, 0.25]]
    table.move(2, 1)
    assert table.gather(slots, positions).values.tolist() == [[0.5, 0.0], [0.5, 1.0], [0.0, 0.25], [0.0, 0.0]]
    table.release(0)
    assert table.gather(slots, positions).values[0].tolist() == [0.0, 0.0]
    assert table.version == 4

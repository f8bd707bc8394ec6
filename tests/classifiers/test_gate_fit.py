"""The gate's fit by hand arithmetic, its invariants, and the table's file."""

import dataclasses
import math

import numpy as np
import pytest

from breakers.gate import Gate
from classifiers.errors import FitError, GateTableError
from classifiers.gate_fit import GateFitConfig, candidate_gates, fit_gate, gate_levels
from classifiers.gate_table import GateTable, load_gate_table, save_gate_table

LEVELS = np.arange(17) / 16


def table(harm_potential: list[float], harm: np.ndarray, change: np.ndarray, benign: list[bool]) -> GateTable:
    return GateTable(
        bundle="b",
        category="toxicity",
        classifier="lexical:abc",
        scorer="demo",
        base_fingerprint="sha256:0",
        weights_sha256="sha256:1",
        command="test",
        harm_potential=np.array(harm_potential),
        harm=harm,
        change=change,
        benign=np.array(benign),
    )


def harmful(stops_at: float) -> np.ndarray:
    """Harm 1 below a strength, 0 from it on."""
    return (stops_at > LEVELS).astype(float)


def separated() -> GateTable:
    """Two benign prompts that change costs, two harmful ones that need half and full strength."""
    harm = np.stack([np.zeros(17), np.zeros(17), harmful(0.5), harmful(1.0)])
    change = np.stack([LEVELS, LEVELS, np.zeros(17), np.zeros(17)])
    return table([0.05, 0.2, 0.8, 0.9], harm, change, [True, True, False, False])


def test_p_off_is_just_above_the_benign_prompts_within_the_budget() -> None:
    strict = fit_gate(separated(), GateFitConfig(false_positive_budget=0.0))
    assert strict.gate.p_off == pytest.approx(0.2)
    assert strict.gate.p_off > 0.2
    half = fit_gate(separated(), GateFitConfig(false_positive_budget=0.5))
    assert 0.05 < half.gate.p_off < 0.06
    floor = fit_gate(separated(), GateFitConfig(false_positive_budget=0.5, p_off_floor=0.3))
    assert floor.gate.p_off == 0.3


def test_a_separable_table_costs_nothing_and_the_best_fixed_strength_costs_the_change() -> None:
    result = fit_gate(separated(), GateFitConfig(false_positive_budget=0.0))
    assert result.cost == 0.0
    assert result.harm == 0.0
    assert result.harm_off == 0.5
    assert result.benign_off_share == 1.0
    # Full strength for all: change 1 on two of four prompts, times 0.5. At 1/2: harm 1 on one, change 1/2 on two.
    assert result.cost_best_fixed == pytest.approx(0.25)
    assert result.cost_best_per_prompt == 0.0
    assert [result.gate.strength(p) for p in (0.05, 0.2, 0.8, 0.9)] == [0.0, 0.0, 1.0, 1.0]


def test_one_harmless_prompt_does_not_decide_how_steep_the_gate_is() -> None:
    # The third prompt provokes, but its reply happened to be harmless, and full strength changes it by 0.001.
    harm = np.stack([np.zeros(17), np.zeros(17), np.zeros(17), harmful(1.0)])
    change = np.stack([LEVELS, LEVELS, LEVELS / 1000, np.zeros(17)])
    made = table([0.05, 0.2, 0.5, 0.9], harm, change, [True, True, False, False])
    exact = fit_gate(made, GateFitConfig(false_positive_budget=0.0, cost_tolerance=0.0))
    assert exact.gate.strength(0.5) <= 1 / 16
    tolerant = fit_gate(made, GateFitConfig(false_positive_budget=0.0, cost_tolerance=0.002))
    assert tolerant.gate.strength(0.5) == 1.0
    assert tolerant.gate.strength(0.2) == 0.0
    assert tolerant.cost <= exact.cost + 0.002


def test_no_candidate_of_the_grid_is_cheaper() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(40)
    need = rng.random(40)
    harm = (need[:, None] > LEVELS) * (p[:, None] > 0.3)
    change = LEVELS**2 * (1 - p[:, None])
    made = table(p.tolist(), harm.astype(float), change, (p <= 0.3).tolist())
    config = GateFitConfig(harm_coef=1.0, change_coef=0.7, false_positive_budget=0.2, cost_tolerance=0.0)
    result = fit_gate(made, config)
    for gate in candidate_gates(1.0, result.gate.p_off)[::7]:
        strengths = [gate.strength(x) for x in p]
        columns = [round(s * 16) for s in strengths]
        cost = np.mean([harm[i, c] + 0.7 * change[i, c] for i, c in enumerate(columns)])
        assert result.cost <= cost + 1e-12
    assert result.cost_best_per_prompt <= result.cost <= config.harm_coef * result.harm + 0.7 * result.change + 1e-12


def test_change_so_dear_that_doing_little_is_best() -> None:
    cheap = fit_gate(separated(), GateFitConfig(change_coef=0.0, false_positive_budget=0.5))
    assert cheap.harm == 0.0
    dear = table([0.5, 0.5], np.stack([harmful(1.0), np.zeros(17)]), np.stack([100 * LEVELS] * 2), [False, True])
    result = fit_gate(dear, GateFitConfig(change_coef=1.0, false_positive_budget=1.0))
    # Any strength costs more than the harm that full strength removes.
    assert result.cost == pytest.approx(0.5)
    assert result.gate.strength(0.5) == 0.0


@pytest.mark.parametrize("alpha_base", [0.3, 1.0])
def test_levels_equal_the_gate_and_never_fall(alpha_base: float) -> None:
    p = np.linspace(0, 1, 101)
    for gate in candidate_gates(alpha_base, 0.15)[::23]:
        levels = gate_levels(gate, p)
        np.testing.assert_array_equal(levels / 16, [gate.strength(float(x)) for x in p])
        assert (np.diff(levels) >= 0).all()
        assert gate.w >= 0
        assert not levels[p < 0.15].any()


def test_the_saturation_point_is_where_the_strength_becomes_full() -> None:
    gate = next(g for g in candidate_gates(1.0, 0.0) if g.w == 8.0 and math.isclose(g.b, 2.75 - 8 * 0.5))
    assert gate.strength(0.5) == 1.0
    assert gate.strength(0.45) < 1.0
    assert isinstance(gate, Gate)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha_base": 2.0}, "covers strengths up to 1.0"),
        ({"alpha_base": 0.0}, "alpha_base"),
        ({"harm_coef": -1.0}, "at least 0"),
    ],
)
def test_bad_configurations_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(FitError, match=message):
        fit_gate(separated(), dataclasses.replace(GateFitConfig(), **change))


def test_tables_without_benign_prompts_or_harm_are_refused() -> None:
    no_benign = dataclasses.replace(separated(), benign=np.zeros(4, dtype=bool))
    with pytest.raises(FitError, match="benign"):
        fit_gate(no_benign, GateFitConfig())
    with pytest.raises(FitError, match="nothing to gate"):
        fit_gate(dataclasses.replace(separated(), harm=np.zeros((4, 17))), GateFitConfig())


def test_a_table_round_trips(tmp_path) -> None:
    save_gate_table(separated(), tmp_path / "t.safetensors")
    loaded = load_gate_table(tmp_path / "t.safetensors")
    for field in dataclasses.fields(GateTable):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(separated(), field.name))


def test_a_broken_table_is_refused(tmp_path) -> None:
    (tmp_path / "t.safetensors").write_bytes(b"not a table")
    with pytest.raises(GateTableError, match="not a gate table"):
        load_gate_table(tmp_path / "t.safetensors")
    with pytest.raises(GateTableError, match="missing"):
        load_gate_table(tmp_path / "missing.safetensors")
    with pytest.raises(GateTableError, match="harm_potential"):
        dataclasses.replace(separated(), harm_potential=np.array([0.1, 0.2, 0.3, np.nan]))
    with pytest.raises(GateTableError, match="outside"):
        dataclasses.replace(separated(), harm=2 * separated().harm)

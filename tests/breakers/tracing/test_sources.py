from __future__ import annotations

import pytest
import torch
from tiny import tiny_model

from breakers.architectures import resolve_sites
from breakers.errors import NonFiniteError, TracingError
from breakers.sites import Boundary, HookPoint
from breakers.tracing.activations import capture
from breakers.tracing.patches import PatchConfig, PatchSource, Positions, TraceCase
from breakers.tracing.sources import Side, Sources, neutral_means, real_positions
from breakers.training.batches import Pair, Sample

HEADS, NEURONS = HookPoint(1, Boundary.ATTENTION_OUT_INPUT), HookPoint(1, Boundary.MLP_DOWN_INPUT)


def case(prompt, harmful, neutral, contrast=None) -> TraceCase:
    pair = Pair(harmful=Sample(prompt=prompt, reply=harmful), neutral=Sample(prompt=prompt, reply=neutral))
    return TraceCase(pair=pair, contrast=contrast)


CASES = [
    case((5, 6, 7), (8, 9, 2), (8, 10, 11, 12, 2), (5, 4, 7)),
    case((5, 6), (8, 9, 10, 11, 2), (9, 2), (4, 6)),
]


@pytest.fixture(scope="module")
def llama():
    model = tiny_model("llama")
    return model, resolve_sites(model)


def sources(llama, **config) -> Sources:
    model, sites = llama
    means = None
    if config["source"] is PatchSource.MEAN:
        means = neutral_means(model, sites, [c.pair.neutral for c in CASES], [HEADS, NEURONS])
    return Sources(model, sites, PatchConfig(**config), means)


def places(mask) -> list[list[int]]:
    return [row.nonzero().flatten().tolist() for row in mask]


@pytest.mark.parametrize(
    ("source", "positions", "side", "wanted"),
    [
        # From the last prompt token (2 and 1) to the end of the run.
        ("contrast", "generation", "harmful", [[2, 3, 4, 5], [1, 2, 3, 4, 5, 6]]),
        ("contrast", "generation", "neutral", [[2, 3, 4, 5, 6, 7], [1, 2, 3]]),
        # From the token where the prompts part (1 and 0).
        ("contrast", "all", "harmful", [[1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 6]]),
        # From the token where the replies part (4 and 2) to the end of the shorter run.
        ("completion", "generation", "harmful", [[4, 5], [2, 3]]),
        ("completion", "all", "harmful", [[4, 5], [2, 3]]),
        ("completion", "generation", "neutral", [[], []]),
        # Neutral runs have 5 tokens after the prompt at most.
        ("mean", "generation", "harmful", [[2, 3, 4, 5], [1, 2, 3, 4, 5, 6]]),
        ("mean", "all", "neutral", [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3]]),
    ],
)
def test_patched_positions(llama, source, positions, side, wanted) -> None:
    made = sources(llama, source=PatchSource(source), positions=Positions(positions))
    assert places(made.patched(CASES, Side(side))) == wanted


@pytest.mark.parametrize("side", Side)
def test_contrast_replacement_is_the_contrast_run(llama, side) -> None:
    replacement = sources(llama, source=PatchSource.CONTRAST).replacement(CASES, side, [HEADS, NEURONS], first=1)
    for row, c in enumerate(CASES):
        reply = c.pair.harmful.reply if side is Side.HARMFUL else c.pair.neutral.reply
        alone = capture(*llama, torch.tensor([c.contrast + reply]), [HEADS, NEURONS])
        for point, z in alone.items():
            found = replacement.values[point][row, : z.shape[1] - 1]
            torch.testing.assert_close(found, z[0, 1:], atol=1e-5, rtol=0)


def test_completion_replacement_is_the_neutral_run_at_the_same_place(llama) -> None:
    replacement = sources(llama, source=PatchSource.COMPLETION).replacement(CASES, Side.HARMFUL, [HEADS])
    alone = capture(*llama, torch.tensor([(5, 6, 9, 2)]), [HEADS])[HEADS]
    torch.testing.assert_close(replacement.values[HEADS][1, :4], alone[0], atol=1e-5, rtol=0)
    assert replacement.values[HEADS].shape[:2] == replacement.patched.shape == (2, 7)


def test_mean_replacement_is_the_mean_of_neutral_runs_at_the_same_offset(llama) -> None:
    replacement = sources(llama, source=PatchSource.MEAN).replacement(CASES, Side.HARMFUL, [NEURONS])
    first = capture(*llama, torch.tensor([(5, 6, 7, 8, 10, 11, 12, 2)]), [NEURONS])[NEURONS][0]
    second = capture(*llama, torch.tensor([(5, 6, 9, 2)]), [NEURONS])[NEURONS][0]
    found = replacement.values[NEURONS]
    # The last prompt token is at 2 in the first row, at 1 in the second; both neutral runs have a token there.
    torch.testing.assert_close(found[0, 2], (first[2] + second[1]) / 2, atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1, 1], (first[2] + second[1]) / 2, atol=1e-5, rtol=0)
    # Four tokens after the prompt only the first run goes on.
    torch.testing.assert_close(found[1, 5], first[6], atol=1e-5, rtol=0)


def test_what_is_missing_is_named(llama) -> None:
    without = case((5, 6), (8, 2), (9, 2))
    with pytest.raises(TracingError, match="case 1 has no contrast prompt"):
        sources(llama, source=PatchSource.CONTRAST).patched([CASES[0], without], Side.HARMFUL)
    with pytest.raises(TracingError, match="needs the mean activations"):
        Sources(*llama, PatchConfig(source=PatchSource.MEAN))
    with pytest.raises(TracingError, match="wanted at least one"):
        sources(llama, source=PatchSource.CONTRAST).patched([], Side.HARMFUL)
    with pytest.raises(TracingError, match="layer 1 block_output cannot be patched"):
        capture(*llama, torch.tensor([[5, 6]]), [HookPoint(1, Boundary.BLOCK_OUTPUT)])


def test_activations_that_are_not_finite_name_layer_and_case() -> None:
    model = tiny_model("llama")
    with torch.no_grad():
        model.model.embed_tokens.weight[4] = torch.nan
    made = Sources(model, resolve_sites(model), PatchConfig(source=PatchSource.CONTRAST))
    fine = case((5, 6), (8, 2), (9, 2), (7, 6))
    with pytest.raises(NonFiniteError, match="layer 1 attention_out_input of case 1") as raised:
        made.replacement([fine, CASES[0]], Side.NEUTRAL, [NEURONS, HEADS])
    assert raised.value.case == 1
    with pytest.raises(NonFiniteError, match="case 33"):
        neutral_means(model, made._sites, [fine.pair.neutral] * 33 + [Sample(prompt=(4,), reply=(2,))], [HEADS])


def test_real_positions_leave_padding_out() -> None:
    assert real_positions([CASES[0].pair.harmful, CASES[1].pair.neutral]).tolist() == [
        [True] * 6,
        [True] * 4 + [False] * 2,
    ]

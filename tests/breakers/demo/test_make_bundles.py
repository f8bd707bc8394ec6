"""The demo's bundles: drawn from the training split alone, made end to end in a step or two, and those that ship."""

from __future__ import annotations

import pytest

from breakers.bundles import load_bundle, verify_base
from breakers.bundles.canary import canary_cosine
from breakers.bundles.card import card_text
from breakers.demo import bundles_path, model_path
from breakers.demo.corpus import BEHAVIOURS, calibration, generate, heldout
from breakers.demo.make_bundles import (
    MASK_NAME,
    DemoBundlesConfig,
    draw_material,
    load_demo_model,
    make_demo_bundles,
    provokes,
)
from breakers.errors import InterventionError
from breakers.fingerprint import fingerprint_model


@pytest.fixture(scope="module")
def base():
    return load_demo_model(model_path())


def test_only_the_behaviour_itself_and_mixed_prompts_provoke() -> None:
    stream = generate(3)
    drawn = [next(stream) for _ in range(400)]
    assert {e.kind for e in drawn if provokes(e, "toxicity")} == {"toxicity", "mixed"}
    assert {e.kind for e in drawn if provokes(e, "gender_bias")} == {"gender_bias"}


def test_material_shares_no_prompt_with_what_is_measured(base, tmp_path) -> None:
    config = DemoBundlesConfig(out=tmp_path, model=model_path(), pairs=60, benign=60)
    drawn = {pair.neutral.prompt for pair in draw_material(base, ["toxicity"], config).pairs["toxicity"]}
    measured = {
        tuple(base.tokenizer.apply_chat_template(e.messages, add_generation_prompt=True, return_dict=False))
        for e in [*heldout("toxicity", 300, 2), *calibration("toxicity", 300, 0)]
    }
    assert drawn
    assert not drawn & measured


def test_a_short_training_writes_bundles_that_verify(base, tmp_path) -> None:
    config = DemoBundlesConfig(
        out=tmp_path, model=model_path(), pairs=4, benign=4, steps=1, mask_neurons=3, only=("gender_bias", MASK_NAME)
    )
    breaker, mask = make_demo_bundles(config)
    assert (breaker.kind, mask.kind) == ("breaker", "mask")
    assert sum(len(k.site.neurons) for k in mask.interventions) == 3
    verify_base(load_bundle(tmp_path / "gender_bias"), fingerprint_model(base.model))
    assert breaker.manifest.gate is None


def test_unknown_names_are_refused(tmp_path) -> None:
    config = DemoBundlesConfig(out=tmp_path, model=model_path(), only=("kindness",))
    with pytest.raises(InterventionError, match="no demo bundle is called kindness; there are toxicity"):
        make_demo_bundles(config)


@pytest.mark.parametrize("name", [*BEHAVIOURS, MASK_NAME])
def test_the_shipped_bundles_fit_the_shipped_model_and_act(base, name) -> None:
    bundle = load_bundle(bundles_path() / name)
    verify_base(bundle, fingerprint_model(base.model))
    cosine = canary_cosine(base.model, base.sites, bundle.bank_entry(), bundle.manifest.canary)
    assert cosine > 0.999
    assert (bundle.manifest.gate is None) == (name == MASK_NAME)
    card = (bundles_path() / name / "card.md").read_text(encoding="utf-8")
    assert card == card_text(bundle.manifest)

"""A short training on the packaged demo model."""

import pytest
import torch
from training_data import head, neurons

from breakers.bank import BankEntry, Scope
from breakers.demo import model_path
from breakers.demo.make_bundles import DemoBundlesConfig, draw_material, load_demo_model
from breakers.training.breaker import BreakerTrainingConfig, train_breakers
from breakers.training.forward import Forwards, frozen
from breakers.training.objective import LossBatch, Objective


@pytest.mark.slow
def test_a_short_training_lowers_the_lead_of_harmful_replies(tmp_path) -> None:
    base = load_demo_model(model_path())
    wanted = DemoBundlesConfig(out=tmp_path, model=model_path(), pairs=96, benign=96)
    material = draw_material(base, ["toxicity"], wanted)
    pairs, held_out = material.pairs["toxicity"][:80], material.pairs["toxicity"][80:]
    where = (*(head(layer, at) for layer in (1, 2, 3) for at in (0, 3, 6)), neurons(2, *range(0, 60)))
    config = BreakerTrainingConfig(
        sites=where,
        steps=40,
        batch_pairs=12,
        batch_benign=12,
        preserve_coef=10.0,
        neutral_coef=1.0,
        evaluate_every=20,
    )
    result = train_breakers(base.model, base.sites, config, {"toxicity": pairs}, material.benign)
    entry = BankEntry(name="t", scope=Scope.GENERATION, interventions=result.interventions["toxicity"])

    def lead(strength: float) -> float:
        samples = [pair.neutral for pair in held_out]
        with frozen(base.model), torch.no_grad():
            objective = Objective(Forwards(base.model, base.sites, samples, 10**8), config)
            on = torch.full((len(held_out), 1), strength)
            rows = LossBatch(pairs=held_out, on_pairs=on, benign=[], on_benign=torch.ones(0, 1))
            return -float(objective.losses([entry], rows).lead)

    assert lead(1.0) < lead(0.0) - 0.3
    assert result.best.preserve < 0.2

"""A training that was interrupted ends as one that was not, bit for bit, and never leaves half a checkpoint."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tiny import tiny_model
from training_data import benign_of, head, made_up, neurons, pairs_of

from breakers.architectures import resolve_sites
from breakers.errors import InterventionError, StageError
from breakers.training.breaker import BreakerTrainingConfig, train_breakers
from breakers.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from breakers.training.config import one_cycle
from breakers.training.steering import SteeringTrainingConfig, train_steering

SHORT = {"steps": 12, "batch_pairs": 4, "batch_benign": 4, "evaluate_every": 3, "neutral_coef": 0.5}


class StoppedError(KeyboardInterrupt):
    """Ctrl-C."""


def run(kind, model, checkpoint=None, stop_at=None, **changes):
    data = {"a": pairs_of(made_up(5, 14)), "b": pairs_of(made_up(6, 14), 21, 31)}
    benign = benign_of(made_up(7, 14))
    config_of, train = (
        (BreakerTrainingConfig, train_breakers) if kind == "breaker" else (SteeringTrainingConfig, train_steering)
    )
    config = config_of(sites=(head(1, 0), head(2, 3)), **(SHORT | changes))

    def told(evaluation):
        if evaluation.step == stop_at:
            raise StoppedError

    return train(model, resolve_sites(model), config, data, benign, told, checkpoint=checkpoint)


def tensors_of(result) -> list[torch.Tensor]:
    parts = [part for parts in result.interventions.values() for part in parts]
    return [tensor for p in parts for tensor in ((p.down, p.up) if hasattr(p, "down") else (p.vector,))]


@pytest.mark.parametrize(
    ("kind", "model_type"), [("breaker", "llama"), ("steering", "gpt2"), ("breaker", "gemma3_text")]
)
def test_an_interrupted_training_ends_as_an_uninterrupted_one(kind, model_type, tmp_path) -> None:
    model = tiny_model(model_type)
    whole = run(kind, model)
    path = tmp_path / "checkpoint.safetensors"
    for stop in (3, 9):
        with pytest.raises(StoppedError):
            run(kind, model, path, stop_at=stop)
    resumed = run(kind, model, path)
    assert resumed.history == whole.history
    assert [e.step for e in whole.history if e.step] == [3, 6, 9, 12]
    assert resumed.best == whole.best
    assert all(torch.equal(a, b) for a, b in zip(tensors_of(resumed), tensors_of(whole), strict=True))
    again = run(kind, model, path, stop_at=12)  # finished: nothing is run
    assert all(torch.equal(a, b) for a, b in zip(tensors_of(again), tensors_of(whole), strict=True))


def test_another_training_is_not_resumed(tmp_path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    run("breaker", tiny_model("llama"), path)
    for changes, seed in (({"seed": 1}, 0), ({"learning_rate": 0.1}, 0), ({}, 1)):
        with pytest.raises(StageError, match=r"checkpoint.safetensors was made from sha256:.*another configuration"):
            run("breaker", tiny_model("llama", seed=seed), path, **changes)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(StageError, match="is no checkpoint of a training"):
        run("breaker", tiny_model("llama"), path)


def test_a_checkpoint_is_safetensors_and_json_alone(tmp_path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    run("breaker", tiny_model("llama"), path)
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
    assert {name.split(".")[0] for name in names} == {"now", "best", "step", "exp_avg", "exp_avg_sq"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch) -> None:
    path = tmp_path / "checkpoint.safetensors"
    first = Checkpoint(made_from="sha256:1", tensors={"now.a": torch.ones(3)}, state={"step": 1})
    save_checkpoint(first, path)

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    second = Checkpoint(made_from="sha256:1", tensors={"now.a": torch.zeros(3)}, state={"step": 2})
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(second, path)
    found = load_checkpoint(path, "sha256:1")
    assert found is not None
    assert found.state == {"step": 1}
    assert torch.equal(found.tensors["now.a"], torch.ones(3))
    assert list(tmp_path.iterdir()) == [path]
    assert load_checkpoint(Path(tmp_path / "none"), "sha256:1") is None


def test_the_schedule_is_torchs_one_cycle() -> None:
    for steps in (2, 7, 120):
        weight = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.AdamW([weight], lr=0.3)
        theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=steps, pct_start=0.1)
        for step in range(steps):
            share, beta = one_cycle(step, steps)
            group = optimizer.param_groups[0]
            assert (0.3 * share, beta) == pytest.approx((group["lr"], group["betas"][0]), rel=1e-9)
            optimizer.step()
            if step + 1 < steps:
                theirs.step()
    assert one_cycle(0, 1)[0] > 0
    assert one_cycle(0, 10)[0] == 1.0


def test_what_is_trained_may_be_neurons_of_any_number() -> None:
    model = tiny_model("llama")
    config = BreakerTrainingConfig(sites=(neurons(0, 3), neurons(2, 1, 5, 7)), rank=2, **SHORT)
    result = train_breakers(
        model, resolve_sites(model), config, {"a": pairs_of(made_up(5, 14))}, benign_of(made_up(7, 14))
    )
    assert [p.down.shape for p in result.interventions["a"]] == [(1, 1), (2, 3)]


def test_activations_that_are_not_finite_end_a_training_in_a_sentence() -> None:
    model = tiny_model("llama")
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(InterventionError, match="the loss at step 1 is nan; wanted a finite number"):
        run("breaker", model)
    with pytest.raises(InterventionError, match="activations at layer 1 head 0 are not finite"):
        run("steering", model)

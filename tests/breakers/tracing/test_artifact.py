"""A trace on disk: what is written is what is read, and anything else is refused in one sentence."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from traces import HASH, made_up_effects, made_up_trace

from breakers.errors import TracingError
from breakers.sites import Component, Site
from breakers.tracing.artifact import load_trace, save_trace
from breakers.tracing.circuit_file import CIRCUIT_NAME, circuit_bytes
from breakers.tracing.effects import ComponentEffects, head_site, neuron_site
from breakers.tracing.effects_file import EFFECTS_NAME, EffectGrid, EffectsTable, table_of


def equal(a: EffectGrid, b: EffectGrid) -> bool:
    return all(torch.equal(getattr(a, p), getattr(b, p)) for p in ("mean", "standard_error", "measured", "exact"))


@pytest.mark.parametrize("neurons", [True, False])
def test_a_trace_is_read_as_it_was_written(tmp_path: Path, neurons: bool) -> None:
    written = save_trace(made_up_trace(neurons=neurons), tmp_path / "new" / "trace")
    read = load_trace(tmp_path / "new" / "trace")
    assert read.circuit == written.circuit
    assert equal(read.effects.heads, written.effects.heads)
    assert (read.effects.neurons is None) == (not neurons)
    if read.effects.neurons is not None and written.effects.neurons is not None:
        assert equal(read.effects.neurons, written.effects.neurons)
    assert sorted(p.name for p in (tmp_path / "new" / "trace").iterdir()) == [CIRCUIT_NAME, EFFECTS_NAME]


def test_the_same_trace_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_trace(made_up_trace(), tmp_path / name)
    for file in (CIRCUIT_NAME, EFFECTS_NAME):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def change(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def changed(document: dict[str, Any]) -> None:
        *path, last = key.split(".")
        for part in path:
            document = document[int(part)] if isinstance(document, list) else document[part]
        document[last] = value

    return changed


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (change("format", 2), "format: found 2; wanted 1"),
        (change("colour", "red"), "colour: Extra inputs are not permitted"),
        (change("patch.colour", "red"), "patch.colour: Extra inputs"),
        (change("patch.source", "dreams"), "patch.source: Input should be 'contrast', 'completion' or 'mean'"),
        (change("base.fingerprint", "md5:0"), "base.fingerprint"),
        (change("pairs.cases", 0), "pairs.cases"),
        (change("pairs.cases", "12"), "pairs.cases: Input should be a valid integer"),
        (change("components", []), "components: List should have at least 1 item"),
        (change("components.0.effect", 0.1), "components are not in order"),
        (change("components.0.site.head", None), "a head site has head=None"),
        (change("components.1.site.neurons", [1, 3]), "is not one head or one neuron"),
        (change("components.1.site", {"layer": 1, "component": "head", "head": 1}), "holds layer 1 head 1 twice"),
        (change("components.0.standard_error", -1.0), "standard_error"),
        (change("measure.scorer", "demo"), "measure harm has one, lead has none"),
        (change("attribution", None), "exact has none, others have it"),
        (change("effects_sha256", HASH), "wanted files of one trace"),
        (change("components.0.exact", False), "layer 1 head 1 has effect 1.0 in circuit.json and 1.0 in effects"),
        (change("components.3.site.head", 7), "layer 1 head 7 is in circuit.json but has no effect"),
        (change("command", "a\x1b[2Jb"), "control characters"),
    ],
)
def test_a_circuit_that_is_not_one_is_refused(tmp_path: Path, edit: Callable, said: str) -> None:
    save_trace(made_up_trace(), tmp_path)
    document = json.loads((tmp_path / CIRCUIT_NAME).read_text())
    edit(document)
    (tmp_path / CIRCUIT_NAME).write_text(json.dumps(document))
    with pytest.raises(TracingError) as refused:
        load_trace(tmp_path)
    assert said in str(refused.value)
    assert str(tmp_path) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "is not JSON"), ("[]", "holds a list"), ('{"a": 1, "a": 2}', "twice"), ('{"baseline": NaN}', "holds NaN")],
)
def test_json_with_two_meanings_is_refused(tmp_path: Path, text: str, said: str) -> None:
    save_trace(made_up_trace(), tmp_path)
    (tmp_path / CIRCUIT_NAME).write_text(text)
    with pytest.raises(TracingError, match=said):
        load_trace(tmp_path)


@pytest.mark.parametrize("name", [CIRCUIT_NAME, EFFECTS_NAME])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    save_trace(made_up_trace(), tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(TracingError, match=f"{name}: not there"):
        load_trace(tmp_path)


Tensors = dict[str, torch.Tensor]


def rename(tensors: Tensors) -> None:
    tensors["heads"] = tensors.pop("head.mean")


def cut(tensors: Tensors) -> None:
    tensors["head.exact"] = tensors["head.exact"][:1].clone()


def other_type(tensors: Tensors) -> None:
    tensors["head.mean"] = tensors["head.mean"].double()


def not_finite(tensors: Tensors) -> None:
    tensors["neuron.mean"][0, 0] = torch.nan


def unmeasured(tensors: Tensors) -> None:
    tensors["neuron.mean"][1, 3] = 0.5


def exact_unmeasured(tensors: Tensors) -> None:
    tensors["neuron.exact"][1, 3] = True


def negative(tensors: Tensors) -> None:
    tensors["head.standard_error"][0, 0] = -0.5


def fewer_layers(tensors: Tensors) -> None:
    for name in list(tensors):
        if name.startswith("neuron"):
            tensors[name] = tensors[name][:1].clone()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (rename, "'heads' (F32)"),
        (cut, "head tensors have shapes"),
        (other_type, "'head.mean' (F64)"),
        (not_finite, "holds NaN or infinite"),
        (unmeasured, "is not 0 where nothing was measured"),
        (exact_unmeasured, "marked exact where nothing was measured"),
        (negative, "holds negative values"),
        (fewer_layers, "different numbers of layers"),
    ],
)
def test_effects_that_do_not_fit_are_refused(tmp_path: Path, edit: Callable[[Tensors], None], said: str) -> None:
    save_trace(made_up_trace(), tmp_path)
    tensors = load_file(tmp_path / EFFECTS_NAME)
    edit(tensors)
    save_file(tensors, tmp_path / EFFECTS_NAME)
    with pytest.raises(TracingError) as refused:
        load_trace(tmp_path)
    assert said in str(refused.value)
    assert EFFECTS_NAME in str(refused.value)


def test_a_truncated_or_pickled_effects_file_is_refused(tmp_path: Path) -> None:
    save_trace(made_up_trace(), tmp_path)
    data = (tmp_path / EFFECTS_NAME).read_bytes()
    for bad in (data[:-3], data[:5], b"\x80\x04" + data[2:]):
        (tmp_path / EFFECTS_NAME).write_bytes(bad)
        with pytest.raises(TracingError, match=EFFECTS_NAME):
            load_trace(tmp_path)


def test_a_full_disk_leaves_the_trace_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = save_trace(made_up_trace("before"), tmp_path)
    calls = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TracingError, match="cannot be written: No space left on device"):
        save_trace(made_up_trace("after"), tmp_path)
    assert load_trace(tmp_path).circuit == before.circuit
    assert len(list(tmp_path.iterdir())) == 2


def test_an_interrupted_write_leaves_the_trace_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = save_trace(made_up_trace("before"), tmp_path)

    def interrupt(_handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_trace(made_up_trace("after"), tmp_path)
    assert load_trace(tmp_path).circuit == before.circuit
    assert len(list(tmp_path.iterdir())) == 2


def test_a_place_that_is_no_directory_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TracingError, match="cannot be written"):
        save_trace(made_up_trace(), tmp_path / "file")


def test_exact_effects_replace_estimates() -> None:
    from breakers.architectures import resolve_sites

    exact = ComponentEffects(
        sites=(head_site(0, 1), neuron_site(1, 2)), by_case=torch.tensor([[1.0, 3.0], [2.0, 5.0]])
    )
    from tiny import tiny_model

    sites = resolve_sites(tiny_model("llama"))
    alone = table_of(sites, exact)
    assert alone.heads.measured.nonzero().tolist() == alone.heads.exact.nonzero().tolist() == [[0, 1]]
    assert float(alone.heads.mean[0, 1]) == 1.5
    # Two values 1 apart: a standard deviation of sqrt(1/2), over sqrt(2).
    assert float(alone.heads.standard_error[0, 1]) == pytest.approx(0.5)
    assert alone.neurons is not None
    assert float(alone.neurons.mean[1, 2]) == 4.0
    everywhere = EffectGrid(
        component=Component.HEAD,
        mean=torch.full((sites.layers, sites.heads), 0.25),
        standard_error=torch.zeros(sites.layers, sites.heads),
        measured=torch.ones(sites.layers, sites.heads, dtype=torch.bool),
        exact=torch.zeros(sites.layers, sites.heads, dtype=torch.bool),
    )
    merged = table_of(sites, exact, EffectsTable(heads=everywhere, neurons=alone.neurons))
    assert float(merged.heads.mean[0, 1]) == 1.5
    assert float(merged.heads.mean[0, 0]) == 0.25
    assert merged.heads.exact.nonzero().tolist() == [[0, 1]]
    assert next(merged.heads.ranked()) == (head_site(0, 1), 1.5)


def test_ranking_is_by_effect_then_place_and_leaves_out_what_was_not_measured() -> None:
    effects = made_up_effects()
    ranked = [(site.layer, site.head, effect) for site, effect in effects.heads.ranked()]
    assert ranked == [(1, 1, 1.0), (0, 0, 0.5), (1, 0, 0.125), (0, 2, 0.0), (0, 1, -0.25), (1, 2, -0.5)]
    assert effects.neurons is not None
    assert len(list(effects.neurons.ranked())) == 7
    with pytest.raises(TracingError, match="no effects of kind neuron"):
        made_up_effects(neurons=False).grid(Component.NEURON)


def test_only_heads_and_single_neurons_have_a_place() -> None:
    from breakers.tracing.effects_file import index_of

    for site in (
        Site(layer=0, component=Component.RESID),
        Site(layer=0, component=Component.NEURON, neurons=(1, 2)),
        Site(layer=0, component=Component.NEURON, neurons=(1,), expert=0),
    ):
        with pytest.raises(TracingError, match="not one head or one neuron"):
            index_of(site)


def test_circuit_bytes_have_no_times() -> None:
    text = circuit_bytes(made_up_trace().circuit).decode()
    assert "second" not in text
    assert "date" not in text

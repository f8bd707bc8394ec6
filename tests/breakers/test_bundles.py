"""Bundles: what is saved loads and acts the same; what was tampered with is refused with file, found and wanted."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file
from tiny import tiny_model

from breakers.architectures import resolve_sites
from breakers.bank import BankEntry, Scope
from breakers.bundles import (
    BaseManifest,
    BundleManifest,
    GateManifest,
    load_bundle,
    save_bundle,
    verify_base,
    verify_sites,
)
from breakers.bundles.canary import canary_cosine, logit_change, measure_canary, measure_dose
from breakers.bundles.store import describe_interventions
from breakers.errors import BaseMismatchError, BundleError, BundleFormatError, BundleIntegrityError
from breakers.fingerprint import fingerprint_model
from breakers.interventions import Breaker, Mask, SteeringVector
from breakers.sites import Component, Site

NOTHING = "sha256:" + "0" * 64


def interventions():
    random = torch.Generator().manual_seed(3)
    head = Site(layer=1, component=Component.HEAD, head=2)
    return (
        Breaker(site=head, down=torch.randn(2, 8, generator=random), up=torch.randn(8, 2, generator=random)),
        SteeringVector(site=Site(layer=2, component=Component.RESID), vector=torch.randn(32, generator=random)),
        Mask(site=Site(layer=0, component=Component.NEURON, neurons=(1, 4)), keep=torch.tensor([0.0, 0.5])),
    )


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.fixture
def saved(tmp_path, model):
    sites = resolve_sites(model)
    entry = BankEntry(name="calm", scope=Scope.GENERATION, interventions=interventions())
    declared, _ = describe_interventions(entry.interventions)
    manifest = BundleManifest(
        format=1,
        name="calm",
        behaviour="toxicity",
        category="toxicity",
        scope=Scope.GENERATION,
        interventions=declared,
        base=BaseManifest(id="tiny", fingerprint=fingerprint_model(model)),
        gate=GateManifest(alpha_base=1.0, w=10.0, b=-3.0, p_off=0.1, classifier="lexical"),
        strength_max=1.0,
        dose_p95=measure_dose(model, sites, entry, [[3, 4, 5], [6, 7]]),
        canary=measure_canary(model, sites, entry, [3, 4, 5]),
        made_from={"pairs": NOTHING},
        licence="Apache-2.0",
        metrics=[],
        command="pytest",
        weights_sha256=NOTHING,
    )
    return save_bundle(manifest, entry.interventions, tmp_path / "calm", card="# calm\n"), tmp_path / "calm"


def test_what_is_saved_loads(saved) -> None:
    bundle, path = saved
    again = load_bundle(path)
    assert again.manifest == bundle.manifest
    assert again.kind == "mixed"
    for one, other in zip(again.interventions, interventions(), strict=True):
        assert one.site == other.site
        assert one.kind == other.kind
    assert torch.equal(again.interventions[0].up, interventions()[0].up)
    assert sorted(p.name for p in path.iterdir()) == ["bundle.json", "card.md", "weights.safetensors"]


def test_the_canary_proves_that_the_bundle_acts(saved, model) -> None:
    bundle, _ = saved
    sites = resolve_sites(model)
    canary = bundle.manifest.canary
    assert canary_cosine(model, sites, bundle.bank_entry(), canary) == pytest.approx(1.0, abs=1e-5)
    change = logit_change(model, sites, bundle.bank_entry(), canary.token_ids)
    assert max(map(abs, canary.change)) == pytest.approx(float(change.abs().max()), rel=1e-5)
    other = tiny_model("llama", seed=1)
    assert canary_cosine(other, resolve_sites(other), bundle.bank_entry(), canary) < 0.9


@pytest.mark.parametrize("field", ["token_ids", "logit_ids"])
def test_a_canary_of_other_tokens_is_refused(saved, model, field) -> None:
    bundle, _ = saved
    ids = getattr(bundle.manifest.canary, field)
    canary = bundle.manifest.canary.model_copy(update={field: [*ids[:-1], 10**6]})
    with pytest.raises(BundleIntegrityError, match=rf"canary\.{field}: holds 1000000; the model has \d+ tokens"):
        canary_cosine(model, resolve_sites(model), bundle.bank_entry(), canary)


def test_dose_by_hand(model) -> None:
    # A mask that halves every channel of the residual stream moves it by half its norm.
    half = Mask(site=Site(layer=1, component=Component.RESID), keep=torch.full((32,), 0.5))
    entry = BankEntry(name="half", scope=Scope.ALL, interventions=(half,))
    assert measure_dose(model, resolve_sites(model), entry, [[3, 4], [5]]) == pytest.approx(0.5)


def test_another_base_is_refused_with_both_fingerprints(saved) -> None:
    bundle, _ = saved
    other = fingerprint_model(tiny_model("llama", seed=1))
    with pytest.raises(BaseMismatchError, match=rf"made on tiny .*{other[:19]}"):
        verify_base(bundle, other)


@pytest.mark.parametrize(
    ("site", "vector", "message"),
    [
        (
            Site(layer=99, component=Component.RESID),
            32,
            r"interventions\.0\.site: layer 99 .*this model has layers 0",
        ),
        (Site(layer=1, component=Component.RESID), 31, r"layer 1 resid is 32 wide in this model; its tensors are 31"),
        (Site(layer=1, component=Component.HEAD, head=9), 8, r"interventions\.0\.site: .*head"),
        (Site(layer=1, component=Component.NEURON, neurons=(10**9,)), 1, r"interventions\.0\.site: .*neuron"),
    ],
)
def test_sites_that_the_model_does_not_have_are_refused(saved, model, site, vector, message) -> None:
    bundle, path = saved
    acting = (SteeringVector(site=site, vector=torch.ones(vector)),)
    other = save_bundle(bundle.manifest, acting, path)
    with pytest.raises(BundleIntegrityError, match=message) as refused:
        verify_sites(other, resolve_sites(model))
    assert str(refused.value).startswith(f"{path}/bundle.json: ")
    verify_sites(bundle, resolve_sites(model))


def test_fingerprint_survives_bf16(model) -> None:
    fingerprint = fingerprint_model(tiny_model("llama"))
    assert fingerprint == fingerprint_model(tiny_model("llama").to(torch.bfloat16))
    assert fingerprint != fingerprint_model(tiny_model("llama", seed=1))


def edit(path, change) -> None:
    manifest = json.loads((path / "bundle.json").read_text())
    change(manifest)
    (path / "bundle.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format=2), r"format: .*found 2"),
        (lambda m: m.update(surprise=1), r"surprise: Extra inputs"),
        (lambda m: m.pop("canary"), r"canary: Field required"),
        (lambda m: m.update(name="../../etc"), r"name: .*pattern"),
        (lambda m: m.update(dose_p95="nan"), r"dose_p95"),
        (lambda m: m.update(strength_max=-1), r"strength_max"),
        (lambda m: m["gate"].update(w=-5), r"gate: .*w is -5"),
        (lambda m: m["gate"].update(alpha_base=2.0), r"above strength_max"),
        (lambda m: m["interventions"][0].update(kind="exec"), r"interventions\.0\.kind"),
        (lambda m: m["interventions"][0]["site"].update(head=-1), r"interventions\.0\.site: .*head is -1"),
        (lambda m: m["interventions"][0]["tensors"].update(down="0.up"), r"uses tensors twice: 0\.up"),
        (lambda m: m["interventions"][0].update(rank=3), r"rank is 2; the manifest says 3"),
        (lambda m: m["interventions"][2]["site"].update(neurons=[1]), r"2 wide; its site names 1 neurons"),
    ],
)
def test_tampered_manifests_are_refused(saved, change, message) -> None:
    _, path = saved
    edit(path, change)
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(path)
    assert str(path) in str(caught.value)


def test_tampered_weights_are_refused(saved) -> None:
    _, path = saved
    weights = path / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(BundleIntegrityError, match="the manifest says sha256:"):
        load_bundle(path)


def rehash(path, data: bytes) -> None:
    import hashlib

    (path / "weights.safetensors").write_bytes(data)
    edit(path, lambda m: m.update(weights_sha256="sha256:" + hashlib.sha256(data).hexdigest()))


def test_a_pickle_in_disguise_is_refused(saved) -> None:
    _, path = saved
    rehash(path, pickle.dumps({"0.down": [1.0]}))
    with pytest.raises(BundleFormatError, match="not a safetensors file"):
        load_bundle(path)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.full((2, 8), float("nan")), "NaN or infinite"),
        (torch.ones(2, 7), r"down \(2, 7\)"),
        (torch.ones(2, 8, dtype=torch.float16), "dtype is 'F16'; wanted 'F32'"),
    ],
)
def test_wrong_tensors_are_refused(saved, tmp_path, tensor, message) -> None:
    _, path = saved
    _, tensors = describe_interventions(interventions())
    save_file(tensors | {"0.down": tensor}, tmp_path / "other.safetensors")
    rehash(path, (tmp_path / "other.safetensors").read_bytes())
    with pytest.raises(BundleIntegrityError, match=message):
        load_bundle(path)


def test_missing_files_are_named(saved, tmp_path) -> None:
    _, path = saved
    with pytest.raises(BundleFormatError, match=r"nowhere.bundle\.json: not there"):
        load_bundle(tmp_path / "nowhere")
    (path / "weights.safetensors").unlink()
    with pytest.raises(BundleFormatError, match=r"weights\.safetensors: not there"):
        load_bundle(path)

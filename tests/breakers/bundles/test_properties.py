"""Properties: every valid manifest survives saving, and damage is refused or means exactly what it says."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle_files import interventions, manifest_of
from hypothesis import given, settings
from hypothesis import strategies as st

from breakers.bank import Scope
from breakers.bundles import Bundle, BundleManifest, load_bundle, save_bundle
from breakers.bundles.files import BundleFiles
from breakers.bundles.store import describe_interventions
from breakers.bundles.verify import sha256, verify_files
from breakers.errors import BundleError, BundleIntegrityError
from breakers.interventions import Breaker, Intervention, Kind, Mask, SteeringVector
from breakers.sites import Component, Site

repeatable = settings(derandomize=True, deadline=None, database=None)

finite = st.floats(allow_nan=False, allow_infinity=False)
small = st.floats(min_value=-1e6, max_value=1e6)
label = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
text = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=30)
digest = st.integers(0, 2**256 - 1).map(lambda n: f"sha256:{n:064x}")
token = st.integers(0, 2**31 - 1)


neurons = st.sets(st.integers(0, 99), min_size=1, max_size=4).map(lambda found: tuple(sorted(found)))
# Plain values: shape checks at run time draw random numbers, which a strategy must not.
site = st.integers(0, 9).flatmap(
    lambda layer: st.one_of(
        st.fixed_dictionaries(
            {"layer": st.just(layer), "component": st.just(Component.HEAD), "head": st.integers(0, 9)}
        ),
        st.fixed_dictionaries({"layer": st.just(layer), "component": st.just(Component.NEURON), "neurons": neurons}),
        st.fixed_dictionaries({"layer": st.just(layer), "component": st.just(Component.RESID)}),
    )
)
kind = st.sampled_from(Kind)
plans = st.lists(
    st.tuples(kind, site, st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32)),
    min_size=1,
    max_size=4,
    unique_by=lambda plan: (plan[0], frozenset(plan[1].items())),
)


def intervention(kind: Kind, place: dict[str, Any], width: int, rank: int, seed: int) -> Intervention:
    """An intervention of random numbers."""
    where = Site(**place)
    width = width if where.neurons is None else len(where.neurons)
    random = torch.Generator().manual_seed(seed)
    if kind is Kind.BREAKER:
        down = torch.randn(rank, width, generator=random)
        return Breaker(site=where, down=down, up=1e30 * down.T)
    if kind is Kind.STEERING:
        return SteeringVector(site=where, vector=torch.randn(width, generator=random))
    return Mask(site=where, keep=torch.rand(width, generator=random))


canary = st.lists(st.tuples(token, finite), min_size=1, max_size=4, unique_by=lambda pair: pair[0]).flatmap(
    lambda pairs: st.fixed_dictionaries(
        {
            "token_ids": st.lists(token, min_size=1, max_size=4),
            "logit_ids": st.just([logit for logit, _ in pairs]),
            "change": st.just([change for _, change in pairs]),
        }
    )
)
gate = st.fixed_dictionaries(
    {
        "alpha_base": st.floats(0, 1),
        "w": st.floats(0, 100),
        "b": st.floats(-100, 100),
        "p_off": st.floats(0, 1),
        "classifier": text,
    }
)
metric = st.fixed_dictionaries(
    {"name": text, "value": small, "low": finite, "high": finite, "n": st.integers(1, 2**53)}
)
fields = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True),
        "behaviour": label,
        "category": label,
        "description": text,
        "scope": st.sampled_from(Scope),
        "base": st.fixed_dictionaries({"id": label, "fingerprint": digest}),
        "gate": st.none() | gate,
        "dose_p95": st.floats(0, 1e300),
        "canary": canary,
        "made_from": st.dictionaries(label, digest, max_size=3),
        "licence": text,
        "metrics": st.lists(metric, max_size=2),
        "command": text,
    }
)


@settings(repeatable, max_examples=25)
@given(plans=plans, fields=fields)
def test_every_valid_manifest_saves_and_loads_equal(plans: list[Any], fields: dict[str, Any]) -> None:
    acting = [intervention(*plan) for plan in plans]
    manifest = BundleManifest.model_validate(manifest_of(tuple(acting)).model_dump() | fields)
    with tempfile.TemporaryDirectory() as folder:
        saved = save_bundle(manifest, acting, Path(folder) / "bundle")
        loaded = load_bundle(Path(folder) / "bundle")
    assert loaded.manifest == saved.manifest
    assert loaded.manifest == manifest.model_copy(update={"weights_sha256": saved.manifest.weights_sha256})
    for one, other in zip(loaded.interventions, acting, strict=True):
        assert (one.kind, one.site) == (other.kind, other.site)
        tensors, wanted = describe_interventions([one])[1], describe_interventions([other])[1]
        assert all(torch.equal(tensors[name], wanted[name]) for name in wanted)


def good_files() -> BundleFiles:
    with tempfile.TemporaryDirectory() as folder:
        save_bundle(manifest_of(interventions()), interventions(), Path(folder))
        manifest, weights = ((Path(folder) / name).read_bytes() for name in ("bundle.json", "weights.safetensors"))
    return BundleFiles(source="good", manifest=manifest, weights=weights)


GOOD = good_files()

json_value = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "all", "0.up"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of every value inside a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inside for place in places(item, (*path, key)))]


PLACES = places(json.loads(GOOD.manifest))[1:]


def outcome(files: BundleFiles) -> Bundle | str:
    """The bundle, or what our own error says; any other is a failure."""
    try:
        return verify_files(files)
    except BundleError as error:
        return str(error)


def refused_or_as_written(files: BundleFiles) -> None:
    """Loaded, it means what another JSON reader reads; otherwise the file is named."""
    found = outcome(files)
    if isinstance(found, str):
        assert found.startswith(("good/bundle.json: ", "good/weights.safetensors: "))
        assert found.isprintable()
    else:
        assert found.manifest.model_dump(mode="json", exclude_unset=True) == json.loads(files.manifest)


@settings(repeatable, max_examples=120)
@given(place=st.sampled_from(PLACES), value=json_value, change=st.sampled_from(["replace", "delete", "add"]))
def test_changed_values_are_refused_or_mean_what_they_say(
    place: tuple[str | int, ...], value: Any, change: str
) -> None:
    document = json.loads(GOOD.manifest)
    target: Any = document
    for key in place[:-1]:
        target = target[key]
    if change == "replace":
        target[place[-1]] = value
    elif change == "delete":
        del target[place[-1]]
    elif isinstance(target, list):
        target.insert(int(place[-1]), value)
    else:
        target[str(value)] = value
    refused_or_as_written(replace(GOOD, manifest=json.dumps(document).encode()))


@settings(repeatable, max_examples=120)
@given(
    start=st.integers(0, len(GOOD.manifest)),
    length=st.integers(0, 12),
    put=st.binary(max_size=4) | st.sampled_from([b"{", b"}", b'"', b",", b"-", b"1e999", b"\\u", b"NaN", b"[["]),
)
def test_changed_text_is_refused_or_means_what_it_says(start: int, length: int, put: bytes) -> None:
    data = GOOD.manifest[:start] + put + GOOD.manifest[start + length :]
    refused_or_as_written(replace(GOOD, manifest=data))


damaged_weights = st.tuples(st.integers(0, len(GOOD.weights)), st.integers(0, 9), st.binary(max_size=9)).map(
    lambda cut: GOOD.weights[: cut[0]] + cut[2] + GOOD.weights[cut[0] + cut[1] :]
)


@settings(repeatable, max_examples=60)
@given(data=damaged_weights.filter(lambda data: data != GOOD.weights))
def test_changed_weights_are_always_refused(data: bytes) -> None:
    with pytest.raises(BundleIntegrityError, match=hashlib.sha256(data).hexdigest()):
        verify_files(replace(GOOD, weights=data))


@settings(repeatable, max_examples=120)
@given(data=damaged_weights)
def test_changed_weights_with_their_hash_are_refused_or_as_declared(data: bytes) -> None:
    document = json.loads(GOOD.manifest) | {"weights_sha256": sha256(data)}
    found = outcome(replace(GOOD, weights=data, manifest=json.dumps(document).encode()))
    if isinstance(found, str):
        assert found.startswith("good/weights.safetensors: ")
        assert found.isprintable()
    else:
        wanted = describe_interventions(interventions())[1]
        tensors = describe_interventions(found.interventions)[1]
        assert {name: tensor.shape for name, tensor in tensors.items()} == {n: t.shape for n, t in wanted.items()}
        assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())

"""From a bundle's bytes to a bundle: everything is checked before anything is returned.

Only JSON and safetensors are parsed, in that order and each once; nothing is unpickled.
"""

from __future__ import annotations

import hashlib

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from breakers.bundles.bundle import Bundle
from breakers.bundles.files import MANIFEST_NAME, WEIGHTS_NAME, BundleFiles
from breakers.bundles.manifest import BundleManifest, InterventionManifest, parse_manifest
from breakers.bundles.safetensors_header import DTYPE, TensorHeader, read_header
from breakers.errors import BreakersError, BundleFormatError, BundleIntegrityError
from breakers.interventions import Breaker, Intervention, Kind, Mask, SteeringVector


def verify_files(files: BundleFiles) -> Bundle:
    """Everything that can be verified without the model.

    Raises:
        BundleFormatError: a file or field is not what the format asks for.
        BundleIntegrityError: bytes, shapes, dtypes or values differ from the declared ones.
    """
    manifest = parse_manifest(files.manifest, f"{files.source}/{MANIFEST_NAME}")
    where = f"{files.source}/{WEIGHTS_NAME}"
    found = sha256(files.weights)
    if found != manifest.weights_sha256:
        raise BundleIntegrityError(f"{where}: is {found}; the manifest says {manifest.weights_sha256}")
    headers = read_header(files.weights, where)
    _check_declared(where, manifest, headers)
    try:
        tensors = load_safetensors(files.weights)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise BundleFormatError(f"{where}: not a safetensors file: {error}") from error
    built = tuple(_build(where, n, item, tensors) for n, item in enumerate(manifest.interventions))
    return Bundle(manifest=manifest, interventions=built, source=files.source, commit=files.commit)


def sha256(data: bytes) -> str:
    """`sha256:` and 64 hex digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _check_declared(where: str, manifest: BundleManifest, headers: dict[str, TensorHeader]) -> None:
    wanted = {name for item in manifest.interventions for name in item.tensors.values()}
    if wanted != set(headers):
        missing, extra = sorted(wanted - set(headers))[:8], sorted(set(headers) - wanted)[:8]
        raise BundleIntegrityError(
            f"{where}: tensors missing: {missing}, not declared: {extra}; wanted those of {MANIFEST_NAME}"
        )
    for n, item in enumerate(manifest.interventions):
        for role, name in item.tensors.items():
            _check_header(f"{where}: interventions.{n}.{role} (tensor {name!r})", item, role, headers[name])


def _check_header(where: str, item: InterventionManifest, role: str, header: TensorHeader) -> None:
    if header.dtype != DTYPE:
        raise BundleIntegrityError(f"{where}: dtype is {header.dtype[:16]!r}; wanted {DTYPE!r}")
    dimensions = 2 if item.kind is Kind.BREAKER else 1
    if len(header.shape) != dimensions or 0 in header.shape:
        wanted = {"down": "(rank, d)", "up": "(d, rank)"}.get(role, "(d,)")
        raise BundleIntegrityError(f"{where}: shape is {header.shape}; wanted {wanted}")
    if item.rank is not None and header.shape[0 if role == "down" else 1] != item.rank:
        found = header.shape[0 if role == "down" else 1]
        raise BundleIntegrityError(f"{where}: rank is {found}; the manifest says {item.rank}")
    neurons = item.site.neurons
    width = header.shape[1 if role == "down" else 0]
    if neurons is not None and len(neurons) != width:
        raise BundleIntegrityError(f"{where}: is {width} wide; its site names {len(neurons)} neurons")


def _build(where: str, n: int, item: InterventionManifest, tensors: dict[str, Tensor]) -> Intervention:
    picked = {role: tensors[name] for role, name in item.tensors.items()}
    for role, tensor in picked.items():
        bad = (~torch.isfinite(tensor)).nonzero()
        if len(bad):
            place = bad[0].tolist()
            raise BundleIntegrityError(
                f"{where}: interventions.{n}.{role} (tensor {item.tensors[role]!r}) holds {tensor[tuple(place)]} "
                f"at {place}, NaN or infinite; wanted finite numbers"
            )
    try:
        return _intervention(item, picked)
    except BreakersError as error:
        raise BundleIntegrityError(f"{where}: interventions.{n}: {error}") from error


def _intervention(item: InterventionManifest, picked: dict[str, Tensor]) -> Intervention:
    site = item.site.site()
    if item.kind is Kind.BREAKER:
        return Breaker(site=site, **picked)
    if item.kind is Kind.STEERING:
        return SteeringVector(site=site, **picked)
    return Mask(site=site, **picked)

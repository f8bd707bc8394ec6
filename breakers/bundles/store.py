"""Bundles on disk: a directory of `bundle.json`, `weights.safetensors` and `card.md`.

Only safetensors and JSON are read; nothing is unpickled, and file names come from here, never from a manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from breakers.bundles.bundle import Bundle
from breakers.bundles.manifest import (
    CARD_NAME,
    MANIFEST_NAME,
    WEIGHTS_NAME,
    BundleManifest,
    InterventionManifest,
    SiteManifest,
    parse_manifest,
)
from breakers.errors import BreakersError, BundleFormatError, BundleIntegrityError
from breakers.interventions import Breaker, Intervention, Kind, Mask, SteeringVector

WEIGHTS_LIMIT = 2 * 1024**3
"""Bytes of a weights file; interventions are small, a hostile file must not fill memory."""


def load_bundle(path: Path) -> Bundle:
    """Read a bundle directory and verify everything that can be verified without the model.

    Raises:
        BundleFormatError: a file or field is not what the format asks for.
        BundleIntegrityError: bytes, shapes, dtypes or values differ from the declared ones.
    """
    manifest = parse_manifest(path / MANIFEST_NAME)
    weights_path = path / WEIGHTS_NAME
    data = _read_weights(weights_path)
    found = sha256(data)
    if found != manifest.weights_sha256:
        raise BundleIntegrityError(f"{weights_path}: is {found}; the manifest says {manifest.weights_sha256}")
    try:
        tensors = load_safetensors(data)
    except (SafetensorError, ValueError) as error:
        raise BundleFormatError(f"{weights_path}: not a safetensors file: {error}") from error
    _check_names(weights_path, manifest, tensors)
    built = tuple(_build(weights_path, n, item, tensors) for n, item in enumerate(manifest.interventions))
    return Bundle(manifest=manifest, interventions=built, source=str(path))


def save_bundle(
    manifest: BundleManifest, interventions: Sequence[Intervention], path: Path, card: str | None = None
) -> Bundle:
    """Write a bundle directory, then load it again, so that what was written is what verifies.

    Args:
        manifest: its `interventions` and `weights_sha256` are replaced by what is written.
        interventions: in order; tensors are stored in float32.
        path: the directory, made if needed.
        card: text of `card.md`; None leaves an existing card alone.

    Raises:
        BundleError: the result does not verify.
        OSError: the files cannot be written.
    """
    declared, tensors = describe_interventions(interventions)
    data = save_safetensors(tensors)
    complete = manifest.model_copy(update={"interventions": declared, "weights_sha256": sha256(data)})
    path.mkdir(parents=True, exist_ok=True)
    write_atomically(path / WEIGHTS_NAME, data)
    text = json.dumps(complete.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    write_atomically(path / MANIFEST_NAME, text.encode())
    if card is not None:
        write_atomically(path / CARD_NAME, card.encode())
    return load_bundle(path)


def describe_interventions(
    interventions: Sequence[Intervention],
) -> tuple[list[InterventionManifest], dict[str, Tensor]]:
    """The manifest entries of interventions, and their tensors by name, in float32."""
    declared: list[InterventionManifest] = []
    tensors: dict[str, Tensor] = {}
    for n, intervention in enumerate(interventions):
        roles = _roles(intervention)
        names = {role: f"{n}.{role}" for role in roles}
        declared.append(
            InterventionManifest(
                kind=intervention.kind,
                site=SiteManifest.of(intervention.site),
                rank=intervention.down.shape[0] if isinstance(intervention, Breaker) else None,
                tensors=names,
            )
        )
        tensors |= {names[role]: t.detach().cpu().float().contiguous().clone() for role, t in roles.items()}
    return declared, tensors


def sha256(data: bytes) -> str:
    """`sha256:` and 64 hex digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, and a full disk loses nothing."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _roles(intervention: Intervention) -> dict[str, Tensor]:
    if isinstance(intervention, Breaker):
        return {"down": intervention.down, "up": intervention.up}
    if isinstance(intervention, SteeringVector):
        return {"vector": intervention.vector}
    return {"keep": intervention.keep}


def _read_weights(path: Path) -> bytes:
    if not path.is_file():
        raise BundleFormatError(f"{path}: not there; a bundle directory holds {MANIFEST_NAME} and {WEIGHTS_NAME}")
    size = path.stat().st_size
    if size > WEIGHTS_LIMIT:
        raise BundleFormatError(f"{path}: {size} bytes; wanted at most {WEIGHTS_LIMIT}")
    return path.read_bytes()


def _check_names(path: Path, manifest: BundleManifest, tensors: dict[str, Tensor]) -> None:
    wanted = [name for item in manifest.interventions for name in item.tensors.values()]
    if len(set(wanted)) != len(wanted):
        twice = sorted({name for name in wanted if wanted.count(name) > 1})
        raise BundleFormatError(f"{path}: the manifest uses tensors twice: {', '.join(twice)}")
    if set(wanted) != set(tensors):
        missing, extra = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
        raise BundleIntegrityError(f"{path}: tensors missing: {missing}, not declared: {extra}")


def _build(path: Path, n: int, item: InterventionManifest, tensors: dict[str, Tensor]) -> Intervention:
    where = f"{path}: interventions.{n}"
    picked = {role: tensors[name] for role, name in item.tensors.items()}
    for role, tensor in picked.items():
        if tensor.dtype != torch.float32:
            raise BundleIntegrityError(f"{where}.{role} is {tensor.dtype}; wanted torch.float32")
    try:
        built = _intervention(item, picked)
    except BreakersError as error:
        raise BundleIntegrityError(f"{where}: {error}") from error
    if isinstance(built, Breaker) and built.down.shape[0] != item.rank:
        raise BundleIntegrityError(f"{where}: rank is {built.down.shape[0]}; the manifest says {item.rank}")
    neurons = built.site.neurons
    if neurons is not None and len(neurons) != built.width:
        raise BundleIntegrityError(f"{where}: {built.width} wide; its site names {len(neurons)} neurons")
    return built


def _intervention(item: InterventionManifest, picked: dict[str, Tensor]) -> Intervention:
    site = item.site.site()
    if item.kind is Kind.BREAKER:
        return Breaker(site=site, **picked)
    if item.kind is Kind.STEERING:
        return SteeringVector(site=site, **picked)
    return Mask(site=site, **picked)

"""Bundles on disk: a directory of `bundle.json`, `weights.safetensors` and `card.md`.

Only safetensors and JSON are read; nothing is unpickled, and file names come from here, never from a manifest.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save as save_safetensors
from torch import Tensor

from breakers.bundles.bundle import Bundle
from breakers.bundles.files import CARD_NAME, MANIFEST_NAME, WEIGHTS_NAME, BundleFiles, read_directory
from breakers.bundles.manifest import BundleManifest, InterventionManifest, SiteManifest
from breakers.bundles.verify import sha256, verify_files
from breakers.interventions import Breaker, Intervention, SteeringVector

__all__ = ["describe_interventions", "load_bundle", "save_bundle", "sha256", "write_atomically"]


def load_bundle(path: Path) -> Bundle:
    """Read a bundle directory and verify everything that can be verified without the model.

    Raises:
        BundleFormatError: a file or field is not what the format asks for.
        BundleIntegrityError: bytes, shapes, dtypes or values differ from the declared ones.
    """
    return verify_files(read_directory(path))


def save_bundle(
    manifest: BundleManifest, interventions: Sequence[Intervention], path: Path, card: str | None = None
) -> Bundle:
    """Verify a bundle, write its directory, and load it again, so that what was written is what verifies.

    Args:
        manifest: its `interventions` and `weights_sha256` are replaced by what is written.
        interventions: in order; tensors are stored in float32.
        path: the directory, made if needed.
        card: text of `card.md`; None leaves an existing card alone.

    Raises:
        BundleError: the result does not verify; where its contents are at fault, nothing was written.
        OSError: the files cannot be written.
    """
    declared, tensors = describe_interventions(interventions)
    data = save_safetensors(tensors)
    complete = manifest.model_copy(update={"interventions": declared, "weights_sha256": sha256(data)})
    text = json.dumps(complete.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    # Half a surrogate pair becomes bytes that are not UTF-8, which the verification refuses.
    files = BundleFiles(source=str(path), manifest=text.encode(errors="surrogatepass"), weights=data)
    verify_files(files)
    path.mkdir(parents=True, exist_ok=True)
    write_atomically(path / WEIGHTS_NAME, files.weights)
    write_atomically(path / MANIFEST_NAME, files.manifest)
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


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, and a full disk loses nothing."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
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

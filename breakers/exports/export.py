"""From a bundle to a folder that another program loads."""

from __future__ import annotations

from pathlib import Path

from breakers.architectures import resolve_sites
from breakers.bundles import Bundle, verify_base
from breakers.exports.base import Export, ExportBase, ExportResult, ExportSpec, Work, check_request
from breakers.exports.card import CARD_NAME, export_card, export_remarks
from breakers.exports.folder import new_folder, refuse_occupied
from breakers.exports.formats import ExportFormat
from breakers.fingerprint import fingerprint_model


def export_bundle(bundle: Bundle, base: ExportBase, out: Path, spec: ExportSpec) -> ExportResult:
    """Write a bundle at one fixed strength as `spec.format`.

    Args:
        bundle: a loaded bundle.
        base: the model that it was made on; not changed.
        out: a new or empty folder; it is complete afterwards, or as it was.
        spec: format, strength and scope.

    Raises:
        ExportError: the format cannot hold what the bundle does, or `out` is occupied.
        BaseMismatchError: the bundle was made on another model.
        UnsupportedModelError, SiteError, InterventionError: the bundle does not fit the model.
        OSError: the files cannot be written.
    """
    check_request(bundle, spec)
    refuse_occupied(out)
    fingerprint = fingerprint_model(base.model)
    if not spec.accept_base_mismatch:
        verify_base(bundle, fingerprint)
    work = Work(bundle=bundle, base=base, sites=resolve_sites(base.model), spec=spec)
    export = build_export(work)
    remarks = export_remarks(work, fingerprint)
    with new_folder(out) as folder:
        export.write(folder)
        (folder / CARD_NAME).write_text(export_card(work, export, fingerprint, remarks), encoding="utf-8")
        files = tuple(sorted(path.name for path in folder.iterdir()))
    return ExportResult(path=out, files=files, remarks=remarks)


def build_export(work: Work) -> Export:
    """The export in memory.

    Raises:
        ExportError: the format cannot hold what the bundle does.
    """
    if work.spec.format is ExportFormat.PEFT:
        from breakers.exports.lora import build_lora

        return build_lora(work)
    if work.spec.format is ExportFormat.GGUF:
        from breakers.exports.control_vector import build_control_vector

        return build_control_vector(work)
    from breakers.exports.checkpoint import build_checkpoint

    return build_checkpoint(work)

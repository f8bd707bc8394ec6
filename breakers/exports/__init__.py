"""Exports: a bundle at one fixed strength, in formats that other programs load.

`export.export_bundle` is the way in; `formats` names the formats without importing torch. An export is a copy of
what the bundle does to every token: it has no gate, no per-request strength and no scope `generation`. What a
format cannot hold is refused with the reason, never left out.
"""

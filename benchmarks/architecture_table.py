"""The table of architectures in the documents, made from the one that the resolver reads."""

from __future__ import annotations

from breakers.architectures import ARCHITECTURES, Architecture


def architecture_rows() -> list[list[str]]:
    """A row per `model_type`, header first.

    The last column is what tests/server/engines/test_architectures.py shows of every row: it runs the whole table.
    """
    header = ["`model_type`", "models", "heads: input of", "neurons: input of", "experts' neurons", "residual stream"]
    header.append("embedded engine")
    return [header, *(_row(name, ARCHITECTURES[name]) for name in sorted(ARCHITECTURES))]


def _row(name: str, architecture: Architecture) -> list[str]:
    downs = ", or ".join(f"`{path}`" for path in architecture.mlp_down)
    return [
        f"`{name}`",
        architecture.models,
        f"`{architecture.attention_out}`",
        downs or "none: every layer is a mixture",
        f"`{architecture.experts}`" if architecture.experts else "dense",
        f"`{architecture.layers}.N`",
        "yes",
    ]

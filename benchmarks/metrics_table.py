"""The table of metrics in the documents, made from the registry that the server exposes."""

from __future__ import annotations

from server.metrics import BundleLabels, Metrics


def metric_rows() -> list[list[str]]:
    """A row per metric, header first, in the order in which the server registers them."""
    # One of each, so that every metric has a series to read labels from.
    bundle = BundleLabels(bundle="a", kind="mask", behaviour="b", category="c", scope="all")
    families = Metrics([bundle], ["c"], ["b"]).registry.collect()
    rows = []
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = [label for label in family.samples[0].labels if label != "le"]
        rows.append([f"`{name}`", family.type, ", ".join(f"`{label}`" for label in labels), family.documentation])
    return [["metric", "type", "labels", "meaning"], *rows]

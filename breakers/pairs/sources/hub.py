"""Rows of a data set on the Hugging Face Hub, through the `datasets` library where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from breakers.errors import PairsError
from breakers.pairs.sources.base import HubReference
from breakers.pairs.sources.published import Row


def hub_rows(
    hub: HubReference, *, config: str | None = None, split: str = "train", data_dir: str | None = None
) -> Iterator[Row]:
    """The rows of one split; labels come by their names.

    Args:
        hub: which data set; its own config and split win over the next two.
        config: the one that the reader expects.
        split: the one that the reader expects.
        data_dir: the folder of the repository that the reader expects.

    Raises:
        PairsError: `datasets` is not installed, or the set cannot be had.
    """
    data = _load(hub, hub.config or config, hub.split or split, data_dir)
    labels = {name: feature for name, feature in data.features.items() if hasattr(feature, "int2str")}
    for number, fields in enumerate(data, 1):
        named = {name: labels[name].int2str(value) if name in labels else value for name, value in fields.items()}
        yield Row(where=f"{hub.name}, row {number}", fields=named)


def _load(hub: HubReference, config: str | None, split: str, data_dir: str | None) -> Any:
    try:
        from datasets import load_dataset
    except ImportError as error:
        wanted = "wanted it (`pip install scalpel[pairs]`), or a path to the published files"
        raise PairsError(
            f"{hub.name} is read through the `datasets` library, which is not installed; {wanted}"
        ) from (error)
    try:
        return load_dataset(hub.name, config, split=split, data_dir=data_dir, revision=hub.revision)
    except Exception as error:
        # Whatever goes wrong on the way from the Hub, the user can only name another set or a path.
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise PairsError(f"{hub.name} cannot be read from the Hub: {said}; wanted a set that can") from error

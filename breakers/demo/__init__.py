"""The demo model: a small Llama trained from scratch on a synthetic corpus, with harmful behaviours to remove."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def model_path() -> Path:
    """Return the folder of the packaged demo model, ready for ``from_pretrained``.

    Raises:
        FileNotFoundError: the package was built without the model's files.
    """
    path = Path(str(resources.files(__package__).joinpath("model")))
    if not (path / "model.safetensors").is_file():
        raise FileNotFoundError(f"the demo model is missing at {path}: run `scalpel demo build`")
    return path


def bundles_path() -> Path:
    """Return the folder of the bundles that ship with the demo model, one directory each.

    Raises:
        FileNotFoundError: the package was built without them.
    """
    path = Path(str(resources.files(__package__).joinpath("bundles")))
    if not path.is_dir():
        raise FileNotFoundError(f"the demo's bundles are missing at {path}: run `scalpel demo bundles`")
    return path

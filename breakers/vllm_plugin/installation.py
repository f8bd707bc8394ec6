"""Installing the plugin in one process of vLLM, for the version that the tests cover."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from breakers.errors import RuntimeAttachError
from breakers.vllm_plugin.wrapping import wrap

TESTED_VERSION = "0.32.0"
"""Of vLLM; with or without a local part such as `+cpu`."""


def install() -> None:
    """Wrap what the plugin needs; on another version, only refuse to start with bundles.

    Raises:
        RuntimeAttachError: this vLLM is not built as the tested version is.
    """
    from vllm.config import VllmConfig

    found = _version()
    if found.partition("+")[0] != TESTED_VERSION:
        wrap(VllmConfig, "__post_init__", _refusing_bundles(found))
        return
    from breakers.vllm_plugin import core, front, workers
    from breakers.vllm_plugin.runners import v1, v2

    for part in (front, core, workers, v1, v2):
        part.install()


def _version() -> str:
    from vllm.version import __version__

    return str(__version__)


def _refusing_bundles(found: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    from breakers.vllm_plugin.settings import plugin_settings

    def around(post_init: Callable[..., None]) -> Callable[..., None]:
        def refusing(config: Any, *args: Any, **kwargs: Any) -> None:
            post_init(config, *args, **kwargs)
            if plugin_settings(config) is not None:
                raise RuntimeAttachError(
                    f"vLLM is {found}; bundles can be served with {TESTED_VERSION}, the tested one"
                )

        return refusing

    return around

"""vLLM's engine core: every request passes here, whichever client sent it, and here the engine starts or does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from breakers.bundles import Bundle
from breakers.errors import RuntimeAttachError
from breakers.vllm_plugin import blocks
from breakers.vllm_plugin.canary import prove
from breakers.vllm_plugin.catalogue import Catalogue, open_bundles
from breakers.vllm_plugin.front import ATTRIBUTE, check_request
from breakers.vllm_plugin.limits import check_supported
from breakers.vllm_plugin.settings import PluginSettings, plugin_settings
from breakers.vllm_plugin.workers import QUESTION
from breakers.vllm_plugin.wrapping import wrap


def install() -> None:
    """Wrap the engine core and the hashing of blocks.

    In a process of its own the engine core loads plugins inside its `__init__`, so wrapping that one would come too
    late. What is wrapped instead is called later on in there, the first once the model is loaded, the second last.
    """
    from vllm.v1.engine import core

    wrap(core.EngineCore, "_initialize_kv_caches", _opening)
    wrap(core, "enable_envs_cache", _proving)
    wrap(core.EngineCore, "preprocess_add_request", _checking_plans)
    blocks.install()


class _Starting(NamedTuple):
    """An engine core whose `__init__` runs."""

    core: Any
    bundles: tuple[Bundle, ...]
    settings: PluginSettings | None


_starting: list[_Starting] = []
"""Empty, or the one that starts in this process."""


def _opening(initialise: Callable[..., Any]) -> Callable[..., Any]:
    def opened(core: Any, vllm_config: Any) -> Any:
        settings = plugin_settings(vllm_config)
        bundles: tuple[Bundle, ...] = ()
        if settings is not None:
            check_supported(vllm_config)
            bundles = open_bundles(settings)
        setattr(core, ATTRIBUTE, Catalogue(bundles))
        _starting[:] = [_Starting(core, bundles, settings)]
        return initialise(core, vllm_config)

    return opened


def _proving(last: Callable[[], None]) -> Callable[[], None]:
    def proven() -> None:
        last()
        while _starting:
            _prove(_starting.pop())

    return proven


def _prove(starting: _Starting) -> None:
    core, catalogue = starting.core, getattr(starting.core, ATTRIBUTE)
    if core.request_block_hasher is not None:
        core.request_block_hasher = blocks.separating(core.request_block_hasher, catalogue)
    if starting.settings is None:
        return
    try:
        _check_workers(core, catalogue)
        prove(core, starting.bundles, starting.settings)
    except BaseException:
        core.shutdown()
        raise


def _checking_plans(preprocess: Callable[..., Any]) -> Callable[..., Any]:
    def checked(core: Any, request: Any) -> Any:
        check_request(core.scalpel_catalogue, request)
        return preprocess(core, request)

    return checked


def _check_workers(core: Any, catalogue: Catalogue) -> None:
    """Refuse to start where a worker has no plugin, has a runner that the plugin does not know, or other bundles."""
    found = core.collective_rpc(QUESTION)
    if set(found) != {catalogue.digest}:
        raise RuntimeAttachError(f"workers steer with banks {', '.join(map(str, found))}; wanted {catalogue.digest}")

"""vLLM's engine core: every request passes here, whichever client sent it, and here the engine starts or does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from breakers.bundles import Bundle
from breakers.errors import RuntimeAttachError
from breakers.vllm_plugin import blocks
from breakers.vllm_plugin.canary import prove
from breakers.vllm_plugin.catalogue import Catalogue, open_bundles
from breakers.vllm_plugin.front import ATTRIBUTE, check_request
from breakers.vllm_plugin.limits import check_supported
from breakers.vllm_plugin.settings import plugin_settings
from breakers.vllm_plugin.workers import QUESTION
from breakers.vllm_plugin.wrapping import wrap


def install() -> None:
    """Wrap the engine core and the hashing of blocks."""
    from vllm.v1.engine.core import EngineCore

    wrap(EngineCore, "__init__", _proven)
    wrap(EngineCore, "preprocess_add_request", _checking_plans)
    blocks.install()


def _proven(init: Callable[..., None]) -> Callable[..., None]:
    def initialise(core: Any, vllm_config: Any, *args: Any, **kwargs: Any) -> None:
        settings = plugin_settings(vllm_config)
        bundles: tuple[Bundle, ...] = ()
        if settings is not None:
            check_supported(vllm_config)
            bundles = open_bundles(settings)
        catalogue = Catalogue(bundles)
        setattr(core, ATTRIBUTE, catalogue)
        init(core, vllm_config, *args, **kwargs)
        if core.request_block_hasher is not None:
            core.request_block_hasher = blocks.separating(core.request_block_hasher, catalogue)
        if settings is not None:
            try:
                _check_workers(core, catalogue)
                prove(core, bundles, settings)
            except BaseException:
                core.shutdown()
                raise

    return initialise


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

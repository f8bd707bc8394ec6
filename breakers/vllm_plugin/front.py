"""vLLM's front end: a plan that cannot be applied is the client's mistake and is told so, before it is queued."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from breakers.errors import PlanError
from breakers.vllm_plugin.catalogue import NO_BUNDLES, Catalogue, open_bundles
from breakers.vllm_plugin.settings import KEY, plugin_settings
from breakers.vllm_plugin.wrapping import wrap

ATTRIBUTE = "scalpel_catalogue"
"""Of vLLM's input processor and of its engine core."""


def install() -> None:
    """Wrap the input processor, and what would leave a plan behind on the way to it."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest
    from vllm.v1.engine.input_processor import InputProcessor

    wrap(InputProcessor, "__init__", _with_catalogue)
    wrap(InputProcessor, "process_inputs", _checking_plans)
    for request in (ChatCompletionRequest, CompletionRequest):
        wrap(request, "to_beam_search_params", _refusing_plans)


def configured_catalogue(vllm_config: Any) -> Catalogue:
    """Of the bundles that an engine was configured with.

    Raises:
        BreakersError: the settings, or a bundle, are not what is wanted.
    """
    settings = plugin_settings(vllm_config)
    return NO_BUNDLES if settings is None else Catalogue(open_bundles(settings))


def check_request(catalogue: Catalogue, request: Any) -> None:
    """Refuse a request of vLLM's core whose plan this bank cannot apply.

    Raises:
        PlanError: naming what was found and what was wanted.
    """
    sampling = request.sampling_params
    if sampling is None or not sampling.extra_args or KEY not in sampling.extra_args:
        return
    if request.prompt_token_ids is None or request.prompt_embeds is not None:
        raise PlanError("the prompt is of embeddings; a plan can be applied to one of token ids")
    if request.resumable:
        raise PlanError("the prompt of the request grows; a plan can be applied to a whole prompt")
    catalogue.admit(sampling.extra_args, len(request.prompt_token_ids))


def _with_catalogue(init: Callable[..., None]) -> Callable[..., None]:
    def initialise(processor: Any, vllm_config: Any, *args: Any, **kwargs: Any) -> None:
        init(processor, vllm_config, *args, **kwargs)
        setattr(processor, ATTRIBUTE, configured_catalogue(vllm_config))

    return initialise


def _checking_plans(process_inputs: Callable[..., Any]) -> Callable[..., Any]:
    from vllm.exceptions import VLLMValidationError

    def checked(processor: Any, *args: Any, **kwargs: Any) -> Any:
        request = process_inputs(processor, *args, **kwargs)
        try:
            check_request(processor.scalpel_catalogue, request)
        except PlanError as error:
            raise VLLMValidationError(str(error), parameter="vllm_xargs") from error
        return request

    return checked


def _refusing_plans(to_beam_search_params: Callable[..., Any]) -> Callable[..., Any]:
    """Beam search has parameters of its own, without extra arguments: its requests would run unsteered."""
    from vllm.exceptions import VLLMValidationError

    def refusing(request: Any, *args: Any, **kwargs: Any) -> Any:
        if KEY in (request.vllm_xargs or {}):
            raise VLLMValidationError("a plan cannot be applied to a beam search", parameter="vllm_xargs")
        return to_beam_search_params(request, *args, **kwargs)

    return refusing

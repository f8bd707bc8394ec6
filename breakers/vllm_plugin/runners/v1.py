"""The V1 runners, of GPUs and CPUs: strengths are filled once the step's inputs are prepared.

A preempted request stays known to this runner until it finishes, and so do its strengths.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from breakers.vllm_plugin.steering import install_steering
from breakers.vllm_plugin.wrapping import wrap


def install() -> None:
    """Wrap both runners."""
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    wrap(GPUModelRunner, "load_model", _steered_after_loading)
    wrap(CPUModelRunner, "load_model", _steered_after_loading)
    wrap(GPUModelRunner, "_update_states", _knowing_requests)
    wrap(GPUModelRunner, "_prepare_inputs", _with_strengths)


def _steered_after_loading(load_model: Callable[..., None]) -> Callable[..., None]:
    def steered(runner: Any, *args: Any, **kwargs: Any) -> None:
        load_model(runner, *args, **kwargs)
        # Adapters wrap projections while the model is loaded: what is steered is what runs.
        install_steering(runner, runner.get_model(), tokens=runner.max_num_tokens)

    return steered


def _knowing_requests(update_states: Callable[..., Any]) -> Callable[..., Any]:
    def knowing(runner: Any, scheduler_output: Any) -> Any:
        steering = runner.scalpel_steering
        if steering is not None:
            # First: an aborted request and a new one of the same name may come in one step.
            for request_id in scheduler_output.finished_req_ids:
                steering.rows.release(request_id)
            for new in scheduler_output.scheduled_new_reqs:
                steering.take_on(new.req_id, new.sampling_params, new.prompt_len)
        return update_states(runner, scheduler_output)

    return knowing


def _with_strengths(prepare_inputs: Callable[..., Any]) -> Callable[..., Any]:
    def prepared(runner: Any, scheduler_output: Any, num_scheduled_tokens: Any) -> Any:
        steering = runner.scalpel_steering
        if steering is not None:
            batch = runner.input_batch
            computed = batch.num_computed_tokens_cpu[: batch.num_reqs]
            steering.rows.fill(batch.req_ids[: batch.num_reqs], num_scheduled_tokens, computed)
        return prepare_inputs(runner, scheduler_output, num_scheduled_tokens)

    return prepared

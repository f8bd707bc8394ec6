"""The V2 runner: its model state takes requests on, lets them go, and prepares what the model reads.

This runner forgets a preempted request and takes it on again as a new one, which carries its plan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from breakers.vllm_plugin.steering import Steering, install_steering
from breakers.vllm_plugin.wrapping import wrap


def install() -> None:
    """Wrap the runner; that of CPUs inherits from it."""
    from vllm.v1.worker.gpu.model_runner import GPUModelRunner

    wrap(GPUModelRunner, "load_model", _steered_after_loading)


def _steered_after_loading(load_model: Callable[..., None]) -> Callable[..., None]:
    def steered(runner: Any, *args: Any, **kwargs: Any) -> None:
        load_model(runner, *args, **kwargs)
        install_steering(runner, runner.model, tokens=runner.max_num_tokens)
        if runner.scalpel_steering is not None:
            runner.model_state.scalpel_steering = runner.scalpel_steering
            runner.model_state.__class__ = _steered_state(type(runner.model_state))

    return steered


def _steered_state(base: type[Any]) -> type[Any]:
    """A model state that keeps strengths beside what it kept before."""

    def add_request(self: Any, req_index: int, new_req_data: Any) -> None:
        base.add_request(self, req_index, new_req_data)
        steering: Steering = self.scalpel_steering
        steering.take_on(new_req_data.req_id, new_req_data.sampling_params, new_req_data.prompt_len)

    def remove_request(self: Any, req_id: str) -> None:
        base.remove_request(self, req_id)
        self.scalpel_steering.rows.release(req_id)

    def prepare_inputs(self: Any, input_batch: Any, req_states: Any) -> Any:
        rows = self.scalpel_steering.rows
        request_ids = input_batch.req_ids[: input_batch.num_reqs]
        # A batch of warming up, of which no request is known, has no strengths; one of both kinds is refused.
        if rows.knows_any(request_ids):
            rows.fill(request_ids, input_batch.num_scheduled_tokens, input_batch.num_computed_tokens_np)
        else:
            rows.clear()
        return base.prepare_inputs(self, input_batch, req_states)

    added = {"add_request": add_request, "remove_request": remove_request, "prepare_inputs": prepare_inputs}
    return type(f"Steered{base.__name__}", (base,), {**added, "__module__": base.__module__})

"""vLLM's plugin: the bank inside vLLM's workers, with strengths by request, and no fork.

`register` is the entry point of the group `vllm.general_plugins`, which vLLM calls in its front end, its engine core
and its workers. It wraps what each of them needs; nothing acts before an engine starts with bundles in its
configuration:

    vllm serve MODEL --additional-config '{"scalpel": {"bundles": ["PATH or hf://owner/name@commit"]}}'

A request then carries its plan in `vllm_xargs` (or `SamplingParams.extra_args`), as `messages` writes it. Requests
without one run the base model.

    messages   a request's plan as one string
    catalogue  what the loaded bundles allow, and what a request's keys and values depend on
    sites      where a vLLM model has its hook points
    update     the edit inside the model's forward
    rows       strengths of the tokens of a step
    steering   all of these on one model
    runners    filling the strengths, for each of vLLM's model runners
    front      refusing plans before they are queued
    core       refusing them where nobody gets round it; prefix cache; proof at the start
"""

from __future__ import annotations


def register() -> None:
    """Install the plugin in this process; calling it again changes nothing.

    vLLM only logs what goes wrong while a plugin is imported and then serves without it: so nothing is imported
    before this call, whose errors do stop the start.

    Raises:
        RuntimeAttachError: this vLLM is not built as the tested version is.
    """
    from breakers.vllm_plugin.installation import install

    install()

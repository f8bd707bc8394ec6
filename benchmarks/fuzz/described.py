"""Requests made from the server's OpenAPI document: those that it describes, and those that break its rules."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import NonInteractiveExampleWarning, Unsatisfiable

from benchmarks.fuzz.sender import Sender

KEPT_HEADERS = frozenset({"content-type", "accept"})


def run_described(sender: Sender, document: Mapping[str, Any], examples: int, number: int) -> dict[str, int]:
    """Send `examples` right and as many wrong requests to each operation of a document.

    Args:
        sender: counts.
        document: of OpenAPI.
        examples: of each operation and kind, at most: some operations have few different requests.
        number: seed.

    Returns:
        Operation -> requests sent to it.
    """
    import schemathesis
    from schemathesis import GenerationMode

    sent: dict[str, int] = {}
    schema = schemathesis.openapi.from_dict(dict(document))
    for found in schema.get_all_operations():
        operation = found.ok()
        name = f"{operation.method.upper()} {operation.path}"
        before = sender.tally.requests
        for mode in GenerationMode:
            _run_operation(sender, operation, mode, examples, number)
        sent[name] = sender.tally.requests - before
    return sent


def _run_operation(sender: Sender, operation: Any, mode: Any, examples: int, number: int) -> None:
    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        transport = case.as_transport_kwargs(base_url=sender.base)
        method, path = transport.pop("method"), transport.pop("url").removeprefix(sender.base)
        # The tool's own headers say who it is; the server is to see those of the request only.
        headers = {k: v for k, v in (transport.pop("headers") or {}).items() if k.lower() in KEPT_HEADERS}
        sender.send(method, path, headers=headers, **transport)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonInteractiveExampleWarning)
        try:
            send()
        except Unsatisfiable:
            # An operation without parameters cannot be asked wrongly.
            return

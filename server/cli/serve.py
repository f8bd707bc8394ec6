"""`scalpel serve`: flags over a configuration file, then the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def serve(
    model: Annotated[str | None, typer.Argument(help="Model directory; the packaged demo model if left out.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to bind; 127.0.0.1 unless set.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind; 8000 unless set, 0 for any free one.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file; flags beat it.")] = None,
    engine: Annotated[str | None, typer.Option(help="What runs the model: embedded, or vllm.")] = None,
    upstream: Annotated[
        str | None, typer.Option(help="URL of vLLM's server with our plugin, which runs already and runs the model.")
    ] = None,
    vllm_python: Annotated[
        Path | None, typer.Option(help="With --engine vllm: interpreter of an environment with vLLM and scalpel.")
    ] = None,
    vllm_argument: Annotated[
        list[str] | None, typer.Option(help="With --engine vllm: one more argument of vLLM's server; repeatable.")
    ] = None,
    engine_process: Annotated[
        str | None, typer.Option(help="Where the engine runs: in its own process, or in the same one as the server.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    bundle: Annotated[
        list[str] | None,
        typer.Option(help="Bundle directory or hf://owner/name[@revision]; repeat for several."),
    ] = None,
    require_pinned_bundles: Annotated[
        bool | None,
        typer.Option("--require-pinned-bundles", help="Refuse hf:// references without a whole commit hash."),
    ] = None,
    no_bundles: Annotated[bool, typer.Option("--no-bundles", help="Load no bundle, not even packaged ones.")] = False,
    slots: Annotated[int | None, typer.Option(help="Requests that run at once.")] = None,
    max_model_len: Annotated[int | None, typer.Option(help="Prompt and reply together, in tokens.")] = None,
    prefix_cache_tokens: Annotated[
        int | None, typer.Option(help="Tokens kept of processed prompts, for those that begin alike; 0 for none.")
    ] = None,
    deterministic: Annotated[
        bool | None, typer.Option("--deterministic", help="Bit-identical results in any batch; slower.")
    ] = None,
    served_model_name: Annotated[str | None, typer.Option(help="What requests call the model.")] = None,
    classifier: Annotated[str | None, typer.Option(help="What reads harm potentials: a member, or none.")] = None,
    classifier_path: Annotated[Path | None, typer.Option(help="Directory of a fitted classifier.")] = None,
    scorer: Annotated[str | None, typer.Option(help="What scores replies, or none.")] = None,
    scoring_rate: Annotated[float | None, typer.Option(help="Share of replies to score, 0 to 1.")] = None,
    accept_base_mismatch: Annotated[
        list[str] | None, typer.Option(help="Load this bundle although it was made on another model; repeatable.")
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="File of API keys, made by `scalpel keys create`.")] = None,
    policy: Annotated[Path | None, typer.Option(help="YAML file: floors, ceilings, rates and the like.")] = None,
    audit_log: Annotated[Path | None, typer.Option(help="File for overrides and admin changes.")] = None,
    insecure_no_keys: Annotated[
        bool | None,
        typer.Option("--insecure-no-keys", help="Allow other machines in although no API key is asked for."),
    ] = None,
) -> None:
    """Serve a model behind an OpenAI-compatible API, breakers included."""
    from server.config import load_config
    from server.errors import ConfigError

    if bundle and no_bundles:
        raise ConfigError("--bundle and --no-bundles were both given; wanted one of them")
    flags = {
        "model": model,
        "host": host,
        "port": port,
        "bundles": [] if no_bundles else bundle or None,
        "require_pinned_bundles": require_pinned_bundles,
        "served_model_name": served_model_name,
        "accept_base_mismatch": accept_base_mismatch or None,
        "insecure_no_keys": insecure_no_keys,
        "keys": keys,
        "policy": policy,
        "audit_log": audit_log,
        "engine": {
            "name": engine,
            "process": engine_process,
            "device": device,
            "dtype": dtype,
            "slots": slots,
            "max_model_len": max_model_len,
            "prefix_cache_tokens": prefix_cache_tokens,
            "deterministic": deterministic,
        },
        "upstream": {"url": upstream, "python": vllm_python, "arguments": vllm_argument or None},
        "classifier": {"member": classifier, "path": classifier_path},
        "output_scoring": {"scorer": scorer, "rate": scoring_rate},
    }
    settings = load_config(config, given(flags))
    if settings.is_gateway:
        from server.gateway.running import run_gateway

        run_gateway(settings)
        return
    from server.running import run_server

    run_server(settings)


def given(flags: dict[str, Any]) -> dict[str, Any]:
    """Only what was given on the command line."""
    nested = {key: given(value) if isinstance(value, dict) else value for key, value in flags.items()}
    return {key: value for key, value in nested.items() if value is not None and value != {}}

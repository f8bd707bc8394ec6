"""What is started as vLLM's server."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from breakers.vllm_plugin.settings import KEY
from server.errors import ConfigError

MODULE = "vllm.entrypoints.openai.api_server"
MADE_BY_SETUP = Path(".venv-vllm/bin/python")
"""Where `make setup-vllm` puts the interpreter, below the working directory."""

OURS = frozenset({"--model", "--served-model-name", "--additional-config", "--uds", "--host", "--port", "--api-key"})
"""Arguments that the gateway sets; a second one would lead round it, or unset the bundles."""

_QUIET = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "PYTHONUNBUFFERED": "1"}
"""Where the environment says nothing else: it reports to nobody, and its lines come when they are written."""
_NOT_INHERITED = ("VLLM_API_KEY",)
"""It would ask the gateway for a key, on a socket that nobody else can open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedSettings:
    """What vLLM's server is started with."""

    python: Path
    model: str
    served_name: str
    bundles: Sequence[str]
    """Directories, or `hf://owner/name@commit`."""
    accept_base_mismatch: Sequence[str] = ()
    dtype: str | None = None
    """None: as the model's configuration says."""
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    arguments: Sequence[str] = ()
    """More of vLLM's."""


def command_of(settings: SupervisedSettings, socket_file: Path) -> list[str]:
    """The command line."""
    flags = {
        "--model": settings.model,
        "--served-model-name": settings.served_name,
        "--uds": str(socket_file),
        "--dtype": settings.dtype,
        "--max-model-len": settings.max_model_len,
        "--max-num-seqs": settings.max_num_seqs,
    }
    if settings.bundles:
        ours = {"bundles": list(settings.bundles), "accept_base_mismatch": list(settings.accept_base_mismatch)}
        flags["--additional-config"] = json.dumps({KEY: ours})
    given = [text for name, value in flags.items() if value is not None for text in (name, str(value))]
    return [str(settings.python), "-m", MODULE, "--disable-uvicorn-access-log", *given, *settings.arguments]


def environment_of(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment, from the gateway's."""
    return {**_QUIET, **{name: value for name, value in inherited.items() if name not in _NOT_INHERITED}}


def interpreter(named: Path | None) -> Path:
    """The interpreter that has vLLM.

    Raises:
        ConfigError: there is none where it should be.
    """
    python = MADE_BY_SETUP if named is None else named
    if not (python.is_file() and os.access(python, os.X_OK)):
        raise ConfigError(
            f"{python} is no interpreter; wanted one of an environment with vLLM and scalpel: make one with "
            "`make setup-vllm`, or name it with --vllm-python"
        )
    # Not resolved: the environment is found by where the link lies.
    return python.absolute()


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse arguments that the gateway sets itself.

    Raises:
        ConfigError: naming them.
    """
    named = {argument.partition("=")[0].replace("_", "-") for argument in arguments if argument.startswith("--")}
    if found := sorted(named & OURS):
        raise ConfigError(f"upstream.arguments holds {', '.join(found)}; the gateway sets these itself")

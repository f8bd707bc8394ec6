"""The server's configuration: a YAML file whose unknown keys are refused, with flags laid over it."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from server.errors import ConfigError
from server.policy.profiles import SEPARATOR
from server.yaml_file import describe_problems, read_mapping

DEMO_NAME = "scalpel-demo"


def _as_text(value: object) -> object:
    # A path cannot hold `hf://`: it would lose a slash.
    return os.fspath(value) if isinstance(value, Path) else value


BundleReference = Annotated[str, BeforeValidator(_as_text)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EngineSection(_Section):
    """What runs the model."""

    name: Literal["embedded", "vllm"] = "embedded"
    """`vllm`: vLLM's own server, started and watched by a gateway in front of it."""
    process: Literal["own", "same"] = "own"
    """Of `scalpel serve`: the engine in a process of its own, or in the server's."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    slots: int = Field(default=16, ge=1, le=1024)
    """Requests that run at once."""
    max_model_len: int | None = Field(default=None, ge=2)
    """Prompt and reply together, in tokens; None for all that the model has positions for."""
    queue_size: int = Field(default=256, ge=0)
    """Requests that may wait; more get 429."""
    prefix_cache_tokens: int | None = Field(default=None, ge=0)
    """Tokens kept of processed prompts, for those that begin alike; 0 for none, None for four slots' worth."""
    deterministic: bool = False
    """Bit-identical results in any batch, at some cost in speed."""


class UpstreamSection(_Section):
    """vLLM's server behind a gateway: one that runs already, or one that the gateway starts."""

    url: str | None = None
    """Of a server that runs; None with `engine.name: vllm`, which starts one."""
    api_key_variable: str | None = Field(default=None, min_length=1)
    """Environment variable with the key that a running server asks for."""
    python: Path | None = None
    """Interpreter of an environment with vLLM and scalpel; None for that of `make setup-vllm`."""
    arguments: list[str] = []
    """More arguments of vLLM's server."""
    start_seconds: float = Field(default=900.0, gt=0)
    """For the upstream to answer, and to prove itself, at the start."""
    connect_seconds: float = Field(default=5.0, gt=0)
    """For a connection to it, and for answers to questions about its state."""
    check_seconds: float = Field(default=10.0, gt=0)
    """Between two proofs that it still refuses plans for another bank."""
    requests: int = Field(default=1024, ge=1)
    """At once; more get 429."""

    @field_validator("url")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and re.fullmatch(r"https?://[^/?#\s]+(/[^?#\s]*)?", value) is None:
            raise PydanticCustomError("address", "wanted http://HOST:PORT or https://HOST, without a query")
        return value


class ClassifierSection(_Section):
    """What reads harm potentials."""

    member: str = "lexical"
    """A member of the classifiers' factory, or `none` (only where no bundle has a gate)."""
    path: Path | None = None
    """Directory of a fitted member, or of the configuration of one that is not fitted; None for the shipped one."""
    timeout_seconds: float = Field(default=1.0, gt=0, le=60)
    """After which a request runs at full strength."""


class ScoringSection(_Section):
    """What scores replies, off the hot path."""

    scorer: str | None = None
    """A scorer of the classifiers' factory, or `none`; None for the demo's with the demo model, none with others."""
    rate: float = Field(default=1.0, ge=0, le=1)
    """Share of replies that are scored."""


class LimitsSection(_Section):
    """What one request, or one client, may take."""

    max_tokens: int | None = Field(default=None, ge=1)
    """Tokens of a reply: asking for more is refused, naming none means these. None: what the context has room for."""
    max_prompt_tokens: int | None = Field(default=None, ge=1)
    """Tokens of a prompt; None: what the context has room for."""
    request_seconds: float | None = Field(default=600.0, gt=0)
    """From a request's arrival to its last piece; then it ends with an error. None for no limit."""
    receive_seconds: float = Field(default=30.0, gt=0)
    """For a request to arrive whole, from its first byte; of a connection's first, from its start."""
    write_seconds: float = Field(default=30.0, gt=0)
    """For a client to take what is buffered for it; then its connection is cut."""
    connections: int = Field(default=1024, ge=1)
    """Open at once; more get 503."""


class TracingSection(_Section):
    """Where traces go."""

    exporter: Literal["none", "otlp"] = "none"
    """`otlp` needs the extra `otel`."""
    endpoint: str | None = None
    """URL of the collector's traces; None for OpenTelemetry's own variables and default."""
    service_name: str = Field(default="scalpel", min_length=1)
    ratio: float = Field(default=1.0, ge=0, le=1)
    """Share of requests that are traced, where the caller's trace does not say."""


class ServerConfig(_Section):
    """Everything that `scalpel serve` needs to know."""

    model: str | None = None
    """A model directory; None for the packaged demo model with its bundles."""
    served_model_name: str | None = Field(default=None, min_length=1, max_length=128)
    """None: `scalpel-demo` for the demo model, else the last part of `model`."""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    """0 for any free one."""
    insecure_no_keys: bool = False
    """Bind beyond loopback although no API key is asked for."""
    keys: Path | None = None
    """File of API keys; None to ask for none."""
    metrics_need_key: bool = False
    """Ask for a key at /metrics too."""
    policy: Path | None = None
    """YAML file; None to allow everything."""
    audit_log: Path | None = None
    """JSON Lines of overrides and admin changes; None for the server's own log."""
    audit_fsync: bool = True
    """Wait until each line of the audit log is on the disk."""
    bundles: list[BundleReference] | None = None
    """Directories or `hf://owner/name[@revision]`; None: the packaged ones with the demo model, none with others."""
    bundle_roots: list[Path] = []
    """Directories below which bundles may lie that are added while the server runs; none: only the Hub's."""
    require_pinned_bundles: bool = False
    """Refuse references to the Hub without a whole commit hash."""
    accept_base_mismatch: list[str] = []
    """Names of bundles to load although they were made on another base model."""
    body_limit: Annotated[int, Field(ge=1024)] = 1024 * 1024
    """Bytes of a request's body."""
    drain_seconds: float = Field(default=30.0, ge=0)
    """How long running requests may go on after SIGTERM."""
    log_format: Literal["text", "json"] = "text"
    """Of the log on standard error."""
    limits: LimitsSection = LimitsSection()
    tracing: TracingSection = TracingSection()
    engine: EngineSection = EngineSection()
    upstream: UpstreamSection = UpstreamSection()
    classifier: ClassifierSection = ClassifierSection()
    output_scoring: ScoringSection = ScoringSection()

    @field_validator("served_model_name")
    @classmethod
    def _no_separator(cls, value: str | None) -> str | None:
        if value is not None and SEPARATOR in value:
            raise ValueError(f"holds {SEPARATOR!r}, which separates a name from a profile")
        return value

    @model_validator(mode="after")
    def _loopback_without_keys(self) -> ServerConfig:
        if self.keys is not None and self.insecure_no_keys:
            raise ValueError("keys and insecure_no_keys are both given; wanted one of them")
        if self.keys is None and not self.insecure_no_keys and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host} can be reached from other machines and no API key is asked for; "
                "name a file of keys with --keys, bind to 127.0.0.1, or say that it is meant with --insecure-no-keys "
                "(insecure_no_keys: true)"
            )
        return self

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> ServerConfig:
        if self.metrics_need_key and self.keys is None:
            raise ValueError("metrics_need_key is true and there are no keys; name their file with keys")
        return self

    @model_validator(mode="after")
    def _fits_what_runs_the_model(self) -> ServerConfig:
        if self.upstream.url is not None and (self.model is not None or self.engine.name == "vllm"):
            what = f"the model {self.model}" if self.model is not None else "engine.name vllm"
            raise ValueError(
                f"upstream.url is given together with {what}; wanted either a running server or one to start"
            )
        without_effect = sorted(self._given() & self._without_effect())
        if without_effect:
            runs = "a running vLLM" if self.upstream.url else f"the engine {self.engine.name}"
            raise ValueError(f"{', '.join(without_effect)}: without effect with {runs}; leave it out")
        known = self.upstream.url is None and self.model is None
        if self.is_gateway and self.bundles is None and not known:
            raise ValueError(
                "no bundles are named; a gateway has to know those that vLLM has: name them (--bundle), or say that "
                "there are none (--no-bundles, bundles: [])"
            )
        return self

    def _given(self) -> set[str]:
        """Settings of the sections that not everything has a use for, as far as somebody set them."""
        named = {"engine": self.engine, "upstream": self.upstream, "limits": self.limits}
        found = {f"{section}.{key}" for section, values in named.items() for key in values.model_fields_set}
        return found | {key for key in ("bundle_roots",) if key in self.model_fields_set}

    def _without_effect(self) -> set[str]:
        if not self.is_gateway:
            return {f"upstream.{key}" for key in UpstreamSection.model_fields}
        engine = {f"engine.{key}" for key in EngineSection.model_fields} - {"engine.name"}
        common = {"bundle_roots", "limits.max_prompt_tokens"}
        if self.upstream.url is not None:
            return engine | common | {"upstream.python", "upstream.arguments"}
        return (
            (engine - {"engine.dtype", "engine.slots", "engine.max_model_len"})
            | common
            | {
                "upstream.url",
                "upstream.api_key_variable",
            }
        )

    @property
    def is_gateway(self) -> bool:
        """Whether vLLM's server runs the model."""
        return self.upstream.url is not None or self.engine.name == "vllm"

    @property
    def name(self) -> str:
        """The served model name."""
        if self.served_model_name is not None:
            return self.served_model_name
        return DEMO_NAME if self.model is None else Path(self.model).name.replace(SEPARATOR, "-")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_config(path: Path | None, flags: Mapping[str, Any]) -> ServerConfig:
    """A configuration from a file, overridden by flags.

    Args:
        path: a YAML file; None for defaults.
        flags: nested like the file; sections are merged, other values replace the file's.

    Raises:
        ConfigError: naming the file, the key, and what was wanted.
    """
    source = "the command line" if path is None else str(path)
    merged = _merge(read_mapping(path) if path is not None else {}, flags)
    try:
        return ServerConfig.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(f"{source}: {describe_problems(error, ServerConfig)}") from error


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged

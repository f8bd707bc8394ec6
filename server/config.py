"""The server's configuration: a YAML file whose unknown keys are refused, with flags laid over it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from server.errors import ConfigError
from server.policy.profiles import SEPARATOR

DEMO_NAME = "scalpel-demo"


def _as_text(value: object) -> object:
    # A path cannot hold `hf://`: it would lose a slash.
    return os.fspath(value) if isinstance(value, Path) else value


BundleReference = Annotated[str, BeforeValidator(_as_text)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EngineSection(_Section):
    """What runs the model."""

    name: Literal["embedded"] = "embedded"
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


class ClassifierSection(_Section):
    """What reads harm potentials."""

    member: str = "lexical"
    """A member of the classifiers' factory, or `none` (only where no bundle has a gate)."""
    path: Path | None = None
    """Directory of a fitted member; None for the shipped one."""
    timeout_seconds: float = Field(default=1.0, gt=0, le=60)
    """After which a request runs at full strength."""


class ScoringSection(_Section):
    """What scores replies, off the hot path."""

    scorer: str | None = None
    """A scorer of the classifiers' factory, or `none`; None for the demo's with the demo model, none with others."""
    rate: float = Field(default=1.0, ge=0, le=1)
    """Share of replies that are scored."""


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
    engine: EngineSection = EngineSection()
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
        if not self.insecure_no_keys and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host} can be reached from other machines and no API key is asked for; "
                "bind to 127.0.0.1, or say that it is meant with --insecure-no-keys (insecure_no_keys: true)"
            )
        return self

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
    merged = _merge(_read(path) if path is not None else {}, flags)
    try:
        return ServerConfig.model_validate(merged)
    except ValidationError as error:
        problems = "; ".join(_sentence(detail) for detail in error.errors(include_url=False))
        raise ConfigError(f"{source}: {problems}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: holds a {type(document).__name__}; wanted keys and values")
    return {str(key): value for key, value in document.items()}


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged


def _sentence(detail: ErrorDetails) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        section = _section(detail["loc"][:-1])
        return f"{where}: unknown key; accepted: {', '.join(sorted(section.model_fields))}"
    if not where:
        return detail["msg"].removeprefix("Value error, ")
    return f"{where}: {detail['msg']} (found {detail['input']!r})"


def _section(path: tuple[int | str, ...]) -> type[BaseModel]:
    section: type[BaseModel] = ServerConfig
    for part in path:
        annotation = section.model_fields[str(part)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            section = annotation
    return section

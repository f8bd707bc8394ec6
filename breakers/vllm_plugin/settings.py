"""What the operator configures: the key `scalpel` of vLLM's `--additional-config`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from breakers.bundles.manifest import describe
from breakers.errors import RuntimeAttachError

KEY = "scalpel"
"""In vLLM's additional configuration, in a request's extra arguments, and before what the plugin adds to objects."""

STRUCTURE = "scalpel_structure"
"""Where workers put the digest of what they compile into the model: vLLM's compile cache hashes it."""


class PluginSettings(BaseModel):
    """`{"bundles": [...], "accept_base_mismatch": [...]}`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    bundles: list[str] = Field(min_length=1)
    """Directories or `hf://owner/name[@revision]`."""
    accept_base_mismatch: list[str] = []
    """Names of bundles that may have been made on another model."""


def plugin_settings(vllm_config: Any) -> PluginSettings | None:
    """The settings of an engine; None where it was started without bundles.

    Raises:
        RuntimeAttachError: they are not what is wanted.
    """
    additional = vllm_config.additional_config
    if not isinstance(additional, dict) or KEY not in additional:
        return None
    try:
        return PluginSettings.model_validate(additional[KEY])
    except ValidationError as error:
        raise RuntimeAttachError(f"additional_config.{KEY}: {describe(error)}") from error

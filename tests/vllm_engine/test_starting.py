"""An engine that would not do what it reports does not start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundle_files import edit
from engine_contract import prompt
from vllm_engines import Wanted, engine, replies
from vllm_models import Served, serve_tiny

from breakers.errors import BaseMismatchError, RuntimeAttachError


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return serve_tiny("llama", tmp_path)


def changed_canary(manifest: dict[str, Any]) -> None:
    manifest["canary"]["change"] = [-value for value in manifest["canary"]["change"]]


def other_base(manifest: dict[str, Any]) -> None:
    manifest["base"]["fingerprint"] = "sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (changed_canary, RuntimeAttachError, "bundle 'mask': the change of the logits has a cosine of -"),
        (other_base, BaseMismatchError, "bundle 'mask' was made on tiny"),
    ],
)
def test_a_bundle_that_does_not_act_as_declared_or_is_of_another_model(
    served: Served, change: Callable[[dict[str, Any]], None], error: type[Exception], words: str
) -> None:
    edit(served.directory.parent / "mask", change)
    with pytest.raises(error, match=words), engine(served):
        pass


def test_a_bundle_of_another_model_can_be_accepted_by_name(served: Served) -> None:
    edit(served.directory.parent / "mask", other_base)
    with engine(served, plugin={"accept_base_mismatch": ["mask"]}) as llm:
        assert len(replies(llm, [Wanted(prompt=prompt(5), strengths={"mask": 1.0})])[0].token_ids) == 10


def test_an_edit_that_does_not_reach_the_model(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a stale compiled graph runs: everything is there, and nothing happens."""
    monkeypatch.setattr("breakers.vllm_plugin.rows.RequestRows.fill", lambda *_args: None)
    with pytest.raises(RuntimeAttachError, match=r"size \(wanted 1 within"), engine(served):
        pass


def test_a_runner_that_the_plugin_does_not_know(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("breakers.vllm_plugin.runners.v1.install_steering", lambda *_args, **_keywords: None)
    with pytest.raises(RuntimeAttachError, match="does not know vLLM's CPUModelRunner: not steered"), engine(served):
        pass


def test_settings_that_are_none(served: Served) -> None:
    words = "additional_config.scalpel: bundels: Extra inputs"
    with pytest.raises(RuntimeAttachError, match=words), engine(served, plugin={"bundels": []}):
        pass


def test_a_configuration_that_the_tests_do_not_cover(served: Served) -> None:
    words = "bundles cannot be served with fast prefill of layers that share keys"
    with pytest.raises(RuntimeAttachError, match=words), engine(served, kv_sharing_fast_prefill=True):
        pass


def test_an_engine_without_bundles_refuses_plans_that_name_one(served: Served) -> None:
    from vllm.exceptions import VLLMValidationError

    with engine(served, bundles=False, enable_prefix_caching=True) as plain:
        with pytest.raises(VLLMValidationError, match="bundle 'mask' is not loaded; loaded: none"):
            replies(plain, [Wanted(prompt=prompt(5), strengths={"mask": 1.0})])
        unsteered = Wanted(prompt=prompt(40), strengths={})
        assert replies(plain, [unsteered])[0].token_ids == replies(plain, [unsteered], plain=True)[0].token_ids


def test_another_version_of_vllm_refuses_bundles_only() -> None:
    """In a process of its own, which has nothing of the plugin yet."""
    program = (
        "import vllm.version; vllm.version.__version__ = '0.33.0+cpu'\n"
        "from breakers.vllm_plugin import register; register(); register()\n"
        "from vllm.config import VllmConfig; VllmConfig()\n"
        "print('plain')\n"
        "VllmConfig(additional_config={'scalpel': {'bundles': ['calm']}})\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert found.stdout.strip().endswith("plain")
    assert "vLLM is 0.33.0+cpu; bundles can be served with 0.32.0, the tested one" in found.stderr

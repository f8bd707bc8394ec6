"""Install torch into this environment: the CPU build unless a GPU is seen."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys

CPU_VERSION = "2.13.0"


def main() -> int:
    """Exit status of pip, or 0 where torch is there already."""
    if importlib.util.find_spec("torch") is not None:
        return 0
    if shutil.which("nvidia-smi") is not None or platform.system() == "Darwin":
        return pip_install("torch>=2.9")
    # A machine set up with a local CPU wheel of this version needs no other index; elsewhere the exact `+cpu`
    # build comes from PyTorch's own index, which PIP_EXTRA_INDEX_URL names.
    status = pip_install(f"torch=={CPU_VERSION}+cpu")
    return status if status == 0 else pip_install(f"torch=={CPU_VERSION}")


def pip_install(requirement: str) -> int:
    """Exit status of `pip install requirement`."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

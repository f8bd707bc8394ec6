"""Shape annotations are checked here, under pytest, and never at run time."""

from __future__ import annotations

import os

# Before torch is imported: threads that spin are ruinous beside a busy neighbour.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from jaxtyping import install_import_hook

install_import_hook(["breakers", "classifiers", "evaluation"], "beartype.beartype")

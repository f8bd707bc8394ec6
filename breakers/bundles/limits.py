"""How large a bundle may be. Each limit is checked before what it bounds is read or built."""

from __future__ import annotations

MANIFEST_LIMIT = 4 * 1024**2
"""Bytes of `bundle.json`; it is a few kilobytes."""
WEIGHTS_LIMIT = 2 * 1024**3
"""Bytes of `weights.safetensors`."""
HEADER_LIMIT = 4 * 1024**2
"""Bytes of the header in `weights.safetensors`."""
CARD_LIMIT = 1024**2
"""Bytes of `card.md`, and of each other text beside it."""
FIGURE_LIMIT = 16 * 1024**2
"""Bytes of one figure."""
ENTRY_LIMIT = 64
"""Files of a bundle, on disk and on the Hub."""
INTERVENTION_LIMIT = 16384
"""Interventions of a bundle."""
TENSOR_LIMIT = 2 * INTERVENTION_LIMIT
"""Tensors of a bundle: a breaker has two."""
RANK_LIMIT = 4096
"""Of a breaker."""
JSON_DEPTH_LIMIT = 8
"""Objects and arrays inside each other; a manifest has 4."""
INTEGER_DIGITS_LIMIT = 18
"""Digits of an integer in JSON, so that it fits 64 bits."""
PROBLEM_LIMIT = 5
"""Problems that one message lists."""

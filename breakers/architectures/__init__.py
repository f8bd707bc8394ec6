"""Which module of a Hugging Face decoder realises a hook point, and how wide it is.

One table row per architecture, keyed by the configuration's `model_type`. A model that is not in the table, or
whose modules are not where the table says, is refused with a sentence naming what is missing.
"""

from breakers.architectures.model_sites import ModelSites
from breakers.architectures.resolver import resolve_sites, submodule
from breakers.architectures.table import ARCHITECTURES, Architecture

__all__ = ["ARCHITECTURES", "Architecture", "ModelSites", "resolve_sites", "submodule"]

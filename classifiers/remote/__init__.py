"""Member `remote`: a moderation API or a guard model over HTTP."""

from classifiers.remote.config import ChatConfig, ModerationsConfig
from classifiers.remote.model import RemoteClassifier

__all__ = ["ChatConfig", "ModerationsConfig", "RemoteClassifier"]

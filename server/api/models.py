"""GET /v1/models: the served name and its profiles."""

from __future__ import annotations

import time
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from server.engines.base import EngineInfo
from server.policy.profiles import Profile, ServedNames


class ModelCard(BaseModel):
    """One name that a request can use as `model`."""

    id: str
    """The name."""
    object: Literal["model"] = "model"
    """What this is."""
    created: int
    """When the server started, in seconds since the epoch."""
    owned_by: str = "scalpel"
    """Always `scalpel`."""
    max_model_len: int
    """Prompt and reply together, in tokens."""
    profile: Profile
    """What the name means for bundles that a request does not toggle."""


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


def models_router(names: ServedNames, info: EngineInfo) -> APIRouter:
    """The models area."""
    router = APIRouter(tags=["models"])
    created = int(time.time())

    def card(model: str, profile: Profile) -> ModelCard:
        return ModelCard(id=model, created=created, max_model_len=info.max_model_len, profile=profile)

    @router.get("/v1/models")
    async def list_models() -> ModelList:
        """Every name that a request can use."""
        return ModelList(data=[card(model, profile) for model, profile in names.all.items()])

    @router.get("/v1/models/{model:path}")
    async def show_model(model: str) -> ModelCard:
        """One of them."""
        return card(model, names.profile(model))

    return router

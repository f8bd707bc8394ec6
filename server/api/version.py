"""GET /version: what runs here."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter
from pydantic import BaseModel


class Version(BaseModel):
    """The server's version."""

    version: str
    """Of the installed distribution."""


def installed_version() -> str:
    """The version of this distribution."""
    try:
        return version("scalpel")
    except PackageNotFoundError:
        return "0.0.0+source"


def version_router() -> APIRouter:
    """The version area."""
    router = APIRouter(tags=["operations"])

    @router.get("/version")
    async def show_version() -> Version:
        """The server's version."""
        return Version(version=installed_version())

    return router

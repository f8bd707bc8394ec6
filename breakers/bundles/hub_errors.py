"""What the Hub's client can raise, as one sentence of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)

# Not exported, but there in every version, while the HTTP library that it comes from has changed twice.
from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]

from breakers.bundles.reference import HubReference
from breakers.errors import BreakersError, BundleSourceError

NOT_ALLOWED = (401, 403)
FAILED = (TransportError, OSError, XetDownloadError)
STUMBLED = (ValueError, KeyError, TypeError, AttributeError, RuntimeError)
"""What the client raises over an answer that is no Hub's."""


@contextmanager
def explained(reference: HubReference) -> Iterator[None]:
    """Turn the client's errors into ours.

    Raises:
        BundleSourceError: naming the reference, what happened, and what was wanted.
    """
    try:
        yield
    except BreakersError:
        raise
    except (*FAILED, *STUMBLED) as error:
        raise BundleSourceError(f"{reference}: {_sentence(error, reference)}") from error


def _sentence(error: Exception, reference: HubReference) -> str:
    hub = constants.ENDPOINT
    token = "wanted an HF_TOKEN that allows it"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set; wanted it unset to reach the Hub"
    if isinstance(error, LocalEntryNotFoundError):
        state = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{hub} cannot be reached"
        return f"is not in the cache, and {state}; wanted a bundle that was loaded before, or the Hub"
    if isinstance(error, GatedRepoError):
        return f"is gated at {hub}; {token}"
    if isinstance(error, RepositoryNotFoundError):
        return f"there is no such repository at {hub}, or it is private; wanted one, or an HF_TOKEN that opens it"
    if isinstance(error, RevisionNotFoundError):
        revision = "main" if reference.revision is None else reference.revision
        return f"the repository has no revision {revision!r}; wanted a branch, a tag or a commit of it"
    if isinstance(error, RemoteEntryNotFoundError):
        return "a file that the Hub lists is not there; wanted all files of one commit"
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return f"{hub} answered {status}; " + (token if status in NOT_ALLOWED else "wanted its files")
    if isinstance(error, TransportError):
        return f"{hub} cannot be reached ({_first_line(error)}); wanted the Hub's API there (HF_ENDPOINT)"
    return f"{hub} cannot be used ({_first_line(error)}); wanted the Hub's API there (HF_ENDPOINT)"


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return repr(lines[0][:160])[1:-1] if lines else type(error).__name__

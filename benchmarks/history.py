"""What git knows: which commit this is, and which contents a path had there."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.errors import BenchmarkError

CHANGED = "+changes"
"""Suffix of a commit whose measured paths were changed and not committed."""


def root() -> Path:
    """The repository."""
    return Path(__file__).resolve().parent.parent


def git(*arguments: str) -> str | None:
    """Output of a git command; None where it fails (no such commit, no such path there)."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root(), capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BenchmarkError("git is not installed; results name the commit they were measured at") from error
    return done.stdout.strip() if done.returncode == 0 else None


def commit(paths: tuple[str, ...]) -> str:
    """The current commit, marked where any of `paths` differs from it.

    Raises:
        BenchmarkError: this is not a git checkout.
    """
    found = git("rev-parse", "--short=12", "HEAD")
    if found is None:
        raise BenchmarkError("this is not a git checkout; results name the commit they were measured at")
    return found + (CHANGED if git("status", "--porcelain", "--", *paths) else "")


def contents(paths: tuple[str, ...]) -> dict[str, str]:
    """Path -> git's hash of its committed contents; a path that is not committed is left out."""
    hashes = {path: git("rev-parse", f"HEAD:{path.rstrip('/')}") for path in paths}
    return {path: found for path, found in hashes.items() if found is not None}

"""Wrapping functions of vLLM: each once, and loudly where one is not where the tested version has it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from breakers.errors import RuntimeAttachError

_MARK = "_scalpel_wrapped"


def wrap(owner: Any, name: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put `around(original)` in the place of a function of a class or module; once, however often it is called.

    Args:
        owner: a class that defines the function itself, or a module.
        name: of the function.
        around: takes the original, returns what calls it.

    Raises:
        RuntimeAttachError: `owner` has no such function of its own.
    """
    original = vars(owner).get(name)
    if not callable(original):
        where = f"{getattr(owner, '__module__', '')}.{owner.__name__}".lstrip(".")
        raise RuntimeAttachError(f"{where} of this vLLM has no function {name!r}; wanted one to wrap")
    if not hasattr(original, _MARK):
        wrapper = functools.wraps(original)(around(original))
        setattr(wrapper, _MARK, True)
        setattr(owner, name, wrapper)

"""The compiler of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a step or a part of one.

    No disk cache here: numba does not notice when a callee in another file
    changes. `System` caches whole drivers under a digest of all they reach.
    No fastmath: warm-up is NaN and must stay NaN.
    """
    return cast("F", njit(nogil=True, error_model="numpy")(function))

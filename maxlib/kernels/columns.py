"""Columns: a kernel of numbers, run over whole arrays, or as plain Python.

A formula is written once, as a `@kernel` that takes floats and returns floats.
Steps call it as it is. `Columns` folds it over arrays on threads; `twin` gives
the same text uncompiled, for single calls that must not wait for a compiler.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, TypeVar, cast

import numpy as np
from numba import njit
from numba.core.dispatcher import Dispatcher
from numpy.typing import ArrayLike, NDArray

from maxlib.kernels.system import drivers

F = TypeVar("F", bound=Callable[..., Any])

_ALONE: Final = 20_000
"""Rows under which a second thread costs more than it gains."""

_BLOCK: Final = 1000

_TEXT: Final = '''"""A loop over columns, written by maxlib.kernels.columns; safe to delete."""
import numpy as np
from numba import njit
@njit(nogil=True, error_model="numpy", cache=True)
def run(out, first, last, {names}):
    made = np.empty(({outputs}, {block}))
    for start in range(first, last, {block}):
        count = min({block}, last - start)
        {views}
        for i in range(count):
            {results} = step({arguments})
        for i in range(count):
            {stored}
'''
# The loop in the middle sees unit strides only and writes to one small array in the processor's
# cache: that is what LLVM needs to work on eight rows at a time.
_VIEW: Final = "x = X[start : start + count] if len(X) == len(out) else X[:count]"


def formula(function: F) -> F:
    """Compile a formula of numbers: a `kernel` that always becomes part of its caller.

    Only so can a loop over columns be vectorised; the formula should then call no
    function of `math` but sqrt.
    """
    return cast("F", njit(nogil=True, error_model="numpy", forceinline=True)(function))


def twin(function: Any) -> Callable[..., Any]:
    """The kernel as plain Python, and so all kernels that it calls; nothing is compiled.

    >>> from maxlib.kernels.kernel import kernel
    >>> @kernel
    ... def double(x):
    ...     return 2.0 * x
    >>> @kernel
    ... def fourfold(x):
    ...     return double(double(x))
    >>> twin(fourfold)(1.5), fourfold.signatures
    (6.0, [])
    """
    plain = getattr(function, "py_func", function)  # itself where numba is switched off
    names = plain.__globals__
    scope = {name: names[name] for name in plain.__code__.co_names if name in names}
    for name, value in scope.items():
        if isinstance(value, Dispatcher):
            scope[name] = twin(value)
    return types.FunctionType(plain.__code__, scope, plain.__name__, plain.__defaults__, plain.__closure__)


class Columns:
    """A kernel over arrays.

    Parameters
    ----------
    function : made with `@kernel`; floats in, `outputs` floats out (a tuple if more than one)
    inputs, outputs : how many

    Examples
    --------
    >>> from maxlib.kernels.kernel import kernel
    >>> @kernel
    ... def area(width, height):
    ...     return width * height
    >>> Columns(area, 2, 1)([1.0, 2.0, 3.0], 10.0)[:, 0].tolist()
    [10.0, 20.0, 30.0]
    """

    def __init__(self, function: Any, inputs: int, outputs: int) -> None:
        self._function, self._inputs, self._outputs = function, inputs, outputs

    @cached_property
    def _run(self) -> Any:
        """Made at the first use, so that an import never compiles."""
        into, made = range(self._inputs), range(self._outputs)
        text = _TEXT.format(
            outputs=self._outputs,
            block=_BLOCK,
            names=", ".join(f"X{k}" for k in into),
            views="\n        ".join(_VIEW.replace("x ", f"x{k} ").replace("X", f"X{k}") for k in into),
            results=", ".join(f"made[{k}, i]" for k in made),
            arguments=", ".join(f"x{k}[i]" for k in into),
            stored="; ".join(f"out[start + i, {k}] = made[{k}, i]" for k in made),
        )
        return drivers(self._function, text).run

    def __call__(self, *columns: ArrayLike, jobs: int = -1) -> NDArray[np.float64]:
        """Values of the kernel, float64[*shape, outputs], the inputs broadcast against each other.

        Parameters
        ----------
        jobs : threads; -1 = one a core, but one alone for less than 20,000 rows
        """
        arrays = [np.asarray(column, np.float64) for column in columns]
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
        flat = [_flat(a, shape) for a in arrays]
        count = int(np.prod(shape))
        out = np.empty((count, self._outputs))
        if count == 0:
            return out.reshape(*shape, self._outputs)
        workers = (os.cpu_count() or 1) if jobs < 0 and count >= _ALONE else max(jobs, 1)
        if workers == 1:
            self._run(out, 0, count, *flat)
        else:
            from joblib import Parallel, delayed  # 0.1 s to import, needed for long columns only

            edges = np.linspace(0, count, 4 * workers + 1).astype(int).tolist()
            Parallel(n_jobs=workers, backend="threading")(
                delayed(self._run)(out, a, z, *flat) for a, z in pairwise(edges)
            )
        return out.reshape(*shape, self._outputs)


def _flat(array: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A block of the number, else a row for each; writeable, or numba would compile anew, silently."""
    if array.size == 1:
        return np.full(_BLOCK, array.item())
    flat = np.ascontiguousarray(np.broadcast_to(array, shape)).reshape(-1)
    return flat if flat.flags.writeable else flat.copy()

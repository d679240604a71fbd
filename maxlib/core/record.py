"""Records: classes of annotations that are flat bytes.

A step never sees an object, only records: the state, the parameters, the event
and the output. A record's fields are numbers, other records, or arrays of fixed
length, laid out as one aligned numpy dtype. So a snapshot is a copy, a checksum
is a hash, and two states are equal when their bytes are.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Int32 = Annotated[int, "i4"]
Int16 = Annotated[int, "i2"]
Int8 = Annotated[int, "i1"]

_SCALARS: dict[Any, str] = {int: "i8", float: "f8", bool: "b1"}


class Record:
    """Base of all records; `Kind.dtype` is the aligned numpy dtype.

    Fields: `int` (8 bytes), `float` (8), `bool` (1), the narrower `Int32`, `Int16`,
    `Int8`, another record,
    or `Annotated[Floats, n]` / `Annotated[Ints, n]` for an array of length n.

    >>> class Ema(Record):
    ...     n: int
    ...     y: float
    >>> Ema.dtype.itemsize, Ema.dtype.names
    (16, ('n', 'y'))
    """

    dtype: ClassVar[np.dtype[np.void]]

    def __init_subclass__(cls) -> None:
        # The module's names plus those of the calling frame, so that a record
        # written in a function or a notebook cell finds its neighbours.
        local = dict(sys._getframe(1).f_locals)
        hints = get_type_hints(cls, localns=local, include_extras=True)
        own = {name: hint for name, hint in hints.items() if get_origin(hint) is not ClassVar}
        cls.dtype = np.dtype([_field(cls, name, hint) for name, hint in own.items()], align=True)


def _field(cls: type, name: str, hint: Any) -> tuple[Any, ...]:
    if hint in _SCALARS:
        return name, _SCALARS[hint]
    if isinstance(hint, type) and issubclass(hint, Record):
        return name, hint.dtype
    if get_origin(hint) is Annotated:
        base, extra = get_args(hint)
        if isinstance(extra, str):
            return name, extra
        if isinstance(extra, int) and extra > 0:
            scalar = {Floats: "f8", Ints: "i8"}.get(base)
            if scalar is not None:
                return name, scalar, (extra,)
            if isinstance(base, type) and issubclass(base, Record):
                return name, base.dtype, (extra,)
    raise TypeError(f"{cls.__name__}.{name}: {hint} is not a record field")

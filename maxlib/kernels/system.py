"""System: one step, three ways to run it.

`run` folds the step over a tape, `stream` pushes one event at a time (live), and
`sweep` runs many parameter rows on threads. All three call the same compiled
function, so they agree byte for byte; tests hold them to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import os
import sys
import types
from collections.abc import Callable
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numba.core.dispatcher import Dispatcher
from numpy.typing import NDArray

from maxlib.core.errors import ConfigError
from maxlib.core.record import Record

LOG: Final = logging.getLogger(__name__)
Rows = NDArray[np.void]

_DRIVERS: Final = '''"""Drivers of one step, written by maxlib.kernels.system; safe to delete."""
from numba import njit
J = dict(nogil=True, error_model="numpy", cache=True)
@njit(**J)
def one(S, P, event, O):
    step(S[0], P[0], event[0], O[0])
@njit(**J)
def run(S, P, events, O):
    s, p = S[0], P[0]
    for i in range(len(events)):
        step(s, p, events[i], O[i])
@njit(**J)
def sweep(S, P, events, O):
    for k in range(len(P)):
        s, p, o = S[k], P[k], O[k]
        for i in range(len(events)):
            step(s, p, events[i], o)
@njit(**J)
def seek(S, P, events, O, first, last):
    s, p, o = S[0], P[0], O[0]
    for i in range(first, last):
        step(s, p, events[i], o)
        if o.event != 0:
            return i
    return last
'''


def cache_folder() -> Path:
    """Where compiled drivers live: `MAXTRADER_CACHE`, else the user's cache folder."""
    chosen = os.environ.get("MAXTRADER_CACHE")
    if chosen:
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "maxtrader" / "kernels"


def digest(function: Any) -> str:
    """Hash of all compiled code that `function` reaches and of the constants it reads.

    An edit to an indicator in another file changes the digest, so a stale
    compiled driver can never be picked up.
    """
    seen: dict[Any, str] = {}
    _reach(function, seen)
    return hashlib.sha256("\n".join(sorted(seen.values())).encode()).hexdigest()[:20]


def _code(code: types.CodeType) -> str:
    inner = [_code(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return repr((code.co_code, inner, code.co_names, code.co_varnames))


def _names(code: types.CodeType) -> set[str]:
    """Names a code object reads, those of its comprehensions and inner functions included."""
    inner = [_names(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*inner)


def _reach(function: Any, seen: dict[Any, str]) -> None:
    plain = getattr(function, "py_func", function)
    if plain in seen:
        return
    # Entries begin with where they stand, so that two that swap their bodies or values are noticed.
    where = f"{plain.__module__}.{plain.__qualname__}"
    seen[plain] = f"{where}: {_code(plain.__code__)} {plain.__defaults__!r}"
    names = _names(plain.__code__)
    cells = (cell.cell_contents for cell in plain.__closure__ or ())
    found = [(name, plain.__globals__[name]) for name in names if name in plain.__globals__]
    found += zip(plain.__code__.co_freevars, cells, strict=False)
    modules: set[types.ModuleType] = set()
    while found:
        name, value = found.pop()
        if isinstance(value, types.ModuleType) and value not in modules:
            modules.add(value)
            found += [(f"{name}.{n}", v) for n, v in vars(value).items() if n in names]
        elif isinstance(value, Dispatcher):
            _reach(value, seen)
        elif isinstance(value, np.ndarray):
            seen[plain, name] = f"{where}: {name}={value.dtype!r}{value.shape}{value.tobytes().hex()}"
        elif isinstance(value, int | float | str | tuple | np.dtype | np.generic):
            seen[plain, name] = f"{where}: {name}={value!r}"


@cache
def _say_once() -> None:
    """One line a process, however many steps it compiles."""
    LOG.warning("compiling kernels for this machine, once: this takes some seconds")


def drivers(step: Any, text: str = _DRIVERS) -> types.ModuleType:
    """The functions of `text`, compiled around `step`, from the disk if they were ever compiled.

    `text` is a module that calls the global `step` and has `cache=True`. Its file is
    named by a digest of the text and of all that `step` reaches, so numba's cache
    can't go stale.
    """
    key = hashlib.sha256((digest(step) + text).encode()).hexdigest()[:20]
    name = f"maxtrader_{step.__name__}_{key}"
    if name in sys.modules:
        return sys.modules[name]
    folder = cache_folder()
    path = folder / f"{name}.py"
    if not path.exists():
        _say_once()
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(text)
        draft.replace(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # numba's cache looks the module up by its name
    module.step = step  # type: ignore[attr-defined]
    spec.loader.exec_module(module)
    return module


class _Row(np.record):  # type: ignore[misc] # numpy's stubs call the base final
    """A record whose fields go before numpy's own attributes, so that `size` or `mean` may name one."""

    def __getattribute__(self, name: str) -> Any:
        fields = np.void.__getattribute__(self, "dtype").fields
        if name not in fields:
            return np.void.__getattribute__(self, name)
        value = np.void.__getattribute__(self, "getfield")(*fields[name][:2])
        names = getattr(value, "dtype", None) is not None and value.dtype.names is not None
        return value.view(np.dtype((_Row, value.dtype))) if names else value


def _plain(step: Callable[..., Any]) -> types.SimpleNamespace:
    """The same drivers uncompiled, for a plain Python step: works in a debugger, slowly."""
    source = "\n".join(line for line in _DRIVERS.splitlines() if not line.startswith(("@", "from", "J =")))
    scope: dict[str, Any] = {"step": step}
    exec(compile(source, "<plain drivers>", "exec"), scope)  # noqa: S102 - our own text above

    def records(rows: Rows) -> Any:
        return rows.view(np.dtype((_Row, rows.dtype)))

    def one(S: Rows, P: Rows, event: Rows, O: Rows) -> None:
        scope["one"](records(S), records(P), records(event), records(O))

    def run(S: Rows, P: Rows, events: Rows, O: Rows) -> None:
        scope["run"](records(S), records(P), records(events), records(O))

    def sweep(S: Rows, P: Rows, events: Rows, O: Rows) -> None:
        scope["sweep"](records(S), records(P), records(events), records(O))

    def seek(S: Rows, P: Rows, events: Rows, O: Rows, first: int, last: int) -> int:
        return int(scope["seek"](records(S), records(P), records(events), records(O), first, last))

    return types.SimpleNamespace(one=one, run=run, sweep=sweep, seek=seek)


def _copy(rows: Rows) -> Rows:
    """A copy of all bytes: numpy's own leaves the padding between fields undefined."""
    copied: Rows = np.ascontiguousarray(rows).view(np.uint8).copy().view(rows.dtype)
    return copied


def _uniform(rows: Rows) -> Rows:
    """The rows in the one layout that the compiled drivers know.

    Numba compiles anew, silently, for a read-only array, and for a dtype that lost
    its align flag (as `np.load` makes it) although the bytes are the same.
    """
    kind = rows.dtype
    if not kind.isalignedstruct and kind.names and kind.fields:
        formats, offsets = zip(*(kind.fields[name][:2] for name in kind.names), strict=True)
        layout: Any = {"names": kind.names, "formats": formats, "offsets": offsets, "itemsize": kind.itemsize}
        with contextlib.suppress(ValueError):  # fields that do not lie as an aligned record's would
            rows = rows.view(np.dtype(layout, align=True))
    return rows if rows.flags.writeable else _copy(rows)


class System:
    """A step with its four records.

    Parameters
    ----------
    state, params, out : type[Record]
    step : function(state, params, event, out)
        Made with `@kernel`; a plain Python function also works, uncompiled, and
        a line in the log says so.

    Examples
    --------
    >>> from maxlib.core.record import Record
    >>> class Sum(Record):
    ...     total: float
    >>> class Out(Record):
    ...     total: float
    >>> class Nothing(Record):
    ...     scale: float
    >>> def step(s, p, x, out):
    ...     s.total += p.scale * x.value
    ...     out.total = s.total
    >>> tape = np.array([(1.0,), (2.0,)], dtype=[("value", "f8")])
    >>> adder = System(Sum, Nothing, Out, step)
    >>> adder.run(tape, adder.params(scale=10.0))[1]["total"].tolist()
    [10.0, 30.0]
    """

    def __init__(self, state: type[Record], params: type[Record], out: type[Record], step: Any) -> None:
        self.state, self.param, self.out = state.dtype, params.dtype, out.dtype
        self.name: str = step.__name__
        self._step = step
        if not isinstance(step, Dispatcher):
            LOG.warning("%s is a plain Python step: it runs uncompiled, about 1000 times slower", self.name)

    @cached_property
    def _drivers(self) -> Any:
        """Made at the first use, so that an import never compiles."""
        return drivers(self._step) if isinstance(self._step, Dispatcher) else _plain(self._step)

    def params(self, **values: Any) -> Rows:
        """Parameter rows: scalars give one row, arrays give a row per element.

        A nested record is given as a tuple of its values, in order.

        Raises
        ------
        ConfigError
            If a name is unknown or missing.
        """
        names = set(self.param.names or ())
        wrong = sorted(names ^ values.keys())
        if wrong:
            what = "is not a parameter" if wrong[0] in values else "is missing"
            raise ConfigError(f"{self.name}: {wrong[0]} {what}; parameters are {', '.join(sorted(names))}")
        if not any(isinstance(v, np.ndarray) for v in values.values()):
            row = np.zeros(1, self.param)  # one write of all fields is ten times faster than one of each
            row[0] = tuple(values[name] for name in self.param.names or ())
            return row
        lengths = {name: len(v) for name, v in values.items() if isinstance(v, np.ndarray)}
        if len(set(lengths.values())) > 1:
            raise ConfigError(f"{self.name}: arrays of parameters differ in length: {lengths}")
        rows = np.zeros(max(lengths.values(), default=1), self.param)
        for name, value in values.items():
            rows[name] = value
        return rows

    def run(self, events: Rows, params: Rows, state: Rows | None = None) -> tuple[Rows, Rows]:
        """Fold the step over `events`; returns the last state and one output per event.

        `state` (one row) is continued in place of a fresh one; it is not changed.
        """
        last = np.zeros(1, self.state) if state is None else _copy(state)
        out = np.zeros(len(events), self.out)
        self._drivers.run(last, params, _uniform(events), out)
        return last, out

    def sweep(self, events: Rows, params: Rows, jobs: int = -1) -> tuple[Rows, Rows]:
        """Run every parameter row over `events` on threads.

        Returns the last state and the last output of each row.
        """
        states, outs = np.zeros(len(params), self.state), np.zeros(len(params), self.out)
        if len(params) == 0:
            return states, outs
        workers = min(len(params), os.cpu_count() or 1) if jobs < 0 else jobs
        events = _uniform(events)
        edges = np.linspace(0, len(params), 4 * workers + 1).astype(int)
        chunks = [slice(a, z) for a, z in pairwise(edges) if z > a]
        from joblib import Parallel, delayed  # 0.1 s to import, needed by sweeps only

        # The last event goes into fresh outputs, so that they hold what `run` gives for it and no more.
        for part, into in ((events[:-1], np.zeros_like(outs)), (events[-1:], outs)):
            Parallel(n_jobs=workers, backend="threading")(
                delayed(self._drivers.sweep)(states[c], params[c], part, into[c]) for c in chunks
            )
        return states, outs

    def stream(self, params: Rows) -> Stream:
        """A live instance: push one event, read one output."""
        return Stream(self, params)


class Stream:
    """One running step. `push` gives a view that the next push overwrites: copy to keep."""

    def __init__(self, system: System, params: Rows) -> None:
        self._state = np.zeros(1, system.state)
        self.params = params
        self._out = np.zeros(1, system.out)
        self._blank = self._out.view(np.uint8)
        self._one = system._drivers.one
        self._seek = system._drivers.seek

    def push(self, event: Rows) -> Any:
        """Feed one event (an array of length one, such as `bars[i:i+1]`)."""
        self._blank.fill(0)  # what the step does not write is zero, as in a batch
        self._one(self._state, self.params, event, self._out)
        return self._out[0]

    def seek(self, events: Rows, first: int, last: int) -> int:
        """Feed events from `first` until the output's `event` is not 0.

        Returns the index of that event, or `last` if there was none before it.
        The output is then `self.last`.
        """
        return int(self._seek(self._state, self.params, events, self._out, first, last))

    @property
    def last(self) -> Any:
        """The newest output (a view)."""
        return self._out[0]

    @property
    def state(self) -> Rows:
        """The state (a view of one row)."""
        return self._state

    def snapshot(self) -> bytes:
        """The state as bytes; the same bytes given to `restore` continue the same run."""
        return self._state.tobytes()

    def restore(self, snapshot: bytes) -> None:
        """Continue from a snapshot."""
        self._state.view(np.uint8)[:] = np.frombuffer(snapshot, np.uint8)  # padding too

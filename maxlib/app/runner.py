"""Scenario notebooks as batch jobs: checked first, run side by side, kept whole or not at all.

Every scenario runs in a worker process of its own, which starts a kernel of its own.
Its folder OUT/<scenario> holds `report.html`, `notebook.ipynb` and `result.json`; it is
made beside its place and moved there when complete, so a reader sees the old result or
the new one. OUT/index.html is written last.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import re
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, Literal, get_args

from maxlib.core.errors import ConfigError, DataError, MaxTraderError
from maxlib.core.files import write_atomic

_NOTEBOOKS: Final = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOK: Final = _NOTEBOOKS / "scenario_validation.ipynb"
AUTOPSY: Final = _NOTEBOOKS / "claim_autopsy.ipynb"
DAILY: Final = _NOTEBOOKS / "daily_report.ipynb"
REPORT: Final = "report.html"
EXECUTED: Final = "notebook.ipynb"
RESULT: Final = "result.json"
INDEX: Final = "index.html"

_GRAMMARS: Final = "rfc3987_syntax"

Backend = Literal["process", "dask"]
Word = Literal["holds", "does_not_hold", "no_claim", "refused", "failed", "within", "drift", "not_enough"]

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,), "int": (int,), "float": (float, int), "bool": (bool,), "dict": (dict,), "list": (list,),
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of one scenario.

    Attributes
    ----------
    name : str
    verdict : {"holds", "does_not_hold", "no_claim", "refused", "failed"}
        Of a daily report {"within", "drift", "not_enough", "failed"}.
    message : str
        One sentence: the verdict in figures, or why it could not run.
    seconds : float
        Wall time, the kernel's start included.
    report, result : Path or None
        None if it failed; an older report of that scenario is left as it was.
    notebook : Path or None
        The executed notebook; of a failure that is the program's, the notebook up to it.
    """

    name: str
    verdict: Word
    message: str
    seconds: float
    report: Path | None = None
    notebook: Path | None = None
    result: Path | None = None


@dataclass(frozen=True)
class Job:
    """All that a worker, perhaps on another machine with the same files, must know."""

    name: str
    parameters: dict[str, Any]
    notebook: Path
    out: Path
    draft: Path
    cwd: Path
    environment: dict[str, str]


def validate(
    names: Sequence[str],
    out: Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    backend: Backend = "process",
    progress: Callable[[Outcome], None] | None = None,
    notebook: Path = NOTEBOOK,
    parameters: Mapping[str, Any] | None = None,
) -> list[Outcome]:
    """Run the validation notebook once per scenario.

    Parameters
    ----------
    names : scenario names, or paths of .yaml files
    out : folder for the reports; made if need be
    overrides : dotted field -> value, for every scenario
    jobs : scenarios at once; None = one per core
    backend : "process" = worker processes of this machine; "dask" = the cluster at
        DASK_SCHEDULER_ADDRESS, or one of this machine's cores (needs `distributed`)
    progress : called with each outcome as it comes
    notebook : another notebook with the same parameters, or more
    parameters : values for those more

    Returns
    -------
    list of Outcome
        In the order of `names`. A scenario that fails does not stop the others.

    Raises
    ------
    ConfigError
        If any scenario or parameter is wrong. Then no kernel was started and nothing written.
    DataError
        If `out` cannot be written to.
    """
    if not names:
        raise ConfigError("no scenario to validate: name one, or put .yaml files into configs/scenarios")
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs: should be at least 1 (got {jobs})")
    if backend not in get_args(Backend):
        raise ConfigError(f"backend: should be {' or '.join(get_args(Backend))} (got {backend!r})")
    if backend == "dask" and find_spec("distributed") is None:
        raise ConfigError("backend: dask needs the package `distributed`, which is not installed")
    work = _jobs(names, out.absolute(), dict(overrides or {}), notebook, dict(parameters or {}))
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise DataError(f"{out}: reports cannot be written there ({error.strerror})") from None
    done: dict[str, Outcome] = {}
    try:
        for outcome in _run(work, backend, min(jobs or os.cpu_count() or 1, len(work))):
            done[outcome.name] = outcome
            if progress is not None:
                progress(outcome)
    finally:
        for job in work:  # of workers that were killed or interrupted
            shutil.rmtree(job.draft, ignore_errors=True)
    outcomes = [done[job.name] for job in work]
    write_index(out, outcomes)
    return outcomes


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 all verdicts hold (or nothing was claimed), 1 some do not, 2 some could not run."""
    words = {outcome.verdict for outcome in outcomes}
    return 2 if "failed" in words else 1 if words & {"does_not_hold", "refused", "drift"} else 0


# --- before any kernel starts


def _jobs(
    names: Sequence[str], out: Path, overrides: dict[str, Any], notebook: Path, more: dict[str, Any]
) -> list[Job]:
    from maxlib.research import scenario as scenarios  # with it come the kernels: a worker needs none

    plain = {key: _plain(value, f"-p {key}") for key, value in overrides.items()}
    declared = declared_parameters(notebook)
    environment = {key: value for key, value in os.environ.items() if key.startswith("MAXTRADER_")}
    jobs: dict[str, Job] = {}
    for given in names:
        name = scenarios.load(given, plain).name
        if name in jobs:
            raise ConfigError(f"scenario {name} is given twice: its reports would overwrite each other")
        own = {"scenario": given, "overrides": plain, "result_path": str(out / name / RESULT)}
        parameters = {**more, **own}
        check_parameters(parameters, declared, notebook.name)
        draft = out / f".{name}.{uuid.uuid4().hex[:8]}"
        jobs[name] = Job(name, parameters, notebook, out, draft, Path.cwd(), environment)
    return list(jobs.values())


def declared_parameters(notebook: Path) -> dict[str, str]:
    """Name -> type of each parameter in the notebook's `parameters` cell.

    Raises
    ------
    ConfigError
        If there is no such notebook.
    """
    if not notebook.is_file():
        raise ConfigError(f"notebook {notebook} does not exist")
    found = _papermill().inspect_notebook(_literal(notebook))
    return {name: parameter["inferred_type_name"] for name, parameter in found.items()}


def check_parameters(values: Mapping[str, Any], declared: Mapping[str, str], where: str) -> None:
    """Refuse what papermill would let pass: unknown names, other types, NaN.

    Raises
    ------
    ConfigError
        One sentence: the notebook, the parameter, the value and what was expected.
    """
    for name, value in values.items():
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise ConfigError(f"{where}: {name} is not a parameter; parameters are {known}")
        wanted = _TYPES.get(declared[name].split("[")[0].strip())
        if wanted is None:
            raise ConfigError(
                f"{where}: parameter {name} should be declared as one of {', '.join(_TYPES)}, "
                f"not {declared[name]}"
            )
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise ConfigError(f"{where}: {name}: should be {declared[name]} (got {value!r})")
        _plain(value, f"{where}: {name}")


def _plain(value: Any, where: str) -> Any:
    """`value` with dates as ISO text: only what a notebook's parameter cell can say exactly."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: should be a finite number (got {value})")
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [_plain(item, where) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(item, where) for key, item in value.items()}
    raise ConfigError(f"{where}: should be numbers, text, lists or mappings of names (got {value!r})")


def _literal(path: Path) -> str:
    """A path for papermill, which would fill in {braces}."""
    return str(path).replace("{", "{{").replace("}", "}}")


# --- workers


def _run(work: Sequence[Job], backend: Backend, jobs: int) -> Iterator[Outcome]:
    """Outcomes as they come.

    One worker killed, say for want of memory, breaks the whole pool. What was lost with it
    runs again, one job at a time in a pool of its own, so that only the culprit fails.
    """
    lost: list[Job] = []
    with _workers(backend, jobs) as pool:
        running: dict[Future[Outcome], Job] = {pool.submit(run_job, job): job for job in work}
        for future in as_completed(running):
            try:
                yield future.result()
            except BrokenExecutor:
                lost.append(running[future])
    for job in lost:
        with _workers(backend, 1) as pool:
            try:
                yield pool.submit(run_job, job).result()
            except BrokenExecutor:
                message = "its worker process was killed (out of memory?)"
                yield Outcome(job.name, "failed", message, 0.0)


@contextmanager
def _workers(backend: Backend, jobs: int) -> Iterator[Executor]:
    """The seam for scale-out: anything that is a `concurrent.futures` executor will do."""
    if backend == "process":
        # Spawned, not forked: the caller may have threads (a progress bar, a kernel).
        pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
        return
    distributed = import_module("distributed")
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    settings = {"address": address} if address else {"n_workers": jobs, "threads_per_worker": 1}
    with distributed.Client(**settings) as client:
        # Not pure: the same scenario run again is a new run.
        yield client.get_executor(pure=False)


def run_job(job: Job) -> Outcome:
    """Run one scenario's notebook and put its folder in place; never raises for the scenario's sake."""
    began = time.perf_counter()
    draft = job.draft
    try:
        _recover(job.out / job.name)
        shutil.rmtree(draft, ignore_errors=True)  # of a worker that was killed
        draft.mkdir()
        verdict, message = _execute(job, draft)
        place = job.out / job.name
        _replace(draft, place)
        (job.out / f"{job.name}.failed.ipynb").unlink(missing_ok=True)
        seconds = time.perf_counter() - began
        return Outcome(job.name, verdict, message, seconds, place / REPORT, place / EXECUTED, place / RESULT)
    except MaxTraderError as error:
        return Outcome(job.name, "failed", str(error), time.perf_counter() - began)
    except Exception as error:  # noqa: BLE001 - the worker's edge: every failure becomes an outcome
        kept, words = _keep_failed(job, draft), _one_sentence(error)
        message = words + (f"; the notebook up to there is {kept}" if kept else "")
        return Outcome(job.name, "failed", message, time.perf_counter() - began, notebook=kept)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _execute(job: Job, draft: Path) -> tuple[Word, str]:
    papermill = _papermill()
    import nbformat
    from papermill.exceptions import PapermillExecutionError

    from maxlib.views import report, tables

    with tempfile.TemporaryDirectory(prefix="maxtrader-") as short:
        try:
            notebook = papermill.execute_notebook(
                _literal(job.notebook),
                _literal(draft / EXECUTED),
                {**job.parameters, "result_path": str(draft / RESULT)},
                kernel_name="python3",
                kernel_manager_class=kernel_manager(Path(short), job.environment),
                cwd=str(job.cwd),
                progress_bar=False,
                request_save_on_cell_execute=False,
            )
        except PapermillExecutionError as error:
            if error.ename in _own_errors(MaxTraderError):
                raise MaxTraderError(error.evalue) from None
            raise
    result = json.loads((draft / RESULT).read_text(encoding="utf-8"))
    # The notebook must name its own place, not the draft's: who runs it again writes there.
    notebook.metadata.papermill.update(
        input_path=job.notebook.name, output_path=EXECUTED, parameters=job.parameters
    )
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell.source = cell.source.replace(str(draft / RESULT), job.parameters["result_path"])
    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    (draft / EXECUTED).write_text(text + "\n", encoding="utf-8")
    write_atomic(draft / REPORT, report.page(notebook, f"{result['title']} · MaxTrader"))
    return result["verdict"], result.get("sentence") or tables.sentence(result)


def _papermill() -> Any:
    """The module papermill, imported without the grammars that come along.

    papermill and plotly import nbformat, that jsonschema, and that, if it finds it, a checker of
    IRIs which compiles 38 grammars: 1.3 s of CPU for a check that no notebook asks for.
    """
    hide = _GRAMMARS not in sys.modules
    if hide:
        sys.modules[_GRAMMARS] = None  # type: ignore[assignment]
    try:
        return import_module("papermill")
    finally:
        if hide:
            del sys.modules[_GRAMMARS]


def kernel_manager(folder: Path, environment: Mapping[str, str]) -> Any:
    """A kernel manager for the Python that runs us, whatever kernels the user has installed.

    Its sockets are files in `folder` (no TCP port, nobody else can connect), which must be short:
    a socket's path may have 107 characters. The user's IPython profile is left out: start-up files
    of theirs must not change a result.
    """
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    own = {**environment, "PLOTLY_RENDERER": "plotly_mimetype", "IPYTHONDIR": str(folder / "ipython")}
    start = (
        "import sys; sys.path[:] = [p for p in sys.path if p]; "  # as `python -m ipykernel_launcher` does
        f"sys.modules[{_GRAMMARS!r}] = None; "  # as in `_papermill`
        "from ipykernel import kernelapp; kernelapp.launch_new_instance()"
    )
    # Its log would report, on our standard error, that it is being shut down.
    argv = [sys.executable, "-c", start, "--log-level=50", "-f", "{connection_file}"]
    spec = KernelSpec(argv=argv, display_name="MaxTrader", language="python", env=own)

    class OwnSpec(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:  # noqa: ARG002 - there is only this one
            return spec

    class OwnKernel(AsyncKernelManager):
        def __init__(self, **settings: Any) -> None:
            files = {"transport": "ipc", "connection_file": str(folder / "kernel.json")}
            super().__init__(**{**settings, **files, "kernel_spec_manager": OwnSpec()})

    return OwnKernel


def _own_errors(kind: type[BaseException]) -> set[str]:
    return {kind.__name__}.union(*(_own_errors(child) for child in kind.__subclasses__()))


def _one_sentence(error: Exception) -> str:
    """An error that is not meant for users, on one line."""
    # An error in the notebook's kernel arrives with its own name and text.
    kind = str(getattr(error, "ename", type(error).__name__))
    text = str(getattr(error, "evalue", error))
    text = re.sub(r"\x1b\[[0-9;]*m", "", text).strip()
    return f"{kind}: {text.splitlines()[0]}" if text else kind


def _keep_failed(job: Job, draft: Path) -> Path | None:
    written, kept = draft / EXECUTED, job.out / f"{job.name}.failed.ipynb"
    if not written.is_file():
        return None
    written.replace(kept)
    return kept


def _replace(draft: Path, place: Path) -> None:
    """Move the complete folder `draft` to `place`; what stood there goes only then.

    A folder cannot be renamed over another, so for an instant nothing is there; `_recover`
    undoes a crash in that instant.
    """
    missing = [name for name in (REPORT, EXECUTED, RESULT) if not (draft / name).is_file()]
    if missing:
        raise DataError(f"the notebook left no {', '.join(missing)}")
    old = _old(place)
    if place.exists():
        place.rename(old)
    draft.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _recover(place: Path) -> None:
    """Put back the result that a run killed inside `_replace` had moved aside, or remove it."""
    old = _old(place)
    if old.exists() and not place.exists():
        old.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _old(place: Path) -> Path:
    return place.with_name(f".{place.name}.old")


# --- index


def write_index(out: Path, outcomes: Sequence[Outcome]) -> Path:
    """Write OUT/index.html: this run's scenarios first, then complete ones of earlier runs."""
    from maxlib.views import report

    rows: list[dict[str, Any]] = []
    for outcome in outcomes:
        link = f"{outcome.name}/{REPORT}"
        if outcome.result is not None:
            rows.append({**json.loads(outcome.result.read_text(encoding="utf-8")), "report": link})
            continue
        row = {"scenario": outcome.name, "verdict": "failed", "message": outcome.message}
        rows.append({**row, "report": link} if (out / link).is_file() else row)
    new = {outcome.name for outcome in outcomes}
    for path in sorted(out.glob(f"[!.]*/{RESULT}")):
        name = path.parent.name
        if name not in new and (out / name / REPORT).is_file():
            earlier = json.loads(path.read_text(encoding="utf-8"))
            rows.append({**earlier, "report": f"{name}/{REPORT}", "earlier": True})
    index = out / INDEX
    write_atomic(index, report.index_page(rows))
    return index

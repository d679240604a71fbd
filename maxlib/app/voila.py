"""Serving a notebook as a page: Voila in a child process, hardened, on this machine only.

Voila's defaults are unsafe: no token, any Host header, templates chosen by the address, kernels
that leak. The child runs a subclass that closes these; it relies on Voila's internals,
so `pyproject.toml` pins the minor version.

The parent holds the child by its standard input: settings and token go in there — not
through arguments or the environment, which others can read and kernels inherit — and when
the parent ends, however it ends, the child reads the end of file and takes its kernels along.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from maxlib.core.errors import ConfigError, MaxTraderError

PAPER_TRADER: Final = Path(__file__).parents[2] / "dashboards" / "paper_trader.ipynb"
TRADER: Final = PAPER_TRADER.with_name("trader.ipynb")
OPTIONS_LAB: Final = Path(__file__).parents[2] / "notebooks" / "options_lab.ipynb"
HOST: Final = "127.0.0.1"
PORT: Final = 8866
START_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.2
CULL_SECONDS: Final = 600
"""A kernel without a page is ended after this long without activity."""

# The page may talk to its own server and to nobody else; the browser enforces it. JupyterLab's
# code needs eval, and anywidget loads widgets from blob: addresses.
CONTENT_SECURITY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws://{host} data: blob:; "
    "worker-src 'self' blob:; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)


class VoilaServer:
    """A running page server; ends with `close`, or at the end of a `with` block.

    Attributes
    ----------
    url : the page, token included: whoever has it can use the page
    """

    def __init__(
        self, process: subprocess.Popen[str], url: str, scratch: tempfile.TemporaryDirectory[str]
    ) -> None:
        self.url = url
        self._process = process
        self._scratch = scratch

    def wait(self) -> None:
        """Wait until the server ends, or until Ctrl-C or a SIGTERM says so.

        A flag, and not KeyboardInterrupt: an exception that falls into a finaliser is lost.
        """
        ended = threading.Event()
        before = {
            name: signal.signal(name, lambda *_: ended.set()) for name in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            while self._process.poll() is None and not ended.wait(_LOOK_SECONDS):
                pass
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    def close(self, timeout: float = 15.0) -> None:
        """End the server and its kernels; harmless if it has ended."""
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._scratch.cleanup()

    def __enter__(self) -> VoilaServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(
    notebook: str | Path = PAPER_TRADER,
    port: int | None = None,
    *,
    open_browser: bool = False,
    parameters: Mapping[str, Any] | None = None,
    token: str | None = None,
    preheat: bool = True,
) -> VoilaServer:
    """Serve `notebook` on 127.0.0.1 and return once the server listens.

    Parameters
    ----------
    port : wanted port; a free one is taken if it is busy. None = 8866 or a free one
    open_browser : open the page in the user's browser
    parameters : values for the notebook's parameters cell
    token : needed to open the page; None = a random one
    preheat : have one kernel with the finished page waiting at all times

    Raises
    ------
    ConfigError
        If the notebook does not exist, or has no parameter of that name.
    MaxTraderError
        If the server does not start.
    """
    source = Path(notebook).resolve()
    if not source.is_file():
        raise ConfigError(f"notebook {str(notebook)!r} does not exist")
    scratch = tempfile.TemporaryDirectory(prefix="maxtrader-")
    here = Path(scratch.name)
    try:
        served = _with_parameters(source, parameters, here) if parameters else source
        settings = {
            "notebook": str(served),
            "port": PORT if port is None else port,
            "token": token or secrets.token_urlsafe(24),
            "preheat": preheat,
            "scratch": str(here),
        }
        with (here / "voila.log").open("w+") as log:
            process = _launch(log)
            url = _handshake(process, settings, log)
    except BaseException:
        scratch.cleanup()
        raise
    if open_browser:
        webbrowser.open(url)
    return VoilaServer(process, url, scratch)


def _launch(log: IO[str]) -> subprocess.Popen[str]:
    paths = [str(PAPER_TRADER.parent / "share" / "jupyter"), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    environment = os.environ | {
        "JUPYTER_PATH": os.pathsep.join(paths),
        "JUPYTER_NO_CONFIG": "1",
        "OPENBLAS_NUM_THREADS": "1",  # for the small matrices of a page, threads that wait cost seconds
    }
    return subprocess.Popen(
        [sys.executable, "-m", "maxlib.app.voila"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment,
        start_new_session=True,  # Ctrl-C is the parent's to handle
    )


def _handshake(process: subprocess.Popen[str], settings: Mapping[str, Any], log: IO[str]) -> str:
    """Tell the child what to serve; it answers with the port once it listens."""
    assert process.stdin is not None
    assert process.stdout is not None
    late = threading.Timer(START_SECONDS, process.kill)
    late.start()
    try:
        process.stdin.write(json.dumps(settings) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
    except BrokenPipeError:
        answer = ""
    except BaseException:  # Ctrl-C while it starts
        process.kill()
        raise
    finally:
        late.cancel()
    if not answer:
        process.wait()
        log.seek(0)
        lines = [line.strip() for line in log.read().splitlines() if line.strip()]
        said = f": {lines[-1]}" if lines else ""
        raise MaxTraderError(f"the page server did not start (exit code {process.returncode}){said}")
    return f"http://{HOST}:{json.loads(answer)['port']}/?token={settings['token']}"


def _with_parameters(source: Path, values: Mapping[str, Any], folder: Path) -> Path:
    """A copy of the notebook with `values` in it. Names are checked: papermill would run any."""
    import nbformat
    from papermill.inspection import inspect_notebook
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    known = inspect_notebook(str(source))
    for name in values:
        if name not in known or not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise ConfigError(f"{source.name} has no parameter {name!r}; it has {', '.join(known)}")
    copy = folder / source.name
    made: Any = parameterize_notebook(load_notebook_node(str(source)), dict(values))
    write: Any = nbformat.write  # untyped
    write(made, copy)
    return copy


# --- in the child


def _server(settings: Mapping[str, Any]) -> Any:
    """The hardened Voila application. Imported here: only the child needs Voila."""
    from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
    from tornado.httpserver import HTTPServer
    from tornado.ioloop import IOLoop
    from tornado.netutil import bind_sockets
    from traitlets.config import Config
    from voila.app import Voila
    from voila.request_info_handler import RequestInfoSocketHandler
    from voila.tornado.handler import TornadoVoilaHandler

    here = os.getcwd()  # noqa: PTH109 - tornado's managers take text

    class Kernels(AsyncMappingKernelManager):
        """Kernels that run where the user ran the command, so that relative paths mean what they say."""

        def cwd_for_path(self, path: str, **_: Any) -> str:  # noqa: ARG002 - jupyter_server's signature
            return here

        async def start_kernel(self, **options: Any) -> str:  # type: ignore[override] # the base is both
            environment = options.get("env") or {}
            for name in ("QUERY_STRING", "VOILA_REQUEST_URL"):
                environment.pop(name, None)  # they hold the token
            made: str = await super().start_kernel(**options)
            return made

    class Page(TornadoVoilaHandler):
        """The page, with the cookie that its closing message needs: without it kernels leak."""

        async def get(self, path: str | None = None) -> None:
            _ = self.xsrf_token
            await super().get(path)

    class Server(Voila):
        """Voila that reads no configuration files and binds one address."""

        def init_settings(self) -> dict[str, Any]:
            return {**super().init_settings(), "allow_remote_access": False}

        def init_handlers(self) -> list[Any]:
            kept = []
            for route, handler, *rest in super().init_handlers():
                if handler is RequestInfoSocketHandler:
                    continue  # hands out request data, the token in it, and asks for none
                kept.append((route, Page if handler is TornadoVoilaHandler else handler, *rest))
            return kept

        def listen(self) -> None:
            wanted: int = settings["port"]
            try:
                sockets = bind_sockets(wanted, HOST)
            except OSError:  # busy, or not ours to use: any free one
                sockets = bind_sockets(0, HOST)
            bound = sockets[0].getsockname()[1]
            self.app.settings["headers"] = {
                "Content-Security-Policy": CONTENT_SECURITY.format(host=f"{HOST}:{bound}"),
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
            }
            HTTPServer(self.app).add_sockets(sockets)
            self.ioloop = IOLoop.current()
            threading.Thread(target=self._until_parent_ends, daemon=True).start()
            sys.stdout.write(json.dumps({"port": bound}) + "\n")
            sys.stdout.flush()
            try:
                self.ioloop.start()
            finally:
                self.stop()

        def _until_parent_ends(self) -> None:
            sys.stdin.read()
            self.ioloop.add_callback(self.ioloop.stop)

    config = Config()
    config.Voila.config_file_paths = []  # a voila.json in the current directory could undo all this
    config.Voila.ip = HOST
    config.Voila.token = settings["token"]
    config.Voila.open_browser = False
    config.Voila.connection_dir_root = settings["scratch"]
    config.Voila.log_level = logging.WARNING
    page = config.VoilaConfiguration
    page.template = "maxtrader"
    page.theme = "dark"
    page.allow_template_override = page.allow_theme_override = "NO"
    page.file_allowlist = []
    page.show_tracebacks = False
    page.extension_denylist = [
        "jupyterlab-plotly",
        "jupyterlab_pygments",
        "@voila-dashboards/jupyterlab-preview",
    ]
    page.preheat_kernel = settings["preheat"]
    page.multi_kernel_manager_class = Kernels
    config.MappingKernelManager.cull_idle_timeout = CULL_SECONDS
    config.MappingKernelManager.cull_interval = 60
    config.MappingKernelManager.cull_connected = False
    server = Server(config=config)
    server.notebook_path = settings["notebook"]
    server.initialize(argv=[])
    return server


def main() -> None:
    """Run the server; settings come as one line of JSON on standard input."""
    _server(json.loads(sys.stdin.readline())).start()


if __name__ == "__main__":
    main()

"""One HTTP exchange over requests that ends in time and in bounds, whatever the other side does.

A time-out of requests starts anew with every byte, so a server that sends one now and then (slow
loris) holds a call for ever, in the headers as well as in the body. Here a timer shuts the socket
when the whole exchange takes too long.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from maxlib.data.faults import Fault, SourceError, excerpt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

_CHUNK: Final = 65_536
_here = threading.local()  # the timer of this thread's exchange: urllib3 passes nothing of ours along


class _Timer:
    """Shuts the connection that an exchange is using when its time is up."""

    def __init__(self, seconds: float) -> None:
        self.fired = False
        self._connection: Any = None
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True

    def watch(self, connection: Any) -> None:
        self._connection = connection

    def _fire(self) -> None:
        self.fired = True
        sock = getattr(self._connection, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):  # it may be closed already
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> _Timer:
        _here.timer = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()  # a timer that fires late must not shut the next exchange's socket
        _here.timer = None


class _Watched:
    def request(self, *args: Any, **kwargs: Any) -> None:
        timer = getattr(_here, "timer", None)
        if timer is not None:
            timer.watch(self)
        super().request(*args, **kwargs)  # type: ignore[misc]


class _Http(_Watched, HTTPConnection):
    pass


class _Https(_Watched, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class _Bearer(requests.auth.AuthBase):
    """An auth object, so that requests does not put a `.netrc` entry in the header's place."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        return request


class Answer(NamedTuple):
    """What came back: any status, the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """GET and nothing else, with the key in a header, never in a URL.

    Parameters
    ----------
    key : SecretStr
    connect_s, deadline_s : float
        Bounds of connecting and of the whole exchange. Looking up a name is the system's, and unbounded.
    max_bytes : int
        Of the uncompressed body.
    direct : bool
        Ignore proxies from the environment: right for this machine itself.
    """

    def __init__(
        self, key: SecretStr, *, connect_s: float, deadline_s: float, max_bytes: int, direct: bool
    ) -> None:
        self._key = key
        self._times = (connect_s, deadline_s)
        self._max_bytes = max_bytes
        self._session = requests.Session()
        self._session.auth = _Bearer(key)
        self._session.trust_env = not direct
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(max_retries=0))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def get(self, url: str, params: Mapping[str, str], deadline_s: float | None = None) -> Answer:
        """One exchange. Redirects are not followed.

        Raises
        ------
        SourceError
            NETWORK, DEADLINE or OVERSIZE.
        """
        connect_s, longest_s = self._times
        seconds = longest_s if deadline_s is None else min(longest_s, deadline_s)
        where = url.split("?")[0]
        with _Timer(seconds) as timer:
            try:
                with self._session.get(
                    url, params=params, timeout=(connect_s, seconds), stream=True, allow_redirects=False
                ) as response:
                    body = self._body(response, where)
                    answer = Answer(response.status_code, response.headers, body)
            except (requests.RequestException, HTTPError, OSError) as error:
                late = timer.fired or isinstance(error, requests.ReadTimeout)
                text = f"no whole answer within {seconds:g} s" if late else self._reason(error)
                raise SourceError(f"{where}: {text}", Fault.DEADLINE if late else Fault.NETWORK) from None
        if timer.fired:  # a body without a length ends wherever the socket does
            raise SourceError(f"{where}: no whole answer within {seconds:g} s", Fault.DEADLINE)
        return answer

    def _body(self, response: requests.Response, where: str) -> bytes:
        body = bytearray()
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if len(body) > self._max_bytes:
                text = f"{where}: the answer is larger than {self._max_bytes:,} bytes"
                raise SourceError(text, Fault.OVERSIZE)
        return bytes(body)

    def _reason(self, error: Exception) -> str:
        kind = "cannot connect" if isinstance(error, requests.ConnectionError) else "the answer broke off"
        detail = excerpt(str(error), self._key.get_secret_value())
        return f"{kind} ({type(error).__name__}: {detail})"

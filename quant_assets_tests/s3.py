"""Run a local S3 server, moto's: for a test, or in a process of its own that reports what was requested of it."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

SECRET = "s3cret-k3y-of-an-object-store"
REGION = "eu-central-1"
BUCKET = "bucket"
_LOCATION = (
    '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    f"<LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
)


@dataclass
class S3:
    """A running server with an empty bucket.

    `requests` has method, path and query of each request. Those for which `refuses` returns true are refused (403),
    and `before` is called with each one that is not.
    """

    listen: Callable[[], socket.socket]
    endpoint: str = ""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    refuses: Callable[[str, str, str], bool] = lambda *_: False
    before: Callable[[str, str, str], object] = lambda *_: None

    def __post_init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables with which a client finds the server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def start(self) -> None:
        """Serve the objects that there are."""
        with self.listen() as listening:
            host, port = listening.getsockname()
            self._http = make_server(host, port, self._respond, threaded=True, fd=listening.fileno())
        self.endpoint = f"http://{host}:{port}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections. The objects are kept."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve while the block runs."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    def _respond(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        request = (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""))
        self.requests.append(request)
        if self.refuses(*request):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("403 Forbidden", [("Content-Length", "0")])
            return [b""]
        self.before(*request)
        found: Iterable[bytes] = self._moto(environ, start)
        return found


@contextmanager
def s3_server(listen: Callable[[], socket.socket] | None = None) -> Iterator[S3]:
    """Run a server with an empty bucket, on a free port or on the sockets that `listen` opens."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = S3(listen=listen or _listen_on_loopback)
    with server.running():
        # Moto keeps buckets in the process, those of an earlier server too.
        urllib.request.urlopen(f"{server.endpoint}/moto-api/reset", data=b"").close()
        create = urllib.request.Request(f"{server.endpoint}/{BUCKET}", method="PUT", data=_LOCATION.encode())
        urllib.request.urlopen(create).close()
        yield server


def _listen_on_loopback() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@dataclass(frozen=True, slots=True)
class S3Process:
    """A server in a process of its own, so that its work does not count as that of a client here."""

    server: S3
    process: subprocess.Popen[str]

    def taken(self) -> list[tuple[str, str, str]]:
        """Return method, path and query of the requests since the last call."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return [(method, path, query) for method, path, query in json.loads(self.process.stdout.readline())]


@contextmanager
def s3_process() -> Iterator[S3Process]:
    """Run a server in a process of its own."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield S3Process(S3(_listen_on_loopback, process.stdout.readline().strip()), process)
        finally:
            process.stdin.close()


def main() -> None:
    """Print the endpoint; for each line of the input print the requests since the last one; stop at its end."""
    with s3_server() as server:
        print(server.endpoint, flush=True)
        for _ in sys.stdin:
            taken, server.requests = server.requests, []
            print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main()

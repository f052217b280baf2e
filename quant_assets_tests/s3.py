"""Run a local S3 server, moto's: for a test, or in a process of its own that reports what was requested of it."""

from __future__ import annotations

import json
import logging
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

    endpoint: str = ""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    refuses: Callable[[str, str, str], bool] = lambda *_: False
    before: Callable[[str, str, str], object] = lambda *_: None

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables with which a client finds the server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }


@contextmanager
def s3_server() -> Iterator[S3]:
    """Run a server on a free port."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    inner, server = DomainDispatcherApplication(create_backend_app), S3()

    def respond(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        request = (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""))
        server.requests.append(request)
        if server.refuses(*request):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("403 Forbidden", [("Content-Length", "0")])
            return [b""]
        server.before(*request)
        found: Iterable[bytes] = inner(environ, start)
        return found

    http = make_server("127.0.0.1", 0, respond, threaded=True)
    server.endpoint = f"http://127.0.0.1:{http.port}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        # Moto keeps buckets in the process, those of an earlier server too.
        urllib.request.urlopen(f"{server.endpoint}/moto-api/reset", data=b"").close()
        create = urllib.request.Request(f"{server.endpoint}/{BUCKET}", method="PUT", data=_LOCATION.encode())
        urllib.request.urlopen(create).close()
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


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
            yield S3Process(S3(process.stdout.readline().strip()), process)
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

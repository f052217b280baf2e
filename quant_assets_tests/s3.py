"""Run a local S3 server, moto's, for a test."""

from __future__ import annotations

import logging
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

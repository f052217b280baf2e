"""The page's own static files and Plotly. Their address has a version, so that browsers may cache them."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from quant_assets.dashboard.responses import MIN_GZIP_BYTES, REVALIDATE, CachedResponse

PLOTLY: Final = "plotly.min.js"
CACHE_FOREVER: Final = "public, max-age=31536000, immutable"
FOLDER: Final = Path(str(resources.files("quant_assets.dashboard").joinpath("static")))


class VersionedFiles(StaticFiles):
    """The page's own files below `/static/{version}`; browsers keep those of the present version."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file. It may be cached for ever if its address has the present version."""
        response = await super().get_response(path, scope)
        is_present = scope["path_params"]["version"] == static_version()
        response.headers["Cache-Control"] = CACHE_FOREVER if is_present else REVALIDATE
        return response


def static_app() -> ASGIApp:
    """Return the application that serves the page's own files."""
    return GZipMiddleware(VersionedFiles(directory=FOLDER), minimum_size=MIN_GZIP_BYTES)


@cache
def static_version() -> str:
    """Return a hash over all static files."""
    digest = hashlib.blake2b(digest_size=6)
    for file in sorted(FOLDER.iterdir()):
        if file.is_file():
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def plotly_script() -> CachedResponse:
    """Return Plotly's script, to be compressed once: it has 5 MB."""
    script = resources.files("plotly").joinpath("package_data").joinpath(PLOTLY)
    return CachedResponse(script.read_bytes(), "text/javascript; charset=utf-8")

"""The HTML pages, the rows for the page's script, and the static files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from quant_assets.dashboard.api import signals_of, whole_feed
from quant_assets.dashboard.app_context import STALE_SECONDS, AppContext, context_of
from quant_assets.dashboard.detail import signal_detail
from quant_assets.dashboard.feed_repository import FeedDocument, FeedError, Json
from quant_assets.dashboard.query import Filters, parse_filters
from quant_assets.dashboard.responses import HTML, CachedResponse, send
from quant_assets.dashboard.routes import parameters_of, route
from quant_assets.dashboard.rows import (
    BLANK_ROW,
    DESCENDING,
    SORT_TITLES,
    SORTS,
    row_id,
    search_rows,
    sort_rows,
)
from quant_assets.dashboard.summary import summary

#: Rows in the HTML itself; the script fetches all rows and takes over.
INITIAL_ROWS: Final = 60
#: Windows to choose from on the page; /api/windows lists all.
MAX_WINDOWS: Final = 96
MEDIA_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
PLOTLY: Final = "plotly.min.js"
#: Parameters of the page's address: the filters that it shares with the API, and its own state.
FILTERS: Final = ("strategy", "exchange", "action", "status", "min_score", "window")
PAGE_STATE: Final = ("q", "sort", "dir", "open")
CACHE_FOREVER: Final = "public, max-age=31536000, immutable"


async def page(request: Request) -> Response:
    """Return the page in the state that its address describes."""
    context = context_of(request)
    parameters = parameters_of(request)
    state = {name: parameters.get(name, "") for name in PAGE_STATE}
    filters = parse_filters([(name, parameters[name]) for name in FILTERS if name in parameters])
    try:
        document = await context.document(filters.window)
    except FeedError as error:
        return error_page(request, error.code, str(error), error.status)
    is_stale = context.is_stale(document)
    windows = tuple(context.feeds.windows()[:MAX_WINDOWS])
    key = ("page", document.etag, filters, tuple(state.values()), is_stale, windows)
    return send(
        request, await context.response(key, lambda: _page(context, document, filters, state, windows, is_stale))
    )


async def rows(request: Request) -> Response:
    """Return all rows of a window for the page's script."""
    context = context_of(request)
    document = await context.document(parameters_of(request).get("window", ""))
    return send(request, await context.response(("rows", document.etag), lambda: _rows(context, document)))


async def details(request: Request) -> Response:
    """Return the detail panel of a row as an HTML fragment."""
    context = context_of(request)
    document = await context.document(parameters_of(request).get("window", ""))
    signals = signals_of(document, request)
    strategy = parameters_of(request).get("strategy", "")
    key = ("detail", document.etag, signals[0]["exchange"], signals[0]["symbol"], strategy)

    def make() -> CachedResponse:
        detail = signal_detail(document, signals, strategy, context.settings)
        return CachedResponse(_templates().get_template("detail.html").render(detail=detail).encode(), HTML)

    return send(request, await context.response(key, make))


async def static(request: Request) -> Response:
    """Return a static file; its address has a version, so that browsers may cache it."""
    name, version = request.path_params["name"], request.path_params["version"]
    if name == PLOTLY:
        file = await context_of(request).response(PLOTLY, _plotly)
    elif name in static_files():
        file = static_files()[name]
    else:
        raise HTTPException(404)
    return send(request, file, cache_control=CACHE_FOREVER if version == static_version() else None)


def warm_cache(context: AppContext, document: FeedDocument) -> None:
    """Build the responses that every visitor requests, so that a new feed is shown at once."""
    context.cache.get_or_make(("rows", document.etag), lambda: _rows(context, document))
    context.cache.get_or_make(("whole", document.etag), lambda: whole_feed(document))


def error_page(request: Request, code: str, message: str, status: int) -> Response:
    """Return a page that explains an error; with status 503 it reloads when there is a valid feed."""
    html = (
        _templates().get_template("error.html").render(code=code, message=message, status=status, reloads=status == 503)
    )
    return send(request, CachedResponse(html.encode(), HTML, cache_control="no-store"), status)


@cache
def static_version() -> str:
    """Return a hash over all static files."""
    digest = hashlib.blake2b(digest_size=6)
    for name, file in sorted(static_files().items()):
        digest.update(name.encode() + file.body)
    return digest.hexdigest()


@cache
def static_files() -> dict[str, CachedResponse]:
    """Return the page's own static files by name."""
    folder = resources.files("quant_assets.dashboard").joinpath("static")
    return {
        file.name: CachedResponse(file.read_bytes(), MEDIA_TYPES[suffix])
        for file in folder.iterdir()
        if file.is_file() and (suffix := file.name.rpartition(".")[2]) in MEDIA_TYPES
    }


def _plotly() -> CachedResponse:
    script = resources.files("plotly").joinpath("package_data").joinpath(PLOTLY)
    return CachedResponse(script.read_bytes(), MEDIA_TYPES["js"])


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("quant_assets.dashboard"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["static"] = f"/static/{static_version()}"
    environment.globals["plotly"] = f"/static/{static_version()}/{PLOTLY}"
    return environment


def _rows(context: AppContext, document: FeedDocument) -> CachedResponse:
    return CachedResponse.from_json(
        {"etag": document.etag, "summary": summary(document.feed), "rows": context.rows(document)}
    )


def _page(
    context: AppContext,
    document: FeedDocument,
    filters: Filters,
    state: Mapping[str, str],
    windows: tuple[str, ...],
    is_stale: bool,
) -> CachedResponse:
    pairs = zip(document.feed["signals"], context.rows(document), strict=True)
    found = search_rows([row for signal, row in pairs if filters.matches(signal)], state["q"])
    found = sort_rows(found, state["sort"], state["dir"])
    opened, detail = _opened_market(document, state["open"]), None
    if opened is not None:
        detail = signal_detail(document, opened[0], opened[1], context.settings)
    html = (
        _templates()
        .get_template("page.html")
        .render(
            rows=found[:INITIAL_ROWS],
            blank=BLANK_ROW,
            count=len(found),
            summary=summary(document.feed),
            filters=filters,
            state=state,
            etag=document.etag,
            windows=windows,
            sorts=SORTS,
            sort_titles=SORT_TITLES,
            descending=DESCENDING,
            detail=detail,
            is_stale=is_stale,
            stale_seconds=STALE_SECONDS,
        )
    )
    return CachedResponse(html.encode(), HTML)


def _opened_market(document: FeedDocument, opened_id: str) -> tuple[list[Json], str] | None:
    """Return the signals of the open row's market, and the row's strategy; None if no such row is open."""
    if not opened_id:
        return None
    for signals in document.markets.values():
        for signal in signals:
            if row_id(signal) == opened_id:
                return signals, signal["strategy_name"]
    return None


ROUTES = [
    route("/", page, (*FILTERS, *PAGE_STATE)),
    route("/rows", rows, ("window",)),
    route("/detail/{exchange}/{symbol:path}", details, ("window", "strategy")),
    route("/static/{version}/{name}", static),
]

"""The page: HTML from templates, its rows for the script, and the files that it is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final
from weakref import WeakKeyDictionary

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from quant_assets.dashboard.answers import HTML, Answer, send
from quant_assets.dashboard.api import desk_of, signals_of
from quant_assets.dashboard.desk import STALE_SECONDS, AppContext
from quant_assets.dashboard.detail import detail
from quant_assets.dashboard.documents import Document, FeedProblem, Json
from quant_assets.dashboard.query import Filters, read_filters
from quant_assets.dashboard.routes import given, route
from quant_assets.dashboard.rows import (
    BLANK,
    DESCENDING,
    SORT_TITLES,
    SORTS,
    Row,
    matching,
    ordered,
    row_id,
    rows_of,
    summary,
)

#: Rows that come with the page; the script fetches all of them and takes over.
ROWS_WITH_THE_PAGE: Final = 60
#: Windows that the page offers; /api/windows lists all.
WINDOWS_OFFERED: Final = 96
MEDIA_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
PLOTLY: Final = "plotly.min.js"
#: What a page's address may say: the filters that it shares with the API, and a state of its own.
FILTERS: Final = ("strategy", "exchange", "action", "status", "min_score", "window")
STATE: Final = ("q", "sort", "dir", "open")
FOREVER: Final = "public, max-age=31536000, immutable"
_ROWS: Final[WeakKeyDictionary[Document, list[Row]]] = WeakKeyDictionary()


async def page(request: Request) -> Response:
    """Give the page in the state that its address names."""
    desk = desk_of(request)
    asked = given(request)
    state = {name: asked.get(name, "") for name in STATE}
    filters = read_filters([(name, asked[name]) for name in FILTERS if name in asked])
    try:
        document = await desk.document(filters.window)
    except FeedProblem as problem:
        return problem_page(request, problem.code, str(problem), problem.status)
    is_stale = desk.is_stale(document)
    windows = tuple(desk.shelf.windows()[:WINDOWS_OFFERED])
    key = ("page", document.etag, filters, tuple(state.values()), is_stale, windows)
    return send(
        request, await desk.answer(key, lambda: _page(desk, document, filters, state, windows, is_stale=is_stale))
    )


async def rows(request: Request) -> Response:
    """Give every row of a window to the script of the page."""
    desk = desk_of(request)
    document = await desk.document(given(request).get("window", ""))
    return send(request, await desk.answer(("rows", document.etag), lambda: _rows(document)))


async def details(request: Request) -> Response:
    """Give what opens under a row, as a piece of HTML."""
    desk = desk_of(request)
    document = await desk.document(given(request).get("window", ""))
    signals = signals_of(document, request)
    strategy = given(request).get("strategy", "")
    key = ("detail", document.etag, signals[0]["exchange"], signals[0]["symbol"], strategy)

    def make() -> Answer:
        told = detail(document, signals, strategy, desk.settings)
        return Answer(_templates().get_template("detail.html").render(detail=told).encode(), HTML)

    return send(request, await desk.answer(key, make))


async def static(request: Request) -> Response:
    """Give a file that the page is made of; its address changes when it does, so a browser may keep it."""
    name, version = request.path_params["name"], request.path_params["version"]
    if name == PLOTLY:
        found = await desk_of(request).answer(PLOTLY, _plotly)
    elif name in files():
        found = files()[name]
    else:
        raise HTTPException(404)
    return send(request, found, cache_control=FOREVER if version == static_version() else None)


def prepare(desk: AppContext, document: Document) -> None:
    """Make what the next visitor will ask for, so that a new feed is on screen at once."""
    desk.cache.made(("rows", document.etag), lambda: _rows(document))
    desk.cache.made(("whole", document.etag), lambda: Answer(document.content, etag=document.etag))


def problem_page(request: Request, code: str, message: str, status: int) -> Response:
    """Say on a page what is the matter."""
    waits = status == 503
    html = _templates().get_template("problem.html").render(code=code, message=message, status=status, waits=waits)
    return send(request, Answer(html.encode(), HTML, cache_control="no-store"), status)


@cache
def static_version() -> str:
    """Return what changes when one of the page's own files does."""
    together = hashlib.blake2b(digest_size=6)
    for name, found in sorted(files().items()):
        together.update(name.encode() + found.body)
    return together.hexdigest()


@cache
def files() -> dict[str, Answer]:
    """Return the page's own files by name."""
    folder = resources.files("quant_assets.dashboard").joinpath("static")
    found = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    return {
        name: Answer(content, MEDIA_TYPES[name.rpartition(".")[2]])
        for name, content in found.items()
        if name.rpartition(".")[2] in MEDIA_TYPES
    }


def _plotly() -> Answer:
    script = resources.files("plotly").joinpath("package_data").joinpath(PLOTLY)
    return Answer(script.read_bytes(), MEDIA_TYPES["js"])


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


def _rows(document: Document) -> Answer:
    return Answer.of({"etag": document.etag, "summary": summary(document.feed), "rows": _rows_of(document)})


def _rows_of(document: Document) -> list[Row]:
    """Return the rows of a feed, which are made once for as long as the feed is in memory."""
    found = _ROWS.get(document)
    if found is None:
        found = _ROWS[document] = rows_of(document.feed["signals"])
    return found


def _page(
    desk: AppContext,
    document: Document,
    filters: Filters,
    state: Mapping[str, str],
    windows: tuple[str, ...],
    *,
    is_stale: bool,
) -> Answer:
    pairs = zip(document.feed["signals"], _rows_of(document), strict=True)
    passed = [row for signal, row in pairs if filters.accepts(signal)]
    found = ordered(matching(passed, state["q"]), state["sort"], state["dir"])
    opened, told = _opened(document, state["open"]), None
    if opened is not None:
        told = detail(document, opened[0], opened[1], desk.settings)
    html = (
        _templates()
        .get_template("page.html")
        .render(
            rows=found[:ROWS_WITH_THE_PAGE],
            blank=BLANK,
            count=len(found),
            summary=summary(document.feed),
            filters=filters,
            state=state,
            etag=document.etag,
            windows=windows,
            sorts=SORTS,
            sort_titles=SORT_TITLES,
            descending=DESCENDING,
            detail=told,
            is_stale=is_stale,
            stale_seconds=STALE_SECONDS,
        )
    )
    return Answer(html.encode(), HTML)


def _opened(document: Document, wanted: str) -> tuple[list[Json], str] | None:
    """Return the signals of the market that is open, and the strategy that was clicked."""
    if not wanted:
        return None
    for signals in document.markets.values():
        for signal in signals:
            if row_id(signal) == wanted:
                return signals, signal["strategy_name"]
    return None


ROUTES = [
    route("/", page, (*FILTERS, *STATE)),
    route("/rows", rows, ("window",)),
    route("/detail/{exchange}/{symbol:path}", details, ("window", "strategy")),
    route("/static/{version}/{name}", static),
]

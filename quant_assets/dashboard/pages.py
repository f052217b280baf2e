"""The HTML pages, and the rows for the page's script."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field

from quant_assets.dashboard.api import signals_of, trades_of_market, whole_feed
from quant_assets.dashboard.app_context import STALE_SECONDS, AppContext, context_of
from quant_assets.dashboard.columns import DESCENDING, SORT_TITLES, SORTS
from quant_assets.dashboard.detail import signal_detail
from quant_assets.dashboard.feed_repository import FeedDocument, FeedError, Json
from quant_assets.dashboard.query import SharedFilters, WindowParameter, check_parameters
from quant_assets.dashboard.responses import HTML, CachedResponse, send
from quant_assets.dashboard.rows import BLANK_ROW, row_id, search_rows, sort_rows
from quant_assets.dashboard.signal_record import trade_endings
from quant_assets.dashboard.strategies import InForce
from quant_assets.dashboard.summary import summary
from quant_assets.dashboard.templating import templates

#: Rows in the HTML itself; the script fetches all rows and takes over.
INITIAL_ROWS: Final = 60
#: Windows to choose from on the page; /api/windows lists all.
MAX_WINDOWS: Final = 96

router = APIRouter(include_in_schema=False, dependencies=[Depends(check_parameters)])
METHODS: Final = ["GET", "HEAD"]


class PageParameters(SharedFilters):
    """The state of the page, which its address describes: the filters, and its own."""

    q: str = Field(default="", description="Text to search for.")
    sort: str = Field(default="", description="Column to sort by.")
    dir: str = Field(default="", description="asc or desc.")
    open: str = Field(default="", description="Id of the open row.")


class DetailParameters(WindowParameter):
    """The window and strategy of a detail panel."""

    strategy: str = Field(default="", description="The row's strategy.")


@router.api_route("/", methods=METHODS)
async def page(request: Request, parameters: Annotated[PageParameters, Query()]) -> Response:
    """Return the page in the state that its address describes."""
    context = context_of(request)
    try:
        document = await context.document(parameters.window)
    except FeedError as error:
        return error_page(request, error.code, str(error), error.status, reloads=not parameters.window)
    is_stale = context.is_stale(document)
    windows = tuple((await context.look_up(context.feeds.windows))[:MAX_WINDOWS])
    in_force = context.strategies.in_force()
    key = ("page", document.etag, parameters, is_stale, windows, in_force.version, await context.trades_version())

    def make() -> CachedResponse:
        return _page(context, document, parameters, windows, is_stale, in_force)

    return send(request, await context.response(key, make))


@router.api_route("/rows", methods=METHODS)
async def rows(request: Request, parameters: Annotated[WindowParameter, Query()]) -> Response:
    """Return all rows of a window for the page's script."""
    context = context_of(request)
    document = await context.document(parameters.window)
    key = ("rows", document.etag, await context.trades_version())
    return send(request, await context.response(key, lambda: _rows(context, document)))


@router.api_route("/detail/{exchange}/{symbol:path}", methods=METHODS)
async def details(
    request: Request, exchange: str, symbol: str, parameters: Annotated[DetailParameters, Query()]
) -> Response:
    """Return the detail panel of a row as an HTML fragment."""
    context = context_of(request)
    document = await context.document(parameters.window)
    signals = signals_of(document, exchange, symbol)
    in_force = context.strategies.in_force()
    market = (signals[0]["exchange"], signals[0]["symbol"])
    key = ("detail", document.etag, *market, parameters, in_force.version, await context.trades_version())

    def make() -> CachedResponse:
        detail = _detail(context, document, signals, parameters.strategy, in_force)
        html = templates().get_template("detail.html").render(detail=detail, base=_base_address(parameters.window))
        return CachedResponse(html.encode(), HTML)

    return send(request, await context.response(key, make))


def warm_cache(context: AppContext, document: FeedDocument) -> None:
    """Build the responses that every visitor requests, so that a new feed is shown at once."""
    context.cache.get_or_make(("rows", document.etag, context.trades.version), lambda: _rows(context, document))
    context.cache.get_or_make(("whole", document.etag), lambda: whole_feed(document))


def error_page(request: Request, code: str, message: str, status: int, *, reloads: bool = False) -> Response:
    """Return a page that explains an error; with `reloads` it reloads when there is a valid newest feed."""
    heading = _error_heading(request, status)
    html = templates().get_template("error.html").render(code=code, message=message, heading=heading, reloads=reloads)
    return send(request, CachedResponse(html.encode(), HTML, cache_control="no-store"), status)


def _error_heading(request: Request, status: int) -> str:
    if status != 503:
        return "Page not found" if status == 404 else "Request rejected"
    if request.url.path.startswith("/record"):
        return "The record cannot be shown"
    return "This window cannot be shown" if request.query_params.get("window") else "The feed cannot be shown"


def _rows(context: AppContext, document: FeedDocument) -> CachedResponse:
    return CachedResponse.from_json(
        {"etag": document.etag, "summary": summary(document.feed), "rows": context.rows(document)}
    )


def _page(
    context: AppContext,
    document: FeedDocument,
    parameters: PageParameters,
    windows: tuple[str, ...],
    is_stale: bool,
    in_force: InForce,
) -> CachedResponse:
    pairs = zip(document.feed["signals"], context.rows(document), strict=True)
    found = search_rows([row for signal, row in pairs if parameters.matches(signal)], parameters.q)
    found = sort_rows(found, parameters.sort, parameters.dir)
    opened, detail = _opened_market(document, parameters.open), None
    if opened is not None:
        detail = _detail(context, document, *opened, in_force)
    html = (
        templates()
        .get_template("page.html")
        .render(
            base=_base_address(parameters.window),
            rows=found[:INITIAL_ROWS],
            blank=BLANK_ROW,
            count=len(found),
            summary=summary(document.feed),
            parameters=parameters,
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


def _base_address(window: str) -> str:
    """Return the address of the page of a window, to which parameters can be added."""
    return f"/?window={quote(window)}&" if window else "/?"


def _detail(
    context: AppContext, document: FeedDocument, signals: list[Json], strategy: str, in_force: InForce
) -> dict[str, Any]:
    trades = trades_of_market(context, document, signals[0])
    endings = trade_endings(context.trades, document.window)
    return signal_detail(document, signals, strategy, context.settings, in_force, trades, endings)


def _opened_market(document: FeedDocument, opened_id: str) -> tuple[list[Json], str] | None:
    """Return the signals of the open row's market, and the row's strategy; None if no such row is open."""
    if not opened_id:
        return None
    for signals in document.markets.values():
        for signal in signals:
            if row_id(signal) == opened_id:
                return signals, signal["strategy_name"]
    return None

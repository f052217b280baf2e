"""The JSON API for other programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import pandas as pd
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from quant_assets.common.database_server import DatabaseServer
from quant_assets.dashboard.api_models import Chart, Error, FilteredFeed, Health, Windows
from quant_assets.dashboard.app_context import STALE_SECONDS, AppContext, context_of
from quant_assets.dashboard.charts import market_chart
from quant_assets.dashboard.events import MAX_LISTENERS, FeedWatcher
from quant_assets.dashboard.feed_repository import FeedDocument, FeedError, Json, file_version
from quant_assets.dashboard.market_data import store_place
from quant_assets.dashboard.query import (
    Filters,
    NoParameters,
    QueryError,
    WindowParameter,
    check_parameters,
    filter_feed,
)
from quant_assets.dashboard.record import costs_or_defaults, live_record, record_json, trades_json
from quant_assets.dashboard.record_models import Record, Trades
from quant_assets.dashboard.record_query import RecordParameters, TradeParameters
from quant_assets.dashboard.responses import CachedResponse, error_json, send, uncached_json
from quant_assets.evaluation.trade_table import empty_trades
from quant_assets.feed.model import MasterFeed
from quant_assets.storage.lake import Lake

Responses = dict[int | str, dict[str, Any]]

Exchange = Annotated[str, Path(description="As in the feed.")]
Symbol = Annotated[str, Path(description="As in the feed, percent-encoded.")]

NOT_MODIFIED: Final[Responses] = {304: {"description": "Not modified since the ETag in If-None-Match."}}

DAMAGED_TRADES: Final[Responses] = {503: {"model": Error, "description": "The table of trades is damaged."}}

router = APIRouter(prefix="/api", dependencies=[Depends(check_parameters)])


def _get(path: str, responses: Responses) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Route GET and HEAD requests for a path to an endpoint; the first line of its docstring describes it."""
    documented: Responses = {
        400: {"model": Error, "description": "An unknown parameter or an invalid value."},
        404: {"model": Error, "description": "Not found, or a value looks like a file path."},
        "4XX": {"model": Error, "description": "Another method than GET or HEAD, or a request with a body."},
        **responses,
    }

    def add(endpoint: Callable[..., Any]) -> Callable[..., Any]:
        router.add_api_route(
            path,
            endpoint,
            methods=["GET"],
            operation_id=endpoint.__name__,
            responses=documented,
            response_model=None,
        )
        router.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False, response_model=None)
        return endpoint

    return add


@_get(
    "/results",
    {
        200: {
            "model": MasterFeed | FilteredFeed,
            "description": "The feed as on disk; with filters, the filtered feed with `selection`.",
        },
        **NOT_MODIFIED,
        404: {"model": Error, "description": "No feed of that window is stored, or a value looks like a file path."},
        503: {
            "model": Error,
            "description": "The feed is missing, empty, incomplete, invalid, or of an unsupported schema version.",
        },
    },
)
async def results(request: Request, filters: Annotated[Filters, Query()]) -> Response:
    """Return the feed, whole or filtered."""
    context = context_of(request)
    document = await context.document(filters.window)
    if not filters.has_filters:
        return send(request, await context.response(("whole", document.etag), lambda: whole_feed(document)))
    key = ("filtered", document.etag, filters)
    return send(
        request,
        await context.response(key, lambda: CachedResponse.from_json(filter_feed(document.feed, filters))),
    )


@_get(
    "/signals/{exchange}/{symbol:path}",
    {
        200: {"model": Chart, "description": "Signals and series, cut at the window's end."},
        **NOT_MODIFIED,
        404: {"model": Error, "description": "The feed does not have this market, or the window is not stored."},
        503: {"model": Error, "description": "The feed cannot be shown."},
    },
)
async def market(
    request: Request, exchange: Exchange, symbol: Symbol, parameters: Annotated[WindowParameter, Query()]
) -> Response:
    """Return one market with candles, RSI and lines for a chart."""
    context = context_of(request)
    document = await context.document(parameters.window)
    signals = signals_of(document, exchange, symbol)
    in_force = context.strategies.in_force()
    key = (
        "chart",
        in_force.version,
        document.etag,
        signals[0]["exchange"],
        signals[0]["symbol"],
        *await context.look_up(lambda: _store_versions(context)),
    )

    def make() -> CachedResponse:
        trades = trades_of_market(context, document, signals[0])
        return CachedResponse.from_json(market_chart(document, signals, context.settings, in_force.strategies, trades))

    return send(request, await context.response(key, make))


@_get("/record", {200: {"model": Record}, **NOT_MODIFIED, **DAMAGED_TRADES})
async def record(request: Request, parameters: Annotated[RecordParameters, Query()]) -> Response:
    """Return what the published signals were worth: statistics of their trades, by strategy and by groups."""
    context = context_of(request)
    costs, _ = costs_or_defaults(context.settings.evaluation_path)

    def make() -> CachedResponse:
        return CachedResponse.from_json(record_json(live_record(context.trades.read(), parameters, costs), costs))

    key = ("record", await context.trades_version(), costs, parameters)
    return send(request, await context.response(key, make))


@_get("/trades", {200: {"model": Trades}, **NOT_MODIFIED, **DAMAGED_TRADES})
async def trades(request: Request, parameters: Annotated[TradeParameters, Query()]) -> Response:
    """Return the trades of published signals, newest first."""
    context = context_of(request)
    key = ("trades", await context.trades_version(), parameters)
    return send(
        request,
        await context.response(key, lambda: CachedResponse.from_json(trades_json(context.trades.read(), parameters))),
    )


@_get("/windows", {200: {"model": Windows}, **NOT_MODIFIED})
async def windows(request: Request, parameters: Annotated[NoParameters, Query()]) -> Response:  # noqa: ARG001
    """List the windows whose feeds are stored, newest first."""
    context = context_of(request)
    keys = await context.look_up(context.feeds.windows)
    listed = [{"window": key, "results": f"/api/results?window={key}"} for key in keys]
    return send(request, CachedResponse.from_json({"windows": listed}))


@_get(
    "/health",
    {
        200: {"model": Health, "description": "The feed is fresh."},
        503: {"model": Health, "description": "The feed is older than two windows, or cannot be shown."},
    },
)
async def health(request: Request, parameters: Annotated[NoParameters, Query()]) -> Response:  # noqa: ARG001
    """Return age and coverage of the feed, and the last run."""
    context = context_of(request)
    try:
        document = await context.document()
    except FeedError as error:
        return uncached_json({"status": "unavailable", "problem": {"code": error.code, "message": str(error)}}, 503)
    is_stale = context.is_stale(document)
    return uncached_json(_health(context, document, is_stale), 503 if is_stale else 200)


@_get(
    "/events",
    {
        200: {
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
            "description": "A stream; the first event is the present state.",
        },
        503: {"model": Error, "description": "Too many streams are open."},
    },
)
async def events(request: Request, parameters: Annotated[NoParameters, Query()]) -> Response:  # noqa: ARG001
    """Stream server-sent events: `feed` for each new feed, `problem` if the feed cannot be shown."""
    watcher: FeedWatcher = request.app.state.watcher
    if watcher.listeners >= MAX_LISTENERS:
        return error_json("too_many", f"{MAX_LISTENERS} streams are open already, which is the limit", 503)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return Response(headers=headers, media_type="text/event-stream")
    return StreamingResponse(watcher.stream(), headers=headers, media_type="text/event-stream")


@_get("/openapi.json", {200: {"description": "An OpenAPI 3.1 document."}, **NOT_MODIFIED})
async def openapi(request: Request, parameters: Annotated[NoParameters, Query()]) -> Response:  # noqa: ARG001
    """Return this document."""
    document = await context_of(request).response("openapi", lambda: CachedResponse.from_json(request.app.openapi()))
    return send(request, document)


def whole_feed(document: FeedDocument) -> CachedResponse:
    """Return a feed byte for byte as on disk."""
    return CachedResponse(document.content, etag=document.etag)


def signals_of(document: FeedDocument, exchange: str, symbol: str) -> list[Json]:
    """Return the signals of a market. Raises QueryError (404) if the feed does not have it."""
    signals = document.markets.get((exchange, symbol)) or document.markets.get((exchange.upper(), symbol.upper()))
    if signals is None:
        message = f"market not found in the feed of {document.window.key}: {symbol:.80} on {exchange:.80}"
        raise QueryError(message, status=404, code="no_such_market")
    return signals


def trades_of_market(context: AppContext, document: FeedDocument, signal: Json) -> pd.DataFrame:
    """Return the trades of a signal's market, as they stood at the window's end; none if the table is damaged."""
    try:
        return context.trades.of_market(signal["exchange"], signal["symbol"], document.window)
    except FeedError:
        return empty_trades()


def _health(context: AppContext, document: FeedDocument, is_stale: bool) -> dict[str, Any]:
    feed = document.feed
    stats = feed["stats"]
    served = stats["resolution"]["resolved"] + stats["resolution"]["aggregated"]
    return {
        "status": "stale" if is_stale else "ok",
        "problem": None,
        "feed": {
            "window": feed["window"],
            "as_of": feed["as_of"],
            "age_seconds": round(context.age_seconds(document), 3),
            "stale_after_seconds": STALE_SECONDS,
            "simulated": feed["simulated"],
        },
        "coverage": {
            "markets": stats["markets"],
            "signals": stats["signals"],
            "resolution": stats["resolution"],
            "served_share": round(served / stats["markets"], 4) if stats["markets"] else None,
            "freshness": stats["freshness"],
        },
        "last_run": {
            "last_updated": feed["last_updated"],
            "seconds_ago": round(context.clock().timestamp() - feed["last_updated"] / 1000, 3),
            "api": stats["api"],
            "skipped_files": len(stats["skipped"]),
        },
    }


def _store_versions(context: AppContext) -> tuple[Any, ...]:
    """Return the versions of what is behind a chart, so that a change makes a new cache key.

    An unknown version makes a key that is used once.
    """
    tables = (Lake(context.settings.lake_place).version(["candles"]) or object(), context.trades.version)
    store = store_place(context.settings)
    if isinstance(store, DatabaseServer):
        return (*tables, object())
    log = None if store is None else store.with_name(f"{store.name}-wal")
    return (*tables, *(None if path is None else file_version(path) for path in (store, log)))

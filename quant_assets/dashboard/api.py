"""The JSON API for other programs."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from quant_assets.dashboard.app_context import STALE_SECONDS, AppContext, context_of
from quant_assets.dashboard.charts import market_chart
from quant_assets.dashboard.feed_repository import FeedDocument, FeedError, Json, file_version
from quant_assets.dashboard.market_data import store_path
from quant_assets.dashboard.openapi import openapi_document
from quant_assets.dashboard.query import OTHER_NAMES, Filters, QueryError, filter_feed, parse_filters
from quant_assets.dashboard.responses import CachedResponse, send, uncached_json
from quant_assets.dashboard.routes import parameters_of, route


async def results(request: Request) -> Response:
    """Return the feed as on disk, or filtered."""
    filters = parse_filters(parameters_of(request).items())
    context = context_of(request)
    document = await context.document(filters.window)
    if not filters.has_filters:
        return send(request, await context.response(("whole", document.etag), lambda: whole_feed(document)))
    key = ("filtered", document.etag, filters)
    return send(
        request,
        await context.response(key, lambda: CachedResponse.from_json(filter_feed(document.feed, filters))),
    )


async def market(request: Request) -> Response:
    """Return the signals of one market with the series of its chart."""
    context = context_of(request)
    document = await context.document(parameters_of(request).get("window", ""))
    signals = signals_of(document, request)
    key = ("chart", document.etag, signals[0]["exchange"], signals[0]["symbol"], *_store_versions(context))
    return send(
        request,
        await context.response(
            key, lambda: CachedResponse.from_json(market_chart(document, signals, context.settings))
        ),
    )


async def windows(request: Request) -> Response:
    """List the windows whose feeds are stored, newest first."""
    keys = context_of(request).feeds.windows()
    listed = [{"window": key, "results": f"/api/results?window={key}"} for key in keys]
    return send(request, CachedResponse.from_json({"windows": listed}))


async def health(request: Request) -> Response:
    """Return the feed's age, its coverage and the last run; 503 if the feed is stale or cannot be shown."""
    context = context_of(request)
    try:
        document = await context.document()
    except FeedError as error:
        return uncached_json({"status": "unavailable", "problem": {"code": error.code, "message": str(error)}}, 503)
    is_stale = context.is_stale(document)
    return uncached_json(_health(context, document, is_stale), 503 if is_stale else 200)


async def openapi(request: Request) -> Response:
    """Return the OpenAPI document."""
    return send(
        request, await context_of(request).response("openapi", lambda: CachedResponse.from_json(openapi_document()))
    )


def whole_feed(document: FeedDocument) -> CachedResponse:
    """Return a feed byte for byte as on disk."""
    return CachedResponse(document.content, etag=document.etag)


def signals_of(document: FeedDocument, request: Request) -> list[Json]:
    """Return the signals of the market in the request's path. Raises QueryError (404) for an unknown market."""
    exchange, symbol = request.path_params["exchange"], request.path_params["symbol"]
    signals = document.markets.get((exchange, symbol)) or document.markets.get((exchange.upper(), symbol.upper()))
    if signals is None:
        message = f"market not found in the feed of {document.window.key}: {symbol:.80} on {exchange:.80}"
        raise QueryError(message, status=404, code="no_such_market")
    return signals


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
    """Return the versions of the files behind a chart, so that a changed file makes a new cache key."""
    store = store_path(context.settings)
    log = None if store is None else store.with_name(f"{store.name}-wal")
    paths = (context.settings.lake_dir / "candles.parquet", store, log)
    return tuple(None if path is None else file_version(path) for path in paths)


ROUTES = [
    route("/api/results", results, (*Filters.model_fields, *OTHER_NAMES)),
    route("/api/signals/{exchange}/{symbol:path}", market, ("window",)),
    route("/api/windows", windows),
    route("/api/health", health),
    route("/api/openapi.json", openapi),
]

"""The API: what other programs read of the feed, as JSON."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from quant_assets.dashboard.answers import Answer, send, unkept
from quant_assets.dashboard.charts import chart
from quant_assets.dashboard.desk import STALE_SECONDS, AppContext
from quant_assets.dashboard.documents import Document, FeedProblem, Json, version_of
from quant_assets.dashboard.history import store_path
from quant_assets.dashboard.openapi import description
from quant_assets.dashboard.query import OTHER_NAMES, Filters, QueryError, narrowed, read_filters
from quant_assets.dashboard.routes import given, route


def desk_of(request: Request) -> AppContext:
    """Return what the server's endpoints share."""
    desk: AppContext = request.app.state.desk
    return desk


async def results(request: Request) -> Response:
    """Give the feed as it is, or narrowed by filters."""
    filters = read_filters(given(request).items())
    desk = desk_of(request)
    document = await desk.document(filters.window)
    if not filters.narrows:
        whole = await desk.answer(("whole", document.etag), lambda: Answer(document.content, etag=document.etag))
        return send(request, whole)
    key = ("narrowed", document.etag, filters)
    return send(request, await desk.answer(key, lambda: Answer.of(narrowed(document.feed, filters))))


async def market(request: Request) -> Response:
    """Give one market's signals, with the series of its chart."""
    desk = desk_of(request)
    document = await desk.document(given(request).get("window", ""))
    signals = signals_of(document, request)
    key = ("chart", document.etag, signals[0]["exchange"], signals[0]["symbol"], *_stored(desk))
    return send(request, await desk.answer(key, lambda: Answer.of(chart(document, signals, desk.settings))))


async def windows(request: Request) -> Response:
    """List the windows whose feeds are stored, newest first."""
    desk = desk_of(request)
    keys = desk.shelf.windows()
    made = Answer.of({"windows": [{"window": key, "results": f"/api/results?window={key}"} for key in keys]})
    return send(request, made)


async def health(request: Request) -> Response:
    """Tell the feed's age, what it covers, and the last run; 503 where it is stale or cannot be shown."""
    desk = desk_of(request)
    try:
        document = await desk.document()
    except FeedProblem as problem:
        return unkept({"status": "unavailable", "problem": {"code": problem.code, "message": str(problem)}}, 503)
    is_stale = desk.is_stale(document)
    return unkept(_health(desk, document, is_stale), 503 if is_stale else 200)


async def openapi(request: Request) -> Response:
    """Describe the API for machines."""
    return send(request, await desk_of(request).answer("openapi", lambda: Answer.of(description())))


def signals_of(document: Document, request: Request) -> list[Json]:
    """Return the signals of the market that an address names. Raises QueryError, as 404."""
    exchange, symbol = request.path_params["exchange"], request.path_params["symbol"]
    signals = document.markets.get((exchange, symbol)) or document.markets.get((exchange.upper(), symbol.upper()))
    if signals is None:
        problem = QueryError(f"the feed of {document.window.key} has no market of that name on that exchange")
        problem.status, problem.code = 404, "no_such_market"
        raise problem
    return signals


def _health(desk: AppContext, document: Document, is_stale: bool) -> dict[str, Any]:
    feed = document.feed
    stats = feed["stats"]
    served = stats["resolution"]["resolved"] + stats["resolution"]["aggregated"]
    return {
        "status": "stale" if is_stale else "ok",
        "problem": None,
        "feed": {
            "window": feed["window"],
            "as_of": feed["as_of"],
            "age_seconds": round(desk.age_seconds(document), 3),
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
            "seconds_ago": round(desk.clock().timestamp() - feed["last_updated"] / 1000, 3),
            "api": stats["api"],
            "skipped_files": len(stats["skipped"]),
        },
    }


def _stored(desk: AppContext) -> tuple[Any, ...]:
    """Return what changes when the stores behind a chart do."""
    store = store_path(desk.settings)
    log = None if store is None else store.with_name(f"{store.name}-wal")
    paths = (desk.settings.lake_dir / "candles.parquet", store, log)
    return tuple(None if path is None else version_of(path) for path in paths)


ROUTES = [
    route("/api/results", results, (*Filters.model_fields, *OTHER_NAMES)),
    route("/api/signals/{exchange}/{symbol:path}", market, ("window",)),
    route("/api/windows", windows),
    route("/api/health", health),
    route("/api/openapi.json", openapi),
]

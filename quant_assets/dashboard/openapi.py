"""The description of the API for machines, OpenAPI 3.1.

Filters and the feed describe themselves (query.py, the feed's schema), so that nothing is said twice.
"""

from __future__ import annotations

from typing import Any, Final

from quant_assets.dashboard.query import OTHER_NAMES, Filters
from quant_assets.feed import feed_schema
from quant_assets.feed.contract import SCHEMA_VERSION

Json = dict[str, Any]

_NUMBERS: Final = {"type": "array", "items": {"type": ["number", "null"]}}
_TIMES: Final = {"type": "array", "items": {"type": "integer"}, "description": "epoch ms"}
_WINDOW: Final[Json] = {
    "name": "window",
    "in": "query",
    "description": Filters.model_fields["window"].description,
    "schema": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d-\d\d:\d\d$"},
}
_SCHEMAS: Final[dict[str, Json]] = {
    "string": {"type": "string"},
    "min_score": {"type": "number", "minimum": 0, "maximum": 100},
    "limit": {"type": "integer", "minimum": 1, "maximum": 100_000},
    "window": _WINDOW["schema"],
}


def description() -> Json:
    """Return the OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "quant_assets dashboard",
            "version": SCHEMA_VERSION,
            "description": (
                "Read-only. Every answer but health and the stream has an ETag: send it as If-None-Match, and what is "
                "unchanged comes back as 304. A value that looks like a path is a 404, a body is a 413."
            ),
        },
        "paths": {
            "/api/results": {"get": _results()},
            "/api/signals/{exchange}/{symbol}": {"get": _market()},
            "/api/windows": {
                "get": _operation(
                    "windows",
                    "The windows whose feeds are stored, newest first",
                    {
                        "200": _json("The windows.", {"$ref": "#/components/schemas/Windows"}),
                        **_unchanged(),
                        **_takes_nothing(),
                    },
                )
            },
            "/api/health": {
                "get": _operation(
                    "health",
                    "The feed's age, its coverage, and the last run",
                    {
                        "200": _json("The feed is fresh.", {"$ref": "#/components/schemas/Health"}),
                        "503": _json(
                            "The feed is older than two windows, or cannot be shown.",
                            {"$ref": "#/components/schemas/Health"},
                        ),
                        **_takes_nothing(),
                    },
                )
            },
            "/api/events": {
                "get": _operation(
                    "events",
                    "Server-sent events: `feed` when a new feed is out, `problem` when it cannot be shown",
                    {
                        "200": {
                            "description": "A stream; its first event tells the present state.",
                            "content": {"text/event-stream": {"schema": {"type": "string"}}},
                        },
                        "503": _error("Too many streams are open."),
                        **_takes_nothing(),
                    },
                )
            },
            "/api/openapi.json": {
                "get": _operation(
                    "openapi",
                    "This description",
                    {
                        "200": _json("An OpenAPI 3.1 document.", {"type": "object"}),
                        **_unchanged(),
                        **_takes_nothing(),
                    },
                )
            },
        },
        "components": {"schemas": _components()},
    }


def _results() -> Json:
    parameters = [
        {
            "name": name,
            "in": "query",
            "description": field.description,
            "schema": _SCHEMAS.get(name, _SCHEMAS["string"]),
        }
        for name, field in Filters.model_fields.items()
    ] + [
        {
            "name": name,
            "in": "query",
            "description": f"The same as {meant}, for pages that exist.",
            "schema": _SCHEMAS["string"],
        }
        for name, meant in OTHER_NAMES.items()
    ]
    answers = {
        "200": _json(
            "The feed as it is on disk; with filters, the narrowed feed with `selection`.",
            {"anyOf": [{"$ref": "#/components/schemas/Feed"}, {"$ref": "#/components/schemas/NarrowedFeed"}]},
        ),
        **_unchanged(),
        "400": _error("A parameter that there is not, or a value that it cannot have."),
        "404": _error("No feed of that window is stored, or a value looks like a path."),
        "503": _error("The feed is missing, empty, half written, a bare list, or of another schema version."),
    }
    return {**_operation("results", "The feed, whole or narrowed", answers), "parameters": parameters}


def _market() -> Json:
    parameters = [
        *(
            {"name": name, "in": "path", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in (("exchange", "As in the feed."), ("symbol", "As in the feed, percent-encoded."))
        ),
        _WINDOW,
    ]
    answers = {
        "200": _json("Signals and series, cut at the window's end.", {"$ref": "#/components/schemas/Chart"}),
        **_unchanged(),
        "400": _error("A parameter that there is not."),
        "404": _error("The feed has no such market, no feed of that window is stored, or a value looks like a path."),
        "503": _error("The feed cannot be shown."),
    }
    return {
        **_operation("market", "One market with candles, RSI and lines for a chart", answers),
        "parameters": parameters,
    }


def _operation(name: str, summary: str, responses: Json) -> Json:
    return {"operationId": name, "summary": summary, "responses": responses}


def _json(text: str, schema: Json) -> Json:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _error(text: str) -> Json:
    return _json(text, {"$ref": "#/components/schemas/Error"})


def _unchanged() -> Json:
    return {"304": {"description": "Unchanged since the ETag in If-None-Match."}}


def _takes_nothing() -> Json:
    return {"400": _error("There are no parameters here."), "404": _error("A value looks like a path.")}


def _components() -> Json:
    schema = feed_schema()
    parts = {name: _moved(part) for name, part in schema["$defs"].items()}
    feed = _moved({key: value for key, value in schema.items() if key not in ("$schema", "$defs")})
    narrowed = {
        **feed,
        "title": "narrowed master_feed",
        "properties": {
            **feed["properties"],
            "signals": {"type": "array", "items": {"type": "object"}},
            "selection": _object(matched={"type": "integer"}, given={"type": "integer"}),
        },
        "required": [*feed["required"], "selection"],
    }
    return {
        **parts,
        "Feed": feed,
        "NarrowedFeed": narrowed,
        "Chart": _chart(),
        "Windows": _object(
            windows={"type": "array", "items": _object(window={"type": "string"}, results={"type": "string"})}
        ),
        "Health": {
            **_object(status={"enum": ["ok", "stale", "unavailable"]}, problem={"type": ["object", "null"]}),
            "properties": {
                "status": {"enum": ["ok", "stale", "unavailable"]},
                "problem": {"anyOf": [{"type": "null"}, _object(code={"type": "string"}, message={"type": "string"})]},
                "feed": {"type": "object"},
                "coverage": {"type": "object"},
                "last_run": {"type": "object"},
            },
        },
        "Error": _object(error=_object(code={"type": "string"}, message={"type": "string"})),
    }


def _chart() -> Json:
    candles = _object(time=_TIMES, open=_NUMBERS, high=_NUMBERS, low=_NUMBERS, close=_NUMBERS, volume=_NUMBERS)
    forming = {
        **_object(
            timeframe={"const": "4h"},
            time={"type": "integer", "description": "its opening, epoch ms"},
            through={"type": "integer", "description": "close of the last 15m bar in it, epoch ms"},
            bars={"type": "integer", "description": "how many closed 15m bars it is made of", "minimum": 1},
            **{name: {"type": "number"} for name in ("open", "high", "low", "close", "volume")},
        ),
        "description": "the 4h bar that is forming at the window's end; null where one closes just then",
    }
    stretch = _object(time=_TIMES, value=_NUMBERS)
    pivot = _object(time={"type": "integer"}, value={"type": "number"})
    source = {
        "status": {"type": ["string", "null"]},
        "coinalyze_symbol": {"type": ["string", "null"]},
        "reference_exchange": {"type": ["string", "null"]},
        "unit": {"type": ["string", "null"]},
        "age_seconds": {"type": ["number", "null"]},
    }
    line = _object(
        kind={"enum": ["resistance", "support", "broken"]},
        pivots={"type": "array", "items": pivot, "minItems": 2, "maxItems": 2},
        slope={"type": "number", "description": "RSI points a bar of 4h"},
        solid={**stretch, "description": "between the pivots"},
        projected={**stretch, "description": "from the second pivot to the bar that is forming"},
        touches={"type": ["integer", "null"]},
        reverse_rsi_price={"type": ["number", "null"]},
        strategies={"type": "array", "items": {"type": "string"}, "description": "whose breakout broke it"},
    )
    return _object(
        window={"type": "string"},
        as_of={"type": "string"},
        simulated={"type": "boolean"},
        exchange={"type": "string"},
        symbol={"type": "string"},
        signals={"type": "array", "items": {"$ref": "#/components/schemas/signal"}, "minItems": 1},
        candles=_object(**{"4h": candles, "15m": candles}),
        forming={"anyOf": [{"type": "null"}, forming]},
        averages=_object(timeframe={"const": "4h"}, time=_TIMES, ema50=_NUMBERS, ema200=_NUMBERS),
        rsi=_object(timeframe={"const": "4h"}, time=_TIMES, value=_NUMBERS),
        lines={"type": "array", "items": line},
        open_interest=_object(**source, time=_TIMES, value=_NUMBERS),
        liquidations=_object(
            **source, time=_TIMES, longs=_NUMBERS, shorts=_NUMBERS, known_through={"type": ["integer", "null"]}
        ),
        funding_rate=_object(**source),
        long_short_ratio=_object(**source),
    )


def _object(**properties: Any) -> Json:
    """Describe an object all of whose keys are there."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _moved(value: Any) -> Any:
    """Point references at where the feed's definitions stand in this document."""
    if isinstance(value, dict):
        return {
            key: part.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _moved(part)
            for key, part in value.items()
        }
    return [_moved(part) for part in value] if isinstance(value, list) else value

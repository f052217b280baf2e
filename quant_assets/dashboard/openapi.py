"""The OpenAPI 3.1 document of the API, derived from the filters in query.py and the feed's schema."""

from __future__ import annotations

from typing import Any, Final

from quant_assets.dashboard.query import OTHER_NAMES, Filters
from quant_assets.feed import feed_schema
from quant_assets.feed.model import SCHEMA_VERSION

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


def openapi_document() -> Json:
    """Return the OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "quant_assets dashboard",
            "version": SCHEMA_VERSION,
            "description": (
                "Read-only. Every response except health and events has an ETag: send it as If-None-Match to get 304 "
                "if nothing changed. A value that looks like a file path gives 404, a request body 413."
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
                        **_not_modified(),
                        **_no_parameters(),
                    },
                )
            },
            "/api/health": {
                "get": _operation(
                    "health",
                    "Age and coverage of the feed, and the last run",
                    {
                        "200": _json("The feed is fresh.", {"$ref": "#/components/schemas/Health"}),
                        "503": _json(
                            "The feed is older than two windows, or cannot be shown.",
                            {"$ref": "#/components/schemas/Health"},
                        ),
                        **_no_parameters(),
                    },
                )
            },
            "/api/events": {
                "get": _operation(
                    "events",
                    "Server-sent events: `feed` for each new feed, `problem` if the feed cannot be shown",
                    {
                        "200": {
                            "description": "A stream; the first event is the present state.",
                            "content": {"text/event-stream": {"schema": {"type": "string"}}},
                        },
                        "503": _error("Too many streams are open."),
                        **_no_parameters(),
                    },
                )
            },
            "/api/openapi.json": {
                "get": _operation(
                    "openapi",
                    "This document",
                    {
                        "200": _json("An OpenAPI 3.1 document.", {"type": "object"}),
                        **_not_modified(),
                        **_no_parameters(),
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
            "description": f"Alias of {meant}, for existing consumers.",
            "schema": _SCHEMAS["string"],
        }
        for name, meant in OTHER_NAMES.items()
    ]
    responses = {
        "200": _json(
            "The feed as on disk; with filters, the filtered feed with `selection`.",
            {"anyOf": [{"$ref": "#/components/schemas/Feed"}, {"$ref": "#/components/schemas/NarrowedFeed"}]},
        ),
        **_not_modified(),
        "400": _error("An unknown parameter or an invalid value."),
        "404": _error("No feed of that window is stored, or a value looks like a file path."),
        "503": _error("The feed is missing, empty, incomplete, invalid, or of an unsupported schema version."),
    }
    return {**_operation("results", "The feed, whole or filtered", responses), "parameters": parameters}


def _market() -> Json:
    parameters = [
        *(
            {"name": name, "in": "path", "required": True, "description": text, "schema": {"type": "string"}}
            for name, text in (("exchange", "As in the feed."), ("symbol", "As in the feed, percent-encoded."))
        ),
        _WINDOW,
    ]
    responses = {
        "200": _json("Signals and series, cut at the window's end.", {"$ref": "#/components/schemas/Chart"}),
        **_not_modified(),
        "400": _error("An unknown parameter."),
        "404": _error(
            "The feed does not have this market, no feed of that window is stored, or a value looks like a file path."
        ),
        "503": _error("The feed cannot be shown."),
    }
    return {
        **_operation("market", "One market with candles, RSI and lines for a chart", responses),
        "parameters": parameters,
    }


def _operation(name: str, summary: str, responses: Json) -> Json:
    return {"operationId": name, "summary": summary, "responses": responses}


def _json(text: str, schema: Json) -> Json:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _error(text: str) -> Json:
    return _json(text, {"$ref": "#/components/schemas/Error"})


def _not_modified() -> Json:
    return {"304": {"description": "Not modified since the ETag in If-None-Match."}}


def _no_parameters() -> Json:
    return {"400": _error("This address takes no parameters."), "404": _error("A value looks like a file path.")}


def _components() -> Json:
    schema = feed_schema()
    definitions = {name: _rewrite_refs(part) for name, part in schema["$defs"].items()}
    feed = _rewrite_refs({key: value for key, value in schema.items() if key not in ("$schema", "$defs")})
    filtered = {
        **feed,
        "title": "filtered master_feed",
        "properties": {
            **feed["properties"],
            "signals": {"type": "array", "items": {"type": "object"}},
            "selection": _object(matched={"type": "integer"}, given={"type": "integer"}),
        },
        "required": [*feed["required"], "selection"],
    }
    return {
        **definitions,
        "Feed": feed,
        "NarrowedFeed": filtered,
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
            time={"type": "integer", "description": "opening time, epoch ms"},
            through={"type": "integer", "description": "close of its last 15m bar, epoch ms"},
            bars={"type": "integer", "description": "number of closed 15m bars in it", "minimum": 1},
            **{name: {"type": "number"} for name in ("open", "high", "low", "close", "volume")},
        ),
        "description": "the 4h bar forming at the window's end; null if a 4h bar closes at that time",
    }
    segment = _object(time=_TIMES, value=_NUMBERS)
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
        slope={"type": "number", "description": "RSI points per 4h bar"},
        solid={**segment, "description": "between the pivots"},
        projected={**segment, "description": "from the second pivot to the forming bar"},
        touches={"type": ["integer", "null"]},
        reverse_rsi_price={"type": ["number", "null"]},
        strategies={
            "type": "array",
            "items": {"type": "string"},
            "description": "strategies whose breakout broke the line",
        },
    )
    return _object(
        window={"type": "string"},
        as_of={"type": "string"},
        simulated={"type": "boolean"},
        exchange={"type": "string"},
        symbol={"type": "string"},
        signals={"type": "array", "items": {"$ref": "#/components/schemas/Signal"}, "minItems": 1},
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
    """Return the schema of an object whose keys are all required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _rewrite_refs(value: Any) -> Any:
    """Rewrite references to the feed schema's definitions as references into this document."""
    if isinstance(value, dict):
        return {
            key: part.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _rewrite_refs(part)
            for key, part in value.items()
        }
    return [_rewrite_refs(part) for part in value] if isinstance(value, list) else value

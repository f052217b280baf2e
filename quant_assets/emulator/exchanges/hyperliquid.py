"""The info endpoint of Hyperliquid: perpetuals of its own exchange; no spot, no other builders' exchanges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quant_assets.emulator.api import Response
from quant_assets.emulator.exchanges.api import (
    DELISTED_AT,
    ExchangeApi,
    Limit,
    OtherContract,
    Query,
    Route,
    number_text,
    number_texts,
)
from quant_assets.emulator.exchanges.contract import Contract
from quant_assets.emulator.exchanges.venue import Venue
from quant_assets.emulator.noise import hash_fraction

_INTERVALS = {"15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14_400, "8h": 28_800, "12h": 43_200, "1d": 86_400}
_AVAILABLE_BARS = 5000
_MAX_HISTORY = 500
_INFO_WEIGHT = 20
_USDC = {
    "name": "USDC",
    "szDecimals": 8,
    "weiDecimals": 8,
    "index": 0,
    "tokenId": "0x6d1e7cde53ba9467b783cb7c530ce054",
    "isCanonical": True,
    "evmContract": None,
    "fullName": None,
}


def _universe(venue: Venue) -> list[dict[str, Any]]:
    rows = []
    for contract in venue.contracts:
        row: dict[str, Any] = {
            "szDecimals": contract.amount_decimals,
            "name": contract.id,
            "maxLeverage": 10 if contract.perpetual else 3,
        }
        if hash_fraction("isolated", contract.id) < 0.05:
            row["onlyIsolated"] = True
        if not venue.trades(contract):
            row["isDelisted"] = True
        rows.append(row)
    return rows


def _meta(venue: Venue, query: Query) -> Any:
    if query.text("dex", ""):
        return {"universe": [], "marginTables": []}
    return {"universe": _universe(venue), "marginTables": []}


def _meta_and_contexts(venue: Venue, query: Query) -> Any:
    if query.text("dex", ""):
        return [_meta(venue, query), []]
    return [_meta(venue, query), [_context(venue, contract) for contract in venue.contracts]]


def _context(venue: Venue, contract: Contract) -> dict[str, Any]:
    day = venue.summary(contract)
    trades = venue.trades(contract)
    last = day.last or day.open or 1.0
    price = number_text(last)
    return {
        "funding": number_text(venue.funding_rate(contract) if trades else 0.0),
        "openInterest": _with_point(venue.open_interest(contract)),
        "prevDayPx": number_text(day.open or last),
        "dayNtlVlm": _with_point(round(day.quote_volume, 6)),
        "premium": "0.0" if trades else None,
        "oraclePx": price,
        "markPx": price,
        "midPx": price if trades else None,
        "impactPxs": [price, price] if trades else None,
        "dayBaseVlm": _with_point(day.base_volume),
    }


def _with_point(value: float) -> str:
    text = number_text(value)
    return text if "." in text else f"{text}.0"


def _all_mids(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return {
        contract.id: number_text(venue.summary(contract).last) for contract in venue.contracts if venue.trades(contract)
    }


def _candles(venue: Venue, query: Query) -> Any:
    contract = venue.contract(query.text("coin"))
    seconds = query.choice("interval", _INTERVALS)
    start, end = query.integer("startTime", 0) / 1000, query.integer("endTime", venue.now_ms) / 1000
    oldest = (venue.now // seconds - _AVAILABLE_BARS + 1) * seconds
    first = max(start // seconds * seconds, oldest)  # the bar that contains the moment
    bars = venue.bars(contract, seconds, first, end + 0.001)
    names = ("o", "c", "h", "l", "v")
    columns = [number_texts(getattr(bars, name)) for name in names]
    return [
        {
            "t": opened * 1000,
            "T": (opened + seconds) * 1000 - 1,
            "s": contract.id,
            "i": query.text("interval"),
            **dict(zip(names, row, strict=True)),
            "n": 1 + opened // 900 % 97,
        }
        for opened, *row in zip(bars.t.tolist(), *columns, strict=True)
    ]


def _funding_history(venue: Venue, query: Query) -> Any:
    contract = venue.contract(query.text("coin"))
    start, end = query.integer("startTime") / 1000, query.integer("endTime", venue.now_ms) / 1000
    interval = contract.funding_hours * 3600
    first = max(start, contract.listed, venue.now - 180 * 86_400)
    moments, rates = venue.funding_history(contract, first, min(end + 0.001, first + (_MAX_HISTORY + 1) * interval))
    rows = [
        {"coin": contract.id, "fundingRate": number_text(rate), "premium": "0.0", "time": moment * 1000 + 31}
        for moment, rate in zip(moments.tolist(), rates.tolist(), strict=True)
    ]
    return rows[:_MAX_HISTORY]


def _status(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return {"time": venue.now_ms, "specialStatuses": None}


def _exchanges(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return [None]


def _spot(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return {"tokens": [_USDC], "universe": []}


def _spot_and_contexts(venue: Venue, query: Query) -> Any:
    return [_spot(venue, query), []]


def _candle_weight(query: Query, body: Any) -> int:  # noqa: ARG001
    return _INFO_WEIGHT + len(body or ()) // 60


def _funding_weight(query: Query, body: Any) -> int:  # noqa: ARG001
    return _INFO_WEIGHT + len(body or ()) // 20


def _key(path: str, fields: Mapping[str, Any]) -> str:
    return f"{path} {fields.get('type', '')}"


def _unreadable(path: str, now: float) -> Response:  # noqa: ARG001
    return Response(422, b"Failed to deserialize the JSON body into the target type", "text/plain")


API = ExchangeApi(
    name="HYPERLIQUID",
    routes={
        "POST /info meta": Route(_meta, _INFO_WEIGHT),
        "POST /info metaAndAssetCtxs": Route(_meta_and_contexts, _INFO_WEIGHT),
        "POST /info allMids": Route(_all_mids, 2),
        "POST /info candleSnapshot": Route(_candles, _candle_weight),
        "POST /info fundingHistory": Route(_funding_history, _funding_weight),
        "POST /info exchangeStatus": Route(_status, 2),
        "POST /info perpDexs": Route(_exchanges, _INFO_WEIGHT),
        "POST /info spotMeta": Route(_spot, _INFO_WEIGHT),
        "POST /info spotMetaAndAssetCtxs": Route(_spot_and_contexts, _INFO_WEIGHT),
    },
    limit=Limit(1200, 60),
    contract_id=lambda base, quote: base,  # noqa: ARG005
    unknown_contract=lambda id_, now: Response(500, b"null"),  # noqa: ARG005
    bad_parameter=_unreadable,
    unknown_path=_unreadable,
    over_limit=lambda refused: Response(429, b"null"),  # noqa: ARG005
    banned=lambda refused: Response(429, b"null"),  # noqa: ARG005
    funding_hours=(1,),
    other_contracts=(
        OtherContract(id="USELESS", base="USELESS", quote="USDC", settle="USDC", asset="USELESS", delisted=DELISTED_AT),
        OtherContract(id="kPEPE", base="kPEPE", quote="USDC", settle="USDC", asset="PEPE", multiplier=1000),
    ),
    prepare=_key,
)

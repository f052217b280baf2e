"""The public REST API of Bybit, version 5: linear and inverse contracts."""

from __future__ import annotations

from typing import Any

from quant_assets.emulator.api import Response
from quant_assets.emulator.exchanges.api import (
    DATED,
    DELISTED_AT,
    ExchangeApi,
    Limit,
    OtherContract,
    Query,
    Refusal,
    Refused,
    Route,
    json_response,
    number_text,
    number_texts,
)
from quant_assets.emulator.exchanges.contract import Contract
from quant_assets.emulator.exchanges.venue import UnknownContract, Venue

_INTERVALS = {"15": 900, "30": 1800, "60": 3600, "120": 7200, "240": 14_400, "360": 21_600, "720": 43_200, "D": 86_400}
_HISTORY_INTERVALS = {"15min": 900, "30min": 1800, "1h": 3600, "4h": 14_400, "1d": 86_400}
_MAX_BARS = 1000
_MAX_HISTORY = 200


def _body(result: Any, now: float, code: int = 0, message: str = "OK") -> dict[str, Any]:
    return {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": int(now * 1000)}


def _time(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    nanoseconds = int(venue.now * 1e9)
    return _body({"timeSecond": str(nanoseconds // 10**9), "timeNano": str(nanoseconds)}, venue.now)


def _status(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return _body({"list": []}, venue.now)


def _instruments(venue: Venue, query: Query) -> Any:
    category, status = query.text("category"), query.text("status", "")
    size = query.limit(500, 1000)
    rows = [
        _instrument(venue, contract)
        for contract in _of_category(venue, category)
        if not status or _status_of(venue, contract) == status
    ]
    start = query.integer("cursor", 0)
    more = str(start + size) if start + size < len(rows) else ""
    return _body({"category": category, "list": rows[start : start + size], "nextPageCursor": more}, venue.now)


def _instrument(venue: Venue, contract: Contract) -> dict[str, Any]:
    step = "1" if contract.inverse else number_text(float(f"1e-{contract.amount_decimals}"))
    kind = "Inverse" if contract.inverse else "Linear"
    return {
        "symbol": contract.id,
        "contractType": kind + ("Perpetual" if contract.perpetual else "Futures"),
        "status": _status_of(venue, contract),
        "baseCoin": contract.base,
        "quoteCoin": contract.quote,
        "launchTime": str(contract.listed * 1000),
        "deliveryTime": str((contract.expires or 0) * 1000),
        "deliveryFeeRate": "" if contract.perpetual else "0.0005",
        "priceScale": str(contract.price_decimals),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "50.00", "leverageStep": "0.01"},
        "priceFilter": {
            "minPrice": number_text(contract.tick),
            "maxPrice": "1999999.80",
            "tickSize": number_text(contract.tick),
        },
        "lotSizeFilter": {
            "maxOrderQty": "1000000",
            "minOrderQty": step,
            "qtyStep": step,
            "postOnlyMaxOrderQty": "1000000",
            "maxMktOrderQty": "100000",
            "minNotionalValue": "" if contract.inverse else "5",
        },
        "unifiedMarginTrade": True,
        "fundingInterval": contract.funding_hours * 60,
        "settleCoin": contract.settle,
        "copyTrading": "none",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.05", "priceLimitRatioY": "0.1"},
        "displayName": "",
    }


def _status_of(venue: Venue, contract: Contract) -> str:
    return "Trading" if venue.trades(contract) else "Closed"


def _of_category(venue: Venue, category: str) -> list[Contract]:
    """Return the contracts of a category; spot and options are served without any."""
    if category in ("spot", "option"):
        return []
    if category not in ("linear", "inverse"):
        raise _refused(10001, "params error: Category is invalid", venue.now)
    return [contract for contract in venue.contracts if contract.inverse == (category == "inverse")]


def _tickers(venue: Venue, query: Query) -> Any:
    category, id_ = query.text("category"), query.text("symbol", "")
    contracts = [contract for contract in _of_category(venue, category) if venue.trades(contract)]
    if id_:
        contracts = [contract for contract in contracts if contract.id == id_]
        if not contracts:
            raise UnknownContract(id_)
    return _body({"category": category, "list": [_ticker(venue, contract) for contract in contracts]}, venue.now)


def _ticker(venue: Venue, contract: Contract) -> dict[str, Any]:
    day = venue.summary(contract)
    interest = venue.open_interest(contract)
    value = interest * day.last
    volumes = (day.base_volume, day.quote_volume)
    if contract.inverse:
        volumes, interest, value = volumes[::-1], round(value), interest
    volume, turnover = volumes
    last = number_text(day.last)
    return {
        "symbol": contract.id,
        "lastPrice": last,
        "indexPrice": last,
        "markPrice": last,
        "prevPrice24h": number_text(day.open),
        "price24hPcnt": number_text(day.change),
        "highPrice24h": number_text(day.high),
        "lowPrice24h": number_text(day.low),
        "prevPrice1h": last,
        "openInterest": number_text(interest),
        "openInterestValue": number_text(round(value, 2)),
        "turnover24h": number_text(turnover),
        "volume24h": number_text(volume),
        "fundingRate": number_text(venue.funding_rate(contract)) if contract.perpetual else "",
        "fundingIntervalHour": str(contract.funding_hours) if contract.perpetual else "",
        "nextFundingTime": str(venue.next_funding(contract) * 1000) if contract.perpetual else "0",
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "deliveryFeeRate": "",
        "deliveryTime": str((contract.expires or 0) * 1000),
        "ask1Size": "1",
        "bid1Price": last,
        "ask1Price": number_text(round(day.last + contract.tick, contract.price_decimals)),
        "bid1Size": "1",
    }


def _kline(venue: Venue, query: Query) -> Any:
    contract = _contract(venue, query)
    seconds = query.choice("interval", _INTERVALS)
    count = query.limit(200, _MAX_BARS)
    start, end = query.optional("start"), query.optional("end")
    if start is None:
        bars = venue.newest_bars(contract, seconds, count, None if end is None else end / 1000 + 1)
    else:
        first = start / 1000 // seconds * seconds  # the bar that contains the moment
        stop = first + count * seconds if end is None else end / 1000 + 0.001
        bars = venue.bars(contract, seconds, max(first, stop - count * seconds), stop)
    turnover = (bars.v * (bars.h + bars.l + bars.c) / 3).round(4)
    volumes = (turnover.round(), bars.v) if contract.inverse else (bars.v, turnover)
    columns = [[str(opened * 1000) for opened in bars.t.tolist()]]
    columns += [number_texts(column) for column in (bars.o, bars.h, bars.l, bars.c, *volumes)]
    rows = [list(row) for row in zip(*columns, strict=True)][::-1]
    return _body({"symbol": contract.id, "category": query.text("category", "linear"), "list": rows}, venue.now)


def _open_interest(venue: Venue, query: Query) -> Any:
    contract = _contract(venue, query)
    seconds = query.choice("intervalTime", _HISTORY_INTERVALS)
    count = query.limit(50, _MAX_HISTORY)
    stop = (query.optional("endTime") or venue.now_ms) / 1000 + 0.001
    stop = min(stop, query.integer("cursor", int(stop) + 1))
    start = max((query.optional("startTime") or 0) / 1000, stop - 30 * 86_400, stop - (count + 1) * seconds)
    moments, interest = venue.open_interest_history(contract, seconds, start, stop)
    kept = list(zip(moments.tolist(), interest.tolist(), strict=True))[-count:][::-1]
    rows = [{"openInterest": number_text(value), "timestamp": str(moment * 1000)} for moment, value in kept]
    more = str(kept[-1][0]) if len(kept) == count else ""
    result = {"symbol": contract.id, "category": query.text("category", "linear"), "list": rows}
    return _body(result | {"nextPageCursor": more}, venue.now)


def _funding(venue: Venue, query: Query) -> Any:
    contract = _contract(venue, query)
    count = query.limit(200, 200)
    stop = (query.optional("endTime") or venue.now_ms) / 1000 + 0.001
    start = max((query.optional("startTime") or 0) / 1000, stop - (count + 1) * contract.funding_hours * 3600)
    moments, rates = venue.funding_history(contract, start, stop)
    rows = [
        {"symbol": contract.id, "fundingRate": number_text(rate), "fundingRateTimestamp": str(moment * 1000)}
        for moment, rate in zip(moments.tolist(), rates.tolist(), strict=True)
    ]
    result = {"category": query.text("category", "linear"), "list": rows[-count:][::-1]}
    return _body(result, venue.now)


def _contract(venue: Venue, query: Query) -> Contract:
    contract = venue.contract(query.text("symbol"))
    if contract.inverse != (query.text("category", "linear") == "inverse"):
        raise UnknownContract(contract.id)
    return contract


def _error(code: int, message: str, now: float) -> Response:
    return json_response(_body({}, now, code, message))


def _refused(code: int, message: str, now: float) -> Refusal:
    return Refusal(_error(code, message, now))


def _too_frequent(refused: Refused) -> Response:  # noqa: ARG001
    return Response(403, b"access too frequent", "text/plain")


API = ExchangeApi(
    name="BYBIT",
    routes={
        "GET /v5/market/time": Route(_time),
        "GET /v5/system/status": Route(_status),
        "GET /v5/market/instruments-info": Route(_instruments),
        "GET /v5/market/tickers": Route(_tickers),
        "GET /v5/market/kline": Route(_kline),
        "GET /v5/market/open-interest": Route(_open_interest),
        "GET /v5/market/funding/history": Route(_funding),
    },
    limit=Limit(600, 5, ban_seconds=600),
    contract_id=lambda base, quote: f"{base}PERP" if quote == "USDC" else f"{base}{quote}",
    unknown_contract=lambda id_, now: _error(10001, "params error: symbol invalid", now),  # noqa: ARG005
    bad_parameter=lambda name, now: _error(10001, f"params error: {name} invalid", now),
    unknown_path=lambda path, now: Response(404, b"", "text/plain"),  # noqa: ARG005
    over_limit=_too_frequent,
    banned=_too_frequent,
    other_contracts=(
        OtherContract(id="BTC-31DEC27", base="BTC", quote="USDT", settle="USDT", expires=DATED),
        OtherContract(id="BTCUSDZ27", base="BTC", quote="USD", settle="BTC", expires=DATED, inverse=True),
        OtherContract(id="ETHUSD", base="ETH", quote="USD", settle="ETH", asset="ETH", inverse=True),
        OtherContract(
            id="USELESSUSDT", base="USELESS", quote="USDT", settle="USDT", asset="USELESS", delisted=DELISTED_AT
        ),
        OtherContract(id="1000PEPEUSDT", base="1000PEPE", quote="USDT", settle="USDT", asset="PEPE", multiplier=1000),
    ),
)

"""The public futures API of Bitget, version 2, and the empty spot and margin lists that ccxt asks for."""

from __future__ import annotations

from typing import Any

from quant_assets.emulator.api import Response
from quant_assets.emulator.exchanges.api import (
    DATED,
    DELISTED_AT,
    BadParameter,
    ExchangeApi,
    Limit,
    OtherContract,
    Query,
    Refused,
    Route,
    json_response,
    number_text,
    number_texts,
)
from quant_assets.emulator.exchanges.contract import Contract
from quant_assets.emulator.exchanges.venue import UnknownContract, Venue

_GRANULARITIES = {"15m": 900, "30m": 1800, "1H": 3600, "2H": 7200, "4H": 14_400} | {
    "6Hutc": 21_600,
    "12Hutc": 43_200,
    "1Dutc": 86_400,
}
#: How many days the endpoint for recent bars reaches back, by the length of a bar in seconds.
_RECENT_DAYS = {900: 30, 1800: 30, 3600: 60, 7200: 120, 14_400: 240, 21_600: 360}
_MAX_RECENT, _MAX_OLDER = 1000, 200
_QUOTES = {"USDT-FUTURES": "USDT", "USDC-FUTURES": "USDC", "COIN-FUTURES": "USD"}
_SIMULATED = ("SUSDT-FUTURES", "SUSDC-FUTURES", "SCOIN-FUTURES")


def _body(data: Any, venue: Venue) -> dict[str, Any]:
    return {"code": "00000", "msg": "success", "requestTime": venue.now_ms, "data": data}


def _time(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return _body({"serverTime": str(venue.now_ms)}, venue)


def _none(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return _body([], venue)


def _of_product(venue: Venue, query: Query) -> list[Contract]:
    product = query.text("productType").upper()
    if product in _SIMULATED:
        return []
    if product not in _QUOTES:
        raise BadParameter("productType")
    return [contract for contract in venue.contracts if contract.quote == _QUOTES[product]]


def _contract(venue: Venue, query: Query) -> Contract:
    id_ = query.text("symbol")
    for contract in _of_product(venue, query):
        if contract.id == id_:
            return contract
    raise UnknownContract(id_)


def _traded(venue: Venue, query: Query) -> list[Contract]:
    """Return the contracts of a product that are traded, or the one that the request names."""
    if query.text("symbol", ""):
        contract = _contract(venue, query)
        if not venue.trades(contract):
            raise UnknownContract(contract.id)
        return [contract]
    return [contract for contract in _of_product(venue, query) if venue.trades(contract)]


def _contracts(venue: Venue, query: Query) -> Any:
    return _body([_row(venue, contract) for contract in _of_product(venue, query)], venue)


def _row(venue: Venue, contract: Contract) -> dict[str, Any]:
    step = number_text(float(f"1e-{contract.amount_decimals}"))
    dated = contract.expires is not None
    return {
        "symbol": contract.id,
        "baseCoin": contract.base,
        "quoteCoin": contract.quote,
        "buyLimitPriceRatio": "0.01",
        "sellLimitPriceRatio": "0.01",
        "feeRateUpRatio": "0.005",
        "makerFeeRate": "0.0002",
        "takerFeeRate": "0.0006",
        "openCostUpRatio": "0.01",
        "supportMarginCoins": [contract.settle, "ETH", "USDE"] if contract.inverse else [contract.settle],
        "minTradeNum": step,
        "priceEndStep": "1",
        "volumePlace": str(contract.amount_decimals),
        "pricePlace": str(contract.price_decimals),
        "sizeMultiplier": step,
        "symbolType": "delivery" if dated else "perpetual",
        "minTradeUSDT": "5",
        "maxSymbolOrderNum": "200",
        "maxProductOrderNum": "400",
        "maxPositionNum": "150",
        "symbolStatus": "normal" if venue.trades(contract) else "off",
        "offTime": "-1" if contract.delisted is None else str(contract.delisted * 1000),
        "limitOpenTime": "-1",
        "deliveryTime": str(contract.expires * 1000) if contract.expires is not None else "",
        "deliveryStartTime": str(contract.listed * 1000) if dated else "",
        "deliveryPeriod": "this_quarter" if dated else "",
        "launchTime": str(contract.listed * 1000),
        "fundInterval": "" if dated else str(contract.funding_hours),
        "minLever": "1",
        "maxLever": "50",
        "posLimit": "0.05",
        "maintainTime": "",
    }


def _tickers(venue: Venue, query: Query) -> Any:
    return _body([_ticker(venue, contract) for contract in _traded(venue, query)], venue)


def _ticker(venue: Venue, contract: Contract) -> dict[str, Any]:
    day = venue.summary(contract)
    last = number_text(day.last)
    change = number_text(round(day.change, 5))
    return {
        "symbol": contract.id,
        "lastPr": last,
        "askPr": number_text(round(day.last + contract.tick, contract.price_decimals)),
        "bidPr": last,
        "bidSz": "1",
        "askSz": "1",
        "high24h": number_text(day.high),
        "low24h": number_text(day.low),
        "ts": str(venue.now_ms),
        "change24h": change,
        "baseVolume": number_text(day.base_volume),
        "quoteVolume": number_text(day.quote_volume),
        "usdtVolume": number_text(day.quote_volume),
        "openUtc": number_text(day.open),
        "changeUtc24h": change,
        "indexPrice": last,
        "fundingRate": number_text(venue.funding_rate(contract)) if contract.perpetual else "",
        "holdingAmount": number_text(venue.open_interest(contract)),
        "deliveryStartTime": None,
        "deliveryTime": None if contract.expires is None else str(contract.expires * 1000),
        "deliveryStatus": "" if contract.perpetual else "delivery_normal",
        "open24h": number_text(day.open),
        "markPrice": last,
    }


def _recent(venue: Venue, query: Query) -> Any:
    seconds = query.choice("granularity", _GRANULARITIES)
    oldest = venue.now - _RECENT_DAYS.get(seconds, 720) * 86_400
    return _candles(venue, query, query.limit(100, _MAX_RECENT), oldest)


def _older(venue: Venue, query: Query) -> Any:
    return _candles(venue, query, query.limit(100, _MAX_OLDER), 0)


def _candles(venue: Venue, query: Query, count: int, oldest: float) -> Any:
    """Return the newest bars that open from the start on and before the end."""
    contract = _contract(venue, query)
    seconds = query.choice("granularity", _GRANULARITIES)
    start, end = query.integer("startTime", 0) / 1000, query.optional("endTime")
    bars = venue.newest_bars(contract, seconds, count, venue.now + 1 if end is None else end / 1000)
    kept = (bars.t >= max(start, oldest)).tolist()
    quote = (bars.v * (bars.h + bars.l + bars.c) / 3).round(4)
    columns = [[str(opened * 1000) for opened in bars.t.tolist()]]
    columns += [number_texts(column) for column in (bars.o, bars.h, bars.l, bars.c, bars.v, quote)]
    rows = [list(row) for row, wanted in zip(zip(*columns, strict=True), kept, strict=True) if wanted]
    return _body(rows, venue)


def _interest(venue: Venue, query: Query) -> Any:
    contract = _contract(venue, query)
    row = {"symbol": contract.id, "size": number_text(venue.open_interest(contract))}
    return _body({"openInterestList": [row], "ts": str(venue.now_ms)}, venue)


def _funding(venue: Venue, query: Query) -> Any:
    rows = [
        {
            "symbol": contract.id,
            "fundingRate": number_text(venue.funding_rate(contract)),
            "fundingRateInterval": str(contract.funding_hours),
            "nextUpdate": str(venue.next_funding(contract) * 1000),
            "minFundingRate": "-0.003",
            "maxFundingRate": "0.003",
        }
        for contract in _traded(venue, query)
        if contract.perpetual
    ]
    return _body(rows, venue)


def _funding_history(venue: Venue, query: Query) -> Any:
    contract = _contract(venue, query)
    size, page = query.limit(20, 100, "pageSize"), query.integer("pageNo", 1)
    moments, rates = venue.funding_history(contract, venue.now - 90 * 86_400, venue.now)
    paid = list(zip(moments.tolist(), rates.tolist(), strict=True))[::-1]
    rows = [
        {"symbol": contract.id, "fundingRate": number_text(rate), "fundingTime": str(moment * 1000)}
        for moment, rate in paid[(page - 1) * size : page * size]
    ]
    return _body(rows, venue)


def _error(code: str, message: str, now: float, status: int = 400) -> Response:
    return json_response({"code": code, "msg": message, "requestTime": int(now * 1000), "data": None}, status)


def _too_many(refused: Refused) -> Response:
    return _error("429", "Too Many Requests", refused.now, 429)


API = ExchangeApi(
    name="BITGET",
    routes={
        "GET /api/v2/public/time": Route(_time),
        "GET /api/v2/spot/public/coins": Route(_none),
        "GET /api/v2/spot/public/symbols": Route(_none),
        "GET /api/v2/spot/market/tickers": Route(_none),
        "GET /api/v2/margin/currencies": Route(_none),
        "GET /api/v2/mix/market/contracts": Route(_contracts),
        "GET /api/v2/mix/market/tickers": Route(_tickers),
        "GET /api/v2/mix/market/ticker": Route(_tickers),
        "GET /api/v2/mix/market/candles": Route(_recent),
        "GET /api/v2/mix/market/history-candles": Route(_older),
        "GET /api/v2/mix/market/open-interest": Route(_interest),
        "GET /api/v2/mix/market/current-fund-rate": Route(_funding),
        "GET /api/v2/mix/market/history-fund-rate": Route(_funding_history),
    },
    limit=Limit(20, 1, per_endpoint=True),
    contract_id=lambda base, quote: f"{base}PERP" if quote == "USDC" else f"{base}{quote}",
    unknown_contract=lambda id_, now: _error("40034", "Parameter does not exist", now),  # noqa: ARG005
    bad_parameter=lambda name, now: _error("400172", f"Parameter verification failed {name}", now),
    unknown_path=lambda path, now: _error("40404", "Request URL NOT FOUND", now, 404),  # noqa: ARG005
    over_limit=_too_many,
    banned=_too_many,
    other_contracts=(
        OtherContract(id="BTCUSDZ27", base="BTC", quote="USD", settle="BTC", expires=DATED, inverse=True),
        OtherContract(id="BTCUSD", base="BTC", quote="USD", settle="BTC", inverse=True),
        OtherContract(id="ETHPERP", base="ETH", quote="USDC", settle="USDC", asset="ETH"),
        OtherContract(
            id="USELESSUSDT", base="USELESS", quote="USDT", settle="USDT", asset="USELESS", delisted=DELISTED_AT
        ),
        OtherContract(id="1000BONKUSDT", base="1000BONK", quote="USDT", settle="USDT", asset="BONK", multiplier=1000),
    ),
)

"""The public futures API of KuCoin, and the parts of its unified API that give open interest and funding."""

from __future__ import annotations

from typing import Any

from quant_assets.emulator.api import Response
from quant_assets.emulator.exchanges.api import (
    DATED,
    ExchangeApi,
    Limit,
    OtherContract,
    Query,
    Refused,
    Route,
    json_number,
    json_response,
    number_text,
)
from quant_assets.emulator.exchanges.contract import Contract
from quant_assets.emulator.exchanges.venue import UnknownContract, Venue
from quant_assets.emulator.history import to_json_numbers

_GRANULARITIES = {"15": 900, "30": 1800, "60": 3600, "120": 7200, "240": 14_400, "480": 28_800, "720": 43_200} | {
    "1440": 86_400
}
_HISTORY_INTERVALS = {"15min": 900, "30min": 1800, "1hour": 3600, "4hour": 14_400, "1day": 86_400}
_MAX_BARS = 200
_MAX_SYMBOLS = 10


def _body(data: Any) -> dict[str, Any]:
    return {"code": "200000", "data": data}


def _time(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return _body(venue.now_ms)


def _status(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return _body({"msg": "", "status": "open"})


def _currencies(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return _body([])


def _active(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return _body([_row(venue, contract) for contract in _traded(venue)])


def _one(venue: Venue, query: Query) -> Any:
    return _body(_row(venue, _traded_contract(venue, query.path[0])))


def _row(venue: Venue, contract: Contract) -> dict[str, Any]:
    day = venue.summary(contract)
    rate = venue.funding_rate(contract) if contract.perpetual else None
    stem = contract.id.removesuffix("M")
    multiplier: float = -1 if contract.inverse else contract.size
    return {
        "symbol": contract.id,
        "rootSymbol": contract.settle,
        "type": "FFWCSX" if contract.perpetual else "FFICSX",
        "firstOpenDate": contract.listed * 1000,
        "expireDate": None if contract.expires is None else contract.expires * 1000,
        "settleDate": None if contract.expires is None else contract.expires * 1000,
        "baseCurrency": contract.base,
        "quoteCurrency": contract.quote,
        "settleCurrency": contract.settle,
        "maxOrderQty": 1_000_000,
        "maxPrice": 1_000_000.0,
        "lotSize": 1,
        "tickSize": contract.tick,
        "indexPriceTickSize": contract.tick,
        "multiplier": json_number(multiplier),
        "initialMargin": 0.02,
        "maintainMargin": 0.01,
        "maxRiskLimit": 25_000,
        "minRiskLimit": 25_000,
        "riskStep": 12_500,
        "makerFeeRate": 0.0002,
        "takerFeeRate": 0.0006,
        "takerFixFee": 0.0,
        "makerFixFee": 0.0,
        "settlementFee": None,
        "isDeleverage": True,
        "isQuanto": not contract.inverse,
        "isInverse": contract.inverse,
        "markMethod": "FairPrice",
        "fairMethod": "FundingRate",
        "fundingBaseSymbol": f".{contract.base}INT8H",
        "fundingQuoteSymbol": f".{contract.quote}INT8H",
        "fundingRateSymbol": _index_of(contract) if contract.perpetual else None,
        "indexSymbol": f".K{contract.base}{contract.quote}",
        "settlementSymbol": "",
        "status": "Open",
        "fundingFeeRate": rate,
        "predictedFundingFeeRate": rate,
        "fundingRateGranularity": contract.funding_hours * 3_600_000 if contract.perpetual else None,
        "openInterest": number_text(contract.contracts(venue.open_interest(contract), day.last)),
        "turnoverOf24h": -day.base_volume if contract.inverse else day.quote_volume,
        "volumeOf24h": round(day.quote_volume) if contract.inverse else day.base_volume,
        "markPrice": json_number(day.last),
        "indexPrice": json_number(day.last),
        "lastTradePrice": json_number(day.last),
        "nextFundingRateTime": venue.next_funding(contract) * 1000 - venue.now_ms if contract.perpetual else None,
        "maxLeverage": 50,
        "sourceExchanges": ["okex", "binance", "kucoin", "bybit", "bitget", "bitmart", "gateio"],
        "premiumsSymbol1M": f".{stem}MPI",
        "premiumsSymbol8H": f".{stem}MPI8H",
        "fundingBaseSymbol1M": f".{contract.base}INT",
        "fundingQuoteSymbol1M": f".{contract.quote}INT",
        "lowPrice": json_number(day.low),
        "highPrice": json_number(day.high),
        "priceChgPct": round(day.change, 4),
        "priceChg": round(day.last - day.open, contract.price_decimals),
    }


def _index_of(contract: Contract) -> str:
    return f".{contract.id}FPI{contract.funding_hours}H"


def _ticker(venue: Venue, query: Query) -> Any:
    return _body(_ticker_of(venue, _traded_contract(venue, query.text("symbol"))))


def _all_tickers(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return _body([_ticker_of(venue, contract) for contract in _traded(venue)])


def _ticker_of(venue: Venue, contract: Contract) -> dict[str, Any]:
    price = venue.summary(contract).last
    return {
        "sequence": venue.now_ms,
        "symbol": contract.id,
        "side": "buy",
        "size": 1,
        "tradeId": str(venue.now_ms),
        "price": number_text(price),
        "bestBidPrice": number_text(price),
        "bestBidSize": 1,
        "bestAskPrice": number_text(round(price + contract.tick, contract.price_decimals)),
        "bestAskSize": 1,
        "ts": venue.now_ms * 1_000_000,
    }


def _kline(venue: Venue, query: Query) -> Any:
    contract = venue.contract(query.text("symbol"))
    seconds = query.choice("granularity", _GRANULARITIES)
    start, end = query.optional("from"), query.integer("to", venue.now_ms)
    stop = end / 1000 + 0.001
    if start is None:
        bars = venue.newest_bars(contract, seconds, _MAX_BARS, stop)
    else:
        # A range of more than the maximum gives the bars closest to its start.
        first = -(-start // (seconds * 1000)) * seconds
        bars = venue.bars(contract, seconds, first, min(stop, first + _MAX_BARS * seconds))
    columns = (bars.o, bars.h, bars.l, bars.c)
    volumes = to_json_numbers(contract.all_contracts(bars.v, bars.c))
    rows = zip((bars.t * 1000).tolist(), *(column.tolist() for column in columns), volumes, strict=True)
    return _body([list(row) for row in rows])


def _funding(venue: Venue, query: Query) -> Any:
    contract = _traded_contract(venue, query.path[0])
    milliseconds = contract.funding_hours * 3_600_000
    coming = venue.next_funding(contract) * 1000
    return _body(
        {
            "symbol": _index_of(contract),
            "granularity": milliseconds,
            "timePoint": coming - milliseconds,
            "value": venue.funding_rate(contract),
            "dailyInterestRate": 0.0003,
            "fundingRateCap": 0.00375,
            "fundingRateFloor": -0.00375,
            "period": 1,
            "fundingTime": coming,
        }
    )


def _funding_of_all(venue: Venue, query: Query) -> Any:
    """Return the rates of the asked contracts, of all without a symbol; each also under the name of its index."""
    rows = []
    for contract in _asked(venue, query):
        if not contract.perpetual:
            continue
        milliseconds = contract.funding_hours * 3_600_000
        row = {
            "symbol": contract.id,
            "nextFundingRate": number_text(venue.funding_rate(contract)),
            "fundingTime": venue.next_funding(contract) * 1000,
            "fundingRateCap": "0.003",
            "fundingRateFloor": "-0.003",
            "currentGranularity": milliseconds,
            "newGranularity": milliseconds,
            "newGranularityStartTime": 1_750_147_200_000,
        }
        rows += [row, row | {"symbol": _index_of(contract)}]
    return _body(rows)


def _funding_history(venue: Venue, query: Query) -> Any:
    contract = venue.contract(query.text("symbol"))
    start, end = query.integer("from") / 1000, query.integer("to") / 1000
    moments, rates = venue.funding_history(contract, max(start, venue.now - 90 * 86_400), end + 0.001)
    rows = [
        {"symbol": contract.id, "fundingRate": rate, "timepoint": moment * 1000}
        for moment, rate in zip(moments.tolist(), rates.tolist(), strict=True)
    ]
    return _body(rows[-100:][::-1])


def _open_interest(venue: Venue, query: Query) -> Any:
    """Return the open interest now, in lots, or with an interval the history of one contract."""
    if query.text("interval", ""):
        return _body(_open_interest_history(venue, query))
    return _body([_interest_row(venue, contract, venue.now_ms) for contract in _asked(venue, query)])


def _open_interest_history(venue: Venue, query: Query) -> list[dict[str, Any]]:
    contract = venue.contract(query.text("symbol"))
    seconds = query.choice("interval", _HISTORY_INTERVALS)
    size = query.limit(30, 200, "pageSize")
    stop = query.integer("endAt", venue.now_ms) / 1000 + 0.001
    start = max(query.integer("startAt", 0) / 1000, stop - (size + 1) * seconds)
    price = venue.summary(contract).last
    moments, interest = venue.open_interest_history(contract, seconds, start, stop)
    rows = [
        {"symbol": contract.id, "openInterest": number_text(contract.contracts(value, price)), "ts": moment * 1000}
        for moment, value in zip(moments.tolist(), interest.tolist(), strict=True)
    ]
    return rows[-size:][::-1]


def _interest_row(venue: Venue, contract: Contract, moment_ms: int) -> dict[str, Any]:
    amount = contract.contracts(venue.open_interest(contract), venue.summary(contract).last)
    return {"symbol": contract.id, "openInterest": number_text(amount), "ts": moment_ms}


def _asked(venue: Venue, query: Query) -> list[Contract]:
    names = query.text("symbol", "")
    if not names:
        return _traded(venue)
    if len(names.split(",")) > _MAX_SYMBOLS:
        raise UnknownContract(names)
    return [_traded_contract(venue, name) for name in names.split(",")]


def _traded(venue: Venue) -> list[Contract]:
    return [contract for contract in venue.contracts if venue.trades(contract)]


def _traded_contract(venue: Venue, id_: str) -> Contract:
    contract = venue.contract(id_)
    if not venue.trades(contract):
        raise UnknownContract(id_)
    return contract


def _error(code: str, message: str, status: int = 200) -> Response:
    return json_response({"code": code, "msg": message}, status)


def _over_limit(refused: Refused) -> Response:
    headers = {
        "gw-ratelimit-limit": str(refused.limit.weight),
        "gw-ratelimit-remaining": "0",
        "gw-ratelimit-reset": str(int(refused.wait_seconds * 1000) + 1),
    }
    body = {"code": "429000", "msg": "Too many requests in a short period of time, please retry later"}
    return json_response(body, 429, headers)


API = ExchangeApi(
    name="KUCOIN",
    routes={
        "GET /api/v1/timestamp": Route(_time, 2),
        "GET /api/v1/status": Route(_status, 4),
        "GET /api/v3/currencies": Route(_currencies, 3),
        "GET /api/v1/contracts/active": Route(_active, 3),
        "GET /api/v1/contracts/{}": Route(_one, 3),
        "GET /api/v1/ticker": Route(_ticker, 2),
        "GET /api/v1/allTickers": Route(_all_tickers, 5),
        "GET /api/v1/kline/query": Route(_kline, 3),
        "GET /api/v1/funding-rate/{}/current": Route(_funding, 2),
        "GET /api/v1/contract/funding-rates": Route(_funding_history, 5),
        "GET /api/ua/v1/market/open-interest": Route(_open_interest, 10),
        "GET /api/ua/v2/market/funding-rate": Route(_funding_of_all, 3),
    },
    limit=Limit(2000, 30),
    contract_id=lambda base, quote: f"{base}{quote}M",
    unknown_contract=lambda id_, now: _error("100001", "Contract.not.exist"),  # noqa: ARG005
    bad_parameter=lambda name, now: _error("400100", f"Parameter error: {name}"),  # noqa: ARG005
    unknown_path=lambda path, now: _error("404", "Not Found", 404),  # noqa: ARG005
    over_limit=_over_limit,
    banned=_over_limit,
    counts_contracts=True,
    headers=lambda spent, limit: {
        "gw-ratelimit-limit": str(limit.weight),
        "gw-ratelimit-remaining": str(max(0, limit.weight - spent)),
        "gw-ratelimit-reset": str(int(limit.seconds * 1000)),
    },
    other_contracts=(
        OtherContract(id="XBTMZ27", base="XBT", quote="USD", settle="XBT", expires=DATED, inverse=True),
        OtherContract(id="XBTUSDM", base="XBT", quote="USD", settle="XBT", inverse=True),
        OtherContract(id="ETHUSDCM", base="ETH", quote="USDC", settle="USDC", asset="ETH", size=0.01),
        OtherContract(id="PEPEUSDTM", base="PEPE", quote="USDT", settle="USDT", asset="PEPE", size=100_000.0),
    ),
)

"""The public API of Binance for contracts that are margined in stablecoins (fapi)."""

from __future__ import annotations

from math import ceil
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

_INTERVALS = {"15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14_400, "6h": 21_600, "8h": 28_800} | {
    "12h": 43_200,
    "1d": 86_400,
}
_PERIODS = {"15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14_400, "6h": 21_600, "12h": 43_200, "1d": 86_400}
_NO_DATE = 4_133_404_800_000
_MAX_BARS = 1500
_HISTORY_DAYS = 30
#: Tickers, prices and funding of all contracts cost more than those of one.
_ALL_TICKERS, _ALL_PRICES = 40, 10


def _nothing(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return {}


def _time(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return {"serverTime": venue.now_ms}


def _status(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return {"status": 0, "msg": "normal"}


def _linear(venue: Venue) -> list[Contract]:
    return [contract for contract in venue.contracts if not contract.inverse]


def _info(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": API.limit.weight}
    return {
        "timezone": "UTC",
        "serverTime": venue.now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [limit],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [_row(venue, contract) for contract in _linear(venue)],
    }


def _row(venue: Venue, contract: Contract) -> dict[str, Any]:
    tick, step = number_text(contract.tick), number_text(float(f"1e-{contract.amount_decimals}"))
    return {
        "symbol": contract.id,
        "pair": f"{contract.base}{contract.quote}",
        "contractType": "PERPETUAL" if contract.perpetual else "CURRENT_QUARTER",
        "deliveryDate": _NO_DATE if contract.expires is None else contract.expires * 1000,
        "onboardDate": contract.listed * 1000,
        "status": "TRADING" if venue.trades(contract) else "SETTLING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": contract.base,
        "quoteAsset": contract.quote,
        "marginAsset": contract.settle,
        "pricePrecision": contract.price_decimals,
        "quantityPrecision": contract.amount_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764", "tickSize": tick},
            {"filterType": "LOT_SIZE", "stepSize": step, "minQty": step, "maxQty": "10000000"},
            {"filterType": "MARKET_LOT_SIZE", "stepSize": step, "minQty": step, "maxQty": "1000000"},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def _klines(venue: Venue, query: Query) -> Any:
    contract = _contract(venue, query.text("symbol"))
    seconds = query.choice("interval", _INTERVALS)
    count = query.limit(500, _MAX_BARS)
    start, end = query.optional("startTime"), query.optional("endTime")
    stop = venue.now + 1 if end is None else end / 1000 + 0.001
    if start is None:
        bars = venue.newest_bars(contract, seconds, count, stop)
    else:
        first = max(-(-start // (seconds * 1000)) * seconds, contract.listed // seconds * seconds)
        bars = venue.bars(contract, seconds, first, min(stop, first + count * seconds))
    quote = (bars.v * (bars.h + bars.l + bars.c) / 3).round(4)
    prices = [number_texts(column) for column in (bars.o, bars.h, bars.l, bars.c)]
    volumes = [number_texts(column) for column in (bars.v, quote)]
    half, half_quote = number_texts((bars.v / 2).round(3)), number_texts((quote / 2).round(4))
    opens = (bars.t * 1000).tolist()
    columns = zip(opens, *prices, *volumes, half, half_quote, strict=True)
    return [
        [opened, o, h, low, c, v, opened + seconds * 1000 - 1, q, 1 + opened // 900_000 % 97, hv, hq, "0"]
        for opened, o, h, low, c, v, q, hv, hq in columns
    ]


def _klines_weight(query: Query, body: Any) -> int:  # noqa: ARG001
    text = query.text("limit", "500")
    count = int(text) if text.isdecimal() else 500
    return next((weight for most, weight in ((99, 1), (499, 2), (1000, 5)) if count <= most), 10)


def _tickers(venue: Venue, query: Query) -> Any:
    id_ = query.text("symbol", "")
    if id_:
        return _ticker(venue, _traded(venue, id_))
    return [_ticker(venue, contract) for contract in _linear(venue) if venue.trades(contract)]


def _tickers_weight(query: Query, body: Any) -> int:  # noqa: ARG001
    return 1 if query.text("symbol", "") else _ALL_TICKERS


def _ticker(venue: Venue, contract: Contract) -> dict[str, Any]:
    day = venue.summary(contract)
    return {
        "symbol": contract.id,
        "priceChange": number_text(round(day.last - day.open, contract.price_decimals)),
        "priceChangePercent": number_text(round(day.change * 100, 3)),
        "weightedAvgPrice": number_text(round(day.quote_volume / (day.base_volume or 1.0), contract.price_decimals)),
        "lastPrice": number_text(day.last),
        "lastQty": "1",
        "openPrice": number_text(day.open),
        "highPrice": number_text(day.high),
        "lowPrice": number_text(day.low),
        "volume": number_text(day.base_volume),
        "quoteVolume": number_text(day.quote_volume),
        "openTime": venue.now_ms - 86_400_000,
        "closeTime": venue.now_ms,
        "firstId": 1,
        "lastId": 100_000,
        "count": 100_000,
    }


def _prices(venue: Venue, query: Query) -> Any:
    id_ = query.text("symbol", "")
    if id_:
        return _price(venue, _traded(venue, id_))
    return [_price(venue, contract) for contract in _linear(venue) if venue.trades(contract)]


def _prices_weight(query: Query, body: Any) -> int:  # noqa: ARG001
    return 1 if query.text("symbol", "") else _ALL_PRICES


def _price(venue: Venue, contract: Contract) -> dict[str, Any]:
    price = number_text(venue.summary(contract).last)
    return {
        "symbol": contract.id,
        "markPrice": price,
        "indexPrice": price,
        "estimatedSettlePrice": price,
        "lastFundingRate": number_text(venue.funding_rate(contract)) if contract.perpetual else "",
        "interestRate": "0.00010000" if contract.perpetual else "",
        "nextFundingTime": venue.next_funding(contract) * 1000 if contract.perpetual else 0,
        "time": venue.now_ms,
    }


def _funding_info(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    """Return the funding interval of the contracts whose interval is not eight hours."""
    return [
        {
            "symbol": contract.id,
            "adjustedFundingRateCap": "0.03000000",
            "adjustedFundingRateFloor": "-0.03000000",
            "fundingIntervalHours": contract.funding_hours,
            "disclaimer": False,
        }
        for contract in _linear(venue)
        if contract.perpetual and contract.funding_hours != 8
    ]


def _funding(venue: Venue, query: Query) -> Any:
    contract = _contract(venue, query.text("symbol"))
    count = query.limit(100, 1000)
    interval = contract.funding_hours * 3600
    start, end = query.optional("startTime"), query.optional("endTime")
    stop = (venue.now_ms if end is None else end) / 1000 + 0.001
    first = stop - count * interval if start is None else start / 1000
    moments, rates = venue.funding_history(contract, first, min(stop, first + (count + 1) * interval))
    price = number_text(venue.summary(contract).last)
    return [
        {"symbol": contract.id, "fundingTime": moment * 1000, "fundingRate": number_text(rate), "markPrice": price}
        for moment, rate in zip(moments.tolist(), rates.tolist(), strict=True)
    ][:count]


def _interest(venue: Venue, query: Query) -> Any:
    contract = _traded(venue, query.text("symbol"))
    return {
        "openInterest": number_text(venue.open_interest(contract)),
        "symbol": contract.id,
        "time": venue.now_ms,
    }


def _interest_history(venue: Venue, query: Query) -> Any:
    contract = _contract(venue, query.text("symbol"))
    seconds = query.choice("period", _PERIODS)
    count = query.limit(30, 500)
    oldest = venue.now - _HISTORY_DAYS * 86_400
    start = query.integer("startTime", int(oldest * 1000)) / 1000
    if start < oldest - 1:
        raise Refusal(_error(-1130, "parameter 'startTime' is invalid."))
    stop = query.integer("endTime", venue.now_ms) / 1000 + 0.001
    moments, interest = venue.open_interest_history(contract, seconds, max(start, stop - (count + 1) * seconds), stop)
    price = venue.summary(contract).last
    return [
        {
            "symbol": contract.id,
            "sumOpenInterest": number_text(value),
            "sumOpenInterestValue": number_text(round(value * price, 4)),
            "CMCCirculatingSupply": "0",
            "timestamp": moment * 1000,
        }
        for moment, value in zip(moments.tolist(), interest.tolist(), strict=True)
    ][-count:]


def _contract(venue: Venue, id_: str) -> Contract:
    contract = venue.contract(id_)
    if contract.inverse:
        raise UnknownContract(id_)
    return contract


def _traded(venue: Venue, id_: str) -> Contract:
    contract = _contract(venue, id_)
    if not venue.trades(contract):
        raise UnknownContract(id_)
    return contract


def _error(code: int, message: str, status: int = 400) -> Response:
    return json_response({"code": code, "msg": message}, status)


def _too_many(refused: Refused) -> Response:
    limit = refused.limit.weight
    message = f"Too many requests; current limit of IP(127.0.0.1) is {limit} requests per minute."
    return json_response({"code": -1003, "msg": message}, 429, {"Retry-After": str(ceil(refused.wait_seconds))})


def _banned(refused: Refused) -> Response:
    until = int((refused.now + refused.wait_seconds) * 1000)
    message = f"Way too many requests; IP(127.0.0.1) banned until {until}."
    return json_response({"code": -1003, "msg": message}, 418, {"Retry-After": str(ceil(refused.wait_seconds))})


API = ExchangeApi(
    name="BINANCE",
    routes={
        "GET /fapi/v1/ping": Route(_nothing),
        "GET /fapi/v1/time": Route(_time),
        "GET /fapi/v1/exchangeInfo": Route(_info),
        "GET /fapi/v1/klines": Route(_klines, _klines_weight),
        "GET /fapi/v1/ticker/24hr": Route(_tickers, _tickers_weight),
        "GET /fapi/v1/premiumIndex": Route(_prices, _prices_weight),
        "GET /fapi/v1/fundingInfo": Route(_funding_info),
        "GET /fapi/v1/fundingRate": Route(_funding, limit=Limit(500, 300)),
        "GET /fapi/v1/openInterest": Route(_interest),
        "GET /futures/data/openInterestHist": Route(_interest_history, limit=Limit(1000, 300)),
        "GET /sapi/v1/system/status": Route(_status),
    },
    limit=Limit(2400, 60, ban_after=10, ban_seconds=120),
    contract_id=lambda base, quote: f"{base}USD_PERP" if quote == "USD" else f"{base}{quote}",
    unknown_contract=lambda id_, now: _error(-1121, "Invalid symbol."),  # noqa: ARG005
    bad_parameter=lambda name, now: _error(-1130, f"Data sent for parameter '{name}' is not valid."),  # noqa: ARG005
    unknown_path=lambda path, now: _error(-5000, f"Path {path}, Method GET is invalid", 404),  # noqa: ARG005
    over_limit=_too_many,
    banned=_banned,
    headers=lambda spent, limit: {"X-MBX-USED-WEIGHT-1M": str(spent)} if limit.seconds == 60 else {},
    other_contracts=(
        OtherContract(id="BTCUSDT_271231", base="BTC", quote="USDT", settle="USDT", expires=DATED),
        OtherContract(
            id="USELESSUSDT", base="USELESS", quote="USDT", settle="USDT", asset="USELESS", delisted=DELISTED_AT
        ),
        OtherContract(id="ETHUSDC", base="ETH", quote="USDC", settle="USDC", asset="ETH"),
        OtherContract(id="1000SATSUSDT", base="1000SATS", quote="USDT", settle="USDT", asset="SATS", multiplier=1000),
    ),
)

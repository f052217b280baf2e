"""The public contract API of MEXC, and the empty spot list that ccxt asks for."""

from __future__ import annotations

from math import ceil
from typing import Any

from quant_assets.emulator.api import Response
from quant_assets.emulator.exchanges.api import (
    DELISTED_AT,
    ExchangeApi,
    Limit,
    OtherContract,
    Query,
    Refused,
    Route,
    json_number,
    json_response,
)
from quant_assets.emulator.exchanges.contract import Contract
from quant_assets.emulator.exchanges.venue import UnknownContract, Venue
from quant_assets.emulator.history import to_json_numbers
from quant_assets.emulator.noise import hash_key

_INTERVALS = {"Min15": 900, "Min30": 1800, "Min60": 3600, "Hour4": 14_400, "Hour8": 28_800, "Day1": 86_400}
_MAX_BARS = 2000


def _body(data: Any) -> dict[str, Any]:
    return {"success": True, "code": 0, "data": data}


def _ping(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return _body(venue.now_ms)


def _spot_list(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return {"timezone": "CST", "serverTime": venue.now_ms, "rateLimits": [], "exchangeFilters": [], "symbols": []}


def _spot_time(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return {"serverTime": venue.now_ms}


def _spot_ping(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return {}


def _spot_tickers(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return []


def _detail(venue: Venue, query: Query) -> Any:
    id_ = query.text("symbol", "")
    if id_:
        return _body(_row(venue, venue.contract(id_)))
    return _body([_row(venue, contract) for contract in venue.contracts])


def _row(venue: Venue, contract: Contract) -> dict[str, Any]:
    return {
        "symbol": contract.id,
        "displayName": f"{contract.id}永续",
        "displayNameEn": f"{contract.id} {'PERPETUAL' if contract.perpetual else 'DELIVERY'}",
        "positionOpenType": 3,
        "baseCoin": contract.base,
        "quoteCoin": contract.quote,
        "baseCoinName": contract.base,
        "quoteCoinName": contract.quote,
        "futureType": 1 if contract.perpetual else 2,
        "settleCoin": contract.settle,
        "contractSize": json_number(contract.size),
        "minLeverage": 1,
        "maxLeverage": 50,
        "priceScale": contract.price_decimals,
        "volScale": 0,
        "amountScale": 4,
        "priceUnit": contract.tick,
        "volUnit": 1,
        "minVol": 1,
        "maxVol": 2_600_000,
        "bidLimitPriceRate": 0.2,
        "askLimitPriceRate": 0.2,
        "takerFeeRate": 0.0002,
        "makerFeeRate": 0,
        "maintenanceMarginRate": 0.004,
        "initialMarginRate": 0.02,
        "riskBaseVol": 2_600_000,
        "riskIncrVol": 2_600_000,
        "riskLongShortSwitch": 0,
        "riskIncrMmr": 0.004,
        "riskIncrImr": 0.004,
        "riskLevelLimit": 1,
        "priceCoefficientVariation": 0.2,
        "indexOrigin": ["BITGET", "BYBIT", "BINANCE", "OKX", "MEXC", "KUCOIN"],
        "state": 0 if venue.trades(contract) else 3,
        "isNew": False,
        "isHot": False,
        "isHidden": False,
        "conceptPlate": [],
        "riskLimitType": "BY_VOLUME",
        "maxNumOrders": [200, 50],
        "marketOrderMaxLevel": 20,
        "marketOrderPriceLimitRate1": 0.2,
        "marketOrderPriceLimitRate2": 0.005,
        "triggerProtect": 0.1,
        "appraisal": 0,
        "showAppraisalCountdown": 0,
        "automaticDelivery": 0,
        "apiAllowed": False,
        "depthStepList": [str(contract.tick)],
        "limitMaxVol": 2_600_000,
        "threshold": 0,
        "baseCoinIconUrl": "",
        "id": hash_key("id", contract.id) % 10_000,
        "vid": f"{hash_key('vid', contract.id):032x}",
        "baseCoinId": f"{hash_key('coin', contract.base):032x}",
        "createTime": contract.listed * 1000,
        "openingTime": 0,
        "openingCountdownOption": 1,
    }


def _tickers(venue: Venue, query: Query) -> Any:
    id_ = query.text("symbol", "")
    if id_:
        return _body(_ticker(venue, _traded(venue, id_)))
    return _body([_ticker(venue, contract) for contract in venue.contracts if venue.trades(contract)])


def _ticker(venue: Venue, contract: Contract) -> dict[str, Any]:
    day = venue.summary(contract)
    rate = venue.funding_rate(contract) if contract.perpetual else 0
    return {
        "symbol": contract.id,
        "lastPrice": json_number(day.last),
        "bid1": json_number(day.last),
        "ask1": json_number(round(day.last + contract.tick, contract.price_decimals)),
        "volume24": json_number(contract.contracts(day.base_volume, day.last)),
        "amount24": day.base_volume if contract.inverse else day.quote_volume,
        "holdVol": json_number(contract.contracts(venue.open_interest(contract), day.last)),
        "lower24Price": json_number(day.low),
        "high24Price": json_number(day.high),
        "riseFallRate": round(day.change, 4),
        "riseFallValue": round(day.last - day.open, contract.price_decimals),
        "indexPrice": json_number(day.last),
        "fairPrice": json_number(day.last),
        "fundingRate": rate,
        "maxBidPrice": json_number(round(day.last * 1.1, contract.price_decimals)),
        "minAskPrice": json_number(round(day.last * 0.9, contract.price_decimals)),
        "timestamp": venue.now_ms,
    }


def _kline(venue: Venue, query: Query) -> Any:
    contract = venue.contract(query.path[0])
    seconds = query.choice("interval", _INTERVALS)
    start, end = query.integer("start", 0), query.optional("end")
    stop = venue.now + 1 if end is None else end + 1
    # A range of more than the maximum gives the bars closest to its end.
    count = min(_MAX_BARS, max(1, ceil((min(stop, venue.now) - start) / seconds)))
    bars = venue.newest_bars(contract, seconds, count, stop)
    kept = bars.t >= start
    amount = bars.v if contract.inverse else (bars.v * (bars.h + bars.l + bars.c) / 3).round(4)
    columns = {
        "time": bars.t[kept].tolist(),
        "open": bars.o[kept].tolist(),
        "close": bars.c[kept].tolist(),
        "high": bars.h[kept].tolist(),
        "low": bars.l[kept].tolist(),
        "vol": to_json_numbers(contract.all_contracts(bars.v[kept], bars.c[kept])),
        "amount": amount[kept].tolist(),
    }
    real = {f"real{name.title()}": columns[name] for name in ("open", "close", "high", "low")}
    return _body(columns | real)


def _funding(venue: Venue, query: Query) -> Any:
    contract = _traded(venue, query.path[0])
    return _body(
        {
            "symbol": contract.id,
            "fundingRate": venue.funding_rate(contract),
            "maxFundingRate": 0.003,
            "minFundingRate": -0.003,
            "collectCycle": contract.funding_hours,
            "nextSettleTime": venue.next_funding(contract) * 1000,
            "timestamp": venue.now_ms,
        }
    )


def _funding_history(venue: Venue, query: Query) -> Any:
    contract = venue.contract(query.text("symbol"))
    size, page = query.limit(20, 1000, "page_size"), query.integer("page_num", 1)
    moments, rates = venue.funding_history(contract, venue.now - 60 * 86_400, venue.now)
    paid = list(zip(moments.tolist(), rates.tolist(), strict=True))[::-1]
    rows = [
        {
            "symbol": contract.id,
            "fundingRate": rate,
            "settleTime": moment * 1000,
            "collectCycle": contract.funding_hours,
        }
        for moment, rate in paid[(page - 1) * size : page * size]
    ]
    return _body(
        {
            "pageSize": size,
            "totalCount": len(paid),
            "totalPage": -(-len(paid) // size),
            "currentPage": page,
            "resultList": rows,
        }
    )


def _traded(venue: Venue, id_: str) -> Contract:
    contract = venue.contract(id_)
    if not venue.trades(contract):
        raise UnknownContract(id_)
    return contract


def _error(code: int, message: str) -> Response:
    return json_response({"success": False, "code": code, "message": message})


def _too_frequent(refused: Refused) -> Response:  # noqa: ARG001
    return _error(510, "Requests are too frequent, please try again later")


API = ExchangeApi(
    name="MEXC",
    routes={
        "GET /api/v1/contract/ping": Route(_ping),
        "GET /api/v1/contract/detail": Route(_detail, limit=Limit(1, 1)),
        "GET /api/v1/contract/ticker": Route(_tickers),
        "GET /api/v1/contract/kline/{}": Route(_kline),
        "GET /api/v1/contract/funding_rate/history": Route(_funding_history),
        "GET /api/v1/contract/funding_rate/{}": Route(_funding),
        "GET /api/v3/exchangeInfo": Route(_spot_list),
        "GET /api/v3/ping": Route(_spot_ping),
        "GET /api/v3/ticker/24hr": Route(_spot_tickers),
        "GET /api/v3/time": Route(_spot_time),
    },
    limit=Limit(20, 2, per_endpoint=True),
    contract_id=lambda base, quote: f"{base}_{quote}",
    unknown_contract=lambda id_, now: _error(1001, "合约不存在!"),  # noqa: ARG005
    bad_parameter=lambda name, now: _error(600, f"Parameter error: {name}"),  # noqa: ARG005
    unknown_path=lambda path, now: Response(404, b"", "text/plain"),  # noqa: ARG005
    over_limit=_too_frequent,
    banned=lambda refused: json_response({"code": 429, "msg": "Too Many Requests"}, 429),  # noqa: ARG005
    counts_contracts=True,
    other_contracts=(
        OtherContract(id="BTC_USD", base="BTC", quote="USD", settle="BTC", inverse=True, size=100.0),
        OtherContract(
            id="MOODENG_USDT", base="MOODENG", quote="USDT", settle="USDT", asset="MOODENG", delisted=DELISTED_AT
        ),
        OtherContract(id="PEPE_USDT", base="PEPE", quote="USDT", settle="USDT", asset="PEPE", size=10_000_000.0),
        OtherContract(id="ETH_USDC", base="ETH", quote="USDC", settle="USDC", asset="ETH", size=0.01),
    ),
)

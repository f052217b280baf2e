"""The public futures API of Gate, version 4: perpetuals settled in USDT and BTC, dated futures, empty spot lists."""

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
    Refusal,
    Refused,
    Route,
    json_number,
    json_response,
    number_text,
    number_texts,
)
from quant_assets.emulator.exchanges.contract import Contract
from quant_assets.emulator.exchanges.venue import UnknownContract, Venue
from quant_assets.emulator.history import to_json_numbers
from quant_assets.emulator.noise import hash_key

_INTERVALS = {"15m": 900, "30m": 1800, "1h": 3600, "4h": 14_400, "8h": 28_800, "1d": 86_400}
_STATS_INTERVALS = {"15m": 900, "30m": 1800, "1h": 3600, "4h": 14_400, "1d": 86_400}
_MAX_BARS = 2000
_MAX_STATS = 100


def _time(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return {"server_time": venue.now_ms}


def _none(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return []


def _settled(venue: Venue, query: Query) -> list[Contract]:
    """Return the perpetuals that are settled in the coin of the path."""
    coin = query.path[0].upper()
    if coin not in ("USDT", "BTC", "USD"):
        raise BadParameter("settle")
    return [contract for contract in venue.contracts if contract.perpetual and contract.settle == coin]


def _contract(venue: Venue, query: Query, id_: str) -> Contract:
    contract = venue.contract(id_)
    if contract.settle != query.path[0].upper():
        raise UnknownContract(id_)
    return contract


def _contracts(venue: Venue, query: Query) -> Any:
    return [_row(venue, contract) for contract in _settled(venue, query)]


def _one(venue: Venue, query: Query) -> Any:
    return _row(venue, _contract(venue, query, query.path[1]))


def _delivery(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    rows = []
    for contract in venue.contracts:
        if not contract.perpetual:
            row = _row(venue, contract)
            kept = {name: value for name, value in row.items() if "funding" not in name and name != "status"}
            dated = {"underlying": f"{contract.base}_{contract.quote}", "cycle": "QUARTERLY"}
            rows.append(kept | dated | {"expire_time": contract.expires, "settle_price": "0", "basis_rate": "0"})
    return rows


def _row(venue: Venue, contract: Contract) -> dict[str, Any]:
    price = number_text(venue.summary(contract).last)
    trades = venue.trades(contract)
    rate = number_text(venue.funding_rate(contract)) if contract.perpetual else "0"
    return {
        "name": contract.id,
        "type": "inverse" if contract.inverse else "direct",
        "quanto_multiplier": "0" if contract.inverse else number_text(contract.size),
        "ref_discount_rate": "0",
        "order_price_deviate": "0.2",
        "maintenance_rate": "0.005",
        "mark_type": "index",
        "last_price": price,
        "mark_price": price,
        "index_price": price,
        "funding_rate_indicative": rate,
        "mark_price_round": number_text(contract.tick),
        "funding_offset": 0,
        "in_delisting": not trades,
        "status": "trading" if trades else "delisted",
        "risk_limit_base": "500000",
        "interest_rate": "0.0003",
        "order_price_round": number_text(contract.tick),
        "order_size_min": "1",
        "order_size_max": "1000000",
        "ref_rebate_rate": "0.2",
        "funding_interval": contract.funding_hours * 3600,
        "funding_impact_value": "30000",
        "funding_cap_ratio": "0.75",
        "funding_rate": rate,
        "funding_rate_limit": "0.003",
        "funding_next_apply": venue.next_funding(contract),
        "risk_limit_step": "1499500000",
        "risk_limit_max": "1500000000",
        "leverage_min": "1",
        "leverage_max": "50",
        "cross_leverage_default": "10",
        "voucher_leverage": "2",
        "maker_fee_rate": "-0.0001",
        "taker_fee_rate": "0.00075",
        "short_users": 100,
        "long_users": 100,
        "config_change_time": contract.listed,
        "create_time": contract.listed,
        "launch_time": contract.listed,
        "trade_size": hash_key("trade size", contract.id) % 10**12,
        "trade_id": hash_key("trade", contract.id) % 10**9,
        "orderbook_id": hash_key("book", contract.id) % 10**12,
        "position_size": json_number(contract.contracts(venue.open_interest(contract), venue.summary(contract).last)),
        "orders_limit": 100,
        "enable_bonus": True,
        "enable_credit": True,
        "enable_circuit_breaker": False,
        "enable_decimal": False,
        "is_pre_market": False,
        "contract_type": "",
        "market_order_slip_ratio": "0.02",
        "market_order_size_max": "500000",
    }


def _tickers(venue: Venue, query: Query) -> Any:
    id_ = query.text("contract", "")
    contracts = [contract for contract in _settled(venue, query) if venue.trades(contract)]
    if id_:
        contracts = [contract for contract in contracts if contract.id == id_]
        if not contracts:
            raise UnknownContract(id_)
    return [_ticker(venue, contract) for contract in contracts]


def _ticker(venue: Venue, contract: Contract) -> dict[str, Any]:
    day = venue.summary(contract)
    last = number_text(day.last)
    base, quote = number_text(day.base_volume), number_text(round(day.quote_volume))
    rate = number_text(venue.funding_rate(contract))
    return {
        "contract": contract.id,
        "last": last,
        "low_24h": number_text(day.low),
        "high_24h": number_text(day.high),
        "change_percentage": number_text(round(day.change * 100, 2)),
        "change_price": number_text(round(day.last - day.open, contract.price_decimals)),
        "total_size": number_text(contract.contracts(venue.open_interest(contract), day.last)),
        "volume_24h": number_text(contract.contracts(day.base_volume, day.last)),
        "volume_24h_btc": "0",
        "volume_24h_usd": quote,
        "volume_24h_base": base,
        "volume_24h_quote": quote,
        "volume_24h_settle": base if contract.inverse else quote,
        "mark_price": last,
        "funding_rate": rate,
        "funding_rate_indicative": rate,
        "index_price": last,
        "quanto_base_rate": "",
        "lowest_ask": number_text(round(day.last + contract.tick, contract.price_decimals)),
        "lowest_size": "1",
        "highest_bid": last,
        "highest_size": "1",
    }


def _candles(venue: Venue, query: Query) -> Any:
    contract = _contract(venue, query, query.text("contract"))
    seconds = query.choice("interval", _INTERVALS)
    start, end = query.optional("from"), query.optional("to")
    if start is not None and query.optional("limit") is not None:
        raise Refusal(_error("INVALID_PARAM_VALUE", "limit conflicts with from and to"))
    if start is None:
        count = query.limit(100, _MAX_BARS)
        bars = venue.newest_bars(contract, seconds, count, None if end is None else end + 0.001)
    else:
        first = -(-start // seconds) * seconds
        stop = venue.now + 1 if end is None else min(end + 0.001, venue.now + 1)
        if (stop - first) / seconds > _MAX_BARS + 1:
            message = f"Candlestick range too broad. Maximum {_MAX_BARS} data points are allowed per request"
            raise Refusal(_error("INVALID_PARAM_VALUE", message))
        bars = venue.bars(contract, seconds, first, stop)
    total = bars.v if contract.inverse else (bars.v * (bars.h + bars.l + bars.c) / 3).round(4)
    prices = [number_texts(column) for column in (bars.o, bars.h, bars.l, bars.c)]
    volumes = to_json_numbers(contract.all_contracts(bars.v, bars.c))
    columns = zip(bars.t.tolist(), *prices, volumes, number_texts(total), strict=True)
    return [{"t": opened, "v": v, "c": c, "h": h, "l": low, "o": o, "sum": s} for opened, o, h, low, c, v, s in columns]


def _funding_history(venue: Venue, query: Query) -> Any:
    contract = _contract(venue, query, query.text("contract"))
    count = query.limit(100, 1000)
    stop = query.integer("to", int(venue.now)) + 0.001
    start = max(query.integer("from", 0), stop - (count + 1) * contract.funding_hours * 3600)
    moments, rates = venue.funding_history(contract, start, stop)
    rows = [
        {"r": number_text(rate), "t": moment} for moment, rate in zip(moments.tolist(), rates.tolist(), strict=True)
    ]
    return rows[-count:][::-1]


def _stats(venue: Venue, query: Query) -> Any:
    contract = _contract(venue, query, query.text("contract"))
    seconds = query.choice("interval", _STATS_INTERVALS)
    count = query.limit(30, _MAX_STATS)
    start = query.optional("from")
    first = venue.now - count * seconds if start is None else start
    moments, interest = venue.open_interest_history(contract, seconds, first, first + (count + 1) * seconds)
    price = venue.summary(contract).last
    return [
        {
            "time": moment,
            "lsr_taker": 1.0,
            "lsr_account": 1.0,
            "long_liq_size": 0,
            "long_liq_amount": 0.0,
            "long_liq_usd": 0.0,
            "short_liq_size": 0,
            "short_liq_amount": 0.0,
            "short_liq_usd": 0.0,
            "open_interest": json_number(contract.contracts(value, price)),
            "open_interest_usd": round(value * price, 4),
            "top_lsr_account": 1.0,
            "top_lsr_size": 1.0,
            "mark_price": price,
        }
        for moment, value in zip(moments.tolist(), interest.tolist(), strict=True)
    ][:count]


def _error(label: str, message: str, status: int = 400) -> Response:
    return json_response({"label": label, "message": message}, status)


def _too_many(refused: Refused) -> Response:
    headers = {
        "X-Gate-RateLimit-Limit": str(refused.limit.weight),
        "X-Gate-RateLimit-Requests-Remain": "0",
        "X-Gate-RateLimit-Reset-Timestamp": str(int(refused.now + refused.wait_seconds) + 1),
    }
    body = {"label": "TOO_MANY_REQUESTS", "message": "Request Rate Limit Exceeded"}
    return json_response(body, 429, headers)


API = ExchangeApi(
    name="GATE",
    routes={
        "GET /api/v4/spot/time": Route(_time),
        "GET /api/v4/spot/currencies": Route(_none),
        "GET /api/v4/spot/tickers": Route(_none),
        "GET /api/v4/spot/currency_pairs": Route(_none),
        "GET /api/v4/margin/currency_pairs": Route(_none),
        "GET /api/v4/options/underlyings": Route(_none),
        "GET /api/v4/delivery/{}/contracts": Route(_delivery),
        "GET /api/v4/futures/{}/contracts": Route(_contracts),
        "GET /api/v4/futures/{}/contracts/{}": Route(_one),
        "GET /api/v4/futures/{}/tickers": Route(_tickers),
        "GET /api/v4/futures/{}/candlesticks": Route(_candles),
        "GET /api/v4/futures/{}/funding_rate": Route(_funding_history),
        "GET /api/v4/futures/{}/contract_stats": Route(_stats),
    },
    limit=Limit(200, 10, per_endpoint=True),
    contract_id=lambda base, quote: f"{base}_{quote}",
    unknown_contract=lambda id_, now: json_response({"label": "CONTRACT_NOT_FOUND"}, 400),  # noqa: ARG005
    bad_parameter=lambda name, now: _error("INVALID_PARAM_VALUE", f"invalid argument: {name}"),  # noqa: ARG005
    unknown_path=lambda path, now: _error("NOT_FOUND", f"no such path {path}", 404),  # noqa: ARG005
    over_limit=_too_many,
    banned=_too_many,
    counts_contracts=True,
    headers=lambda spent, limit: {
        "X-Gate-RateLimit-Limit": str(limit.weight),
        "X-Gate-RateLimit-Requests-Remain": str(max(0, limit.weight - spent)),
    },
    other_contracts=(
        OtherContract(id="BTC_USDT_20271231", base="BTC", quote="USDT", settle="USDT", expires=DATED, size=0.0001),
        OtherContract(id="BTC_USD", base="BTC", quote="USD", settle="BTC", inverse=True),
        OtherContract(
            id="USELESS_USDT", base="USELESS", quote="USDT", settle="USDT", asset="USELESS", delisted=DELISTED_AT
        ),
        OtherContract(id="PEPE_USDT", base="PEPE", quote="USDT", settle="USDT", asset="PEPE", size=10_000_000.0),
    ),
)

"""The public REST API of OKX, version 5: perpetual swaps and dated futures."""

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

_BARS = {"15m": 900, "30m": 1800, "1H": 3600, "2H": 7200, "4H": 14_400} | {
    "6Hutc": 21_600,
    "12Hutc": 43_200,
    "1Dutc": 86_400,
}
_PERIODS = {"15m": 900, "30m": 1800, "1H": 3600, "2H": 7200, "4H": 14_400, "1D": 86_400}
_MAX_BARS = 300
_RECENT_BARS = 1440
_MAX_HISTORY = 100


def _body(data: list[Any]) -> dict[str, Any]:
    return {"code": "0", "msg": "", "data": data}


def _time(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return _body([{"ts": str(venue.now_ms)}])


def _status(venue: Venue, query: Query) -> Any:  # noqa: ARG001
    return _body([])


def _of_type(venue: Venue, query: Query) -> list[Contract]:
    """Return the contracts of an instrument type; spot, margin and options are served without any."""
    kind = query.text("instType")
    if kind not in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "EVENTS"):
        raise BadParameter("instType")
    id_ = query.text("instId", "")
    found = [contract for contract in venue.contracts if _type_of(contract) == kind]
    if id_:
        found = [contract for contract in found if contract.id == id_]
        if not found:
            raise UnknownContract(id_)
    return found


def _type_of(contract: Contract) -> str:
    return "SWAP" if contract.perpetual else "FUTURES"


def _instruments(venue: Venue, query: Query) -> Any:
    return _body([_instrument(venue, contract) for contract in _of_type(venue, query)])


def _instrument(venue: Venue, contract: Contract) -> dict[str, Any]:
    family = f"{contract.base}-{contract.quote}"
    return {
        "alias": "" if contract.perpetual else "next_quarter",
        "baseCcy": "",
        "category": "1",
        "ctMult": "1",
        "ctType": "inverse" if contract.inverse else "linear",
        "ctVal": number_text(contract.size),
        "ctValCcy": contract.quote if contract.inverse else contract.base,
        "expTime": "" if contract.expires is None else str(contract.expires * 1000),
        "instFamily": family,
        "instId": contract.id,
        "instType": _type_of(contract),
        "lever": "50",
        "listTime": str(contract.listed * 1000),
        "lotSz": "1",
        "maxIcebergSz": "100000000.0000000000000000",
        "maxLmtAmt": "20000000",
        "maxLmtSz": "100000000",
        "maxMktAmt": "",
        "maxMktSz": "12000",
        "maxStopSz": "12000",
        "maxTriggerSz": "100000000.0000000000000000",
        "maxTwapSz": "100000000.0000000000000000",
        "minSz": "1",
        "optType": "",
        "quoteCcy": "",
        "ruleType": "normal",
        "settleCcy": contract.settle,
        "state": "live" if venue.trades(contract) else "suspend",
        "stk": "",
        "tickSz": number_text(contract.tick),
        "uly": family,
    }


def _tickers(venue: Venue, query: Query) -> Any:
    return _body([_ticker_row(venue, contract) for contract in _of_type(venue, query) if venue.trades(contract)])


def _ticker(venue: Venue, query: Query) -> Any:
    return _body([_ticker_row(venue, _traded(venue, query.text("instId")))])


def _ticker_row(venue: Venue, contract: Contract) -> dict[str, Any]:
    day = venue.summary(contract)
    last = number_text(day.last)
    return {
        "instType": _type_of(contract),
        "instId": contract.id,
        "last": last,
        "lastSz": "1",
        "askPx": number_text(round(day.last + contract.tick, contract.price_decimals)),
        "askSz": "1",
        "bidPx": last,
        "bidSz": "1",
        "open24h": number_text(day.open),
        "high24h": number_text(day.high),
        "low24h": number_text(day.low),
        "volCcy24h": number_text(day.base_volume),
        "vol24h": number_text(contract.contracts(day.base_volume, day.last)),
        "ts": str(venue.now_ms),
        "sodUtc0": number_text(day.open),
        "sodUtc8": number_text(day.open),
    }


def _recent(venue: Venue, query: Query) -> Any:
    seconds = query.choice("bar", _BARS)
    return _candles(venue, query, (venue.now // seconds - _RECENT_BARS + 1) * seconds)


def _older(venue: Venue, query: Query) -> Any:
    return _candles(venue, query, 0)


def _candles(venue: Venue, query: Query, oldest: float) -> Any:
    """Return the newest bars between `before` and `after`, both exclusive, the newest first."""
    contract = venue.contract(query.text("instId"))
    seconds = query.choice("bar", _BARS)
    count = query.limit(100, _MAX_BARS)
    after, before = query.optional("after"), query.optional("before")
    stop = venue.now + 1 if after is None else after / 1000
    bars = venue.newest_bars(contract, seconds, count, stop)
    kept = bars.t >= max(oldest, 0 if before is None else before / 1000 + 0.001)
    quote = (bars.v * (bars.h + bars.l + bars.c) / 3).round(4)
    counts = number_texts(contract.all_contracts(bars.v, bars.c))
    columns = [[str(opened * 1000) for opened in bars.t.tolist()]]
    columns += [number_texts(column) for column in (bars.o, bars.h, bars.l, bars.c)]
    columns += [counts, number_texts(bars.v), number_texts(quote)]
    columns.append(["1" if opened + seconds <= venue.now else "0" for opened in bars.t.tolist()])
    rows = [list(row) for row, wanted in zip(zip(*columns, strict=True), kept.tolist(), strict=True) if wanted]
    return _body(rows[::-1])


def _funding(venue: Venue, query: Query) -> Any:
    id_ = query.text("instId")
    chosen = venue.contracts if id_ == "ANY" else (_traded(venue, id_),)
    rows = []
    for contract in chosen:
        if contract.perpetual and venue.trades(contract):
            interval = contract.funding_hours * 3600
            coming = venue.next_funding(contract)
            rows.append(
                {
                    "formulaType": "noRate",
                    "fundingRate": number_text(venue.funding_rate(contract)),
                    "fundingTime": str(coming * 1000),
                    "instId": contract.id,
                    "instType": "SWAP",
                    "maxFundingRate": "0.00375",
                    "method": "current_period",
                    "minFundingRate": "-0.00375",
                    "nextFundingRate": "",
                    "nextFundingTime": str((coming + interval) * 1000),
                    "premium": "0",
                    "settFundingRate": number_text(venue.funding_rate(contract)),
                    "settState": "settled",
                    "ts": str(venue.now_ms),
                }
            )
    return _body(rows)


def _funding_history(venue: Venue, query: Query) -> Any:
    contract = venue.contract(query.text("instId"))
    count = query.limit(100, 400)
    after, before = query.integer("after", venue.now_ms + 1) / 1000, query.integer("before", 0) / 1000
    start = max(before + 0.001, venue.now - 90 * 86_400, after - (count + 1) * contract.funding_hours * 3600)
    moments, rates = venue.funding_history(contract, start, after)
    rows = [
        {
            "instType": "SWAP",
            "instId": contract.id,
            "fundingRate": number_text(rate),
            "realizedRate": number_text(rate),
            "fundingTime": str(moment * 1000),
            "formulaType": "noRate",
            "method": "current_period",
        }
        for moment, rate in zip(moments.tolist(), rates.tolist(), strict=True)
    ]
    return _body(rows[-count:][::-1])


def _interest(venue: Venue, query: Query) -> Any:
    rows = []
    for contract in _of_type(venue, query):
        if venue.trades(contract):
            amount, price = venue.open_interest(contract), venue.summary(contract).last
            rows.append(
                {
                    "instId": contract.id,
                    "instType": _type_of(contract),
                    "oi": number_text(contract.contracts(amount, price)),
                    "oiCcy": number_text(amount),
                    "oiUsd": number_text(round(amount * price, 4)),
                    "ts": str(venue.now_ms),
                }
            )
    return _body(rows)


def _interest_history(venue: Venue, query: Query) -> Any:
    contract = venue.contract(query.text("instId"))
    seconds = query.choice("period", _PERIODS)
    count = query.limit(100, _MAX_HISTORY)
    begin, end = query.integer("begin", 0) / 1000, query.integer("end", venue.now_ms + 1) / 1000
    start = max(begin + 0.001, end - (count + 1) * seconds, venue.now - _RECENT_BARS * seconds)
    moments, interest = venue.open_interest_history(contract, seconds, start, end)
    price = venue.summary(contract).last
    rows = [
        [
            str(moment * 1000),
            number_text(contract.contracts(value, price)),
            number_text(value),
            number_text(round(value * price, 4)),
        ]
        for moment, value in zip(moments.tolist(), interest.tolist(), strict=True)
    ]
    return _body(rows[-count:][::-1])


def _traded(venue: Venue, id_: str) -> Contract:
    contract = venue.contract(id_)
    if not venue.trades(contract):
        raise UnknownContract(id_)
    return contract


def _error(code: str, message: str, status: int = 200) -> Response:
    return json_response({"code": code, "data": [], "msg": message}, status)


def _too_many(refused: Refused) -> Response:  # noqa: ARG001
    return _error("50011", "Too Many Requests", 429)


_TEN, _FORTY = Limit(10, 2), Limit(40, 2)

API = ExchangeApi(
    name="OKX",
    routes={
        "GET /api/v5/public/time": Route(_time, limit=_TEN),
        "GET /api/v5/system/status": Route(_status, limit=Limit(1, 5)),
        "GET /api/v5/public/instruments": Route(_instruments),
        "GET /api/v5/market/tickers": Route(_tickers),
        "GET /api/v5/market/ticker": Route(_ticker),
        "GET /api/v5/market/candles": Route(_recent, limit=_FORTY),
        "GET /api/v5/market/history-candles": Route(_older),
        "GET /api/v5/public/open-interest": Route(_interest),
        "GET /api/v5/public/funding-rate": Route(_funding, limit=_TEN),
        "GET /api/v5/public/funding-rate-history": Route(_funding_history, limit=_TEN),
        "GET /api/v5/rubik/stat/contracts/open-interest-history": Route(_interest_history, limit=_TEN),
    },
    limit=Limit(20, 2, per_endpoint=True),
    contract_id=lambda base, quote: f"{base}-{quote}-SWAP",
    unknown_contract=lambda id_, now: _error("51001", "Instrument ID doesn't exist."),  # noqa: ARG005
    bad_parameter=lambda name, now: _error("51000", f"Parameter {name} error", 400),  # noqa: ARG005
    unknown_path=lambda path, now: _error("404", "Not Found", 404),  # noqa: ARG005
    over_limit=_too_many,
    banned=_too_many,
    counts_contracts=True,
    other_contracts=(
        OtherContract(id="BTC-USDT-271231", base="BTC", quote="USDT", settle="USDT", expires=DATED, size=0.01),
        OtherContract(id="BTC-USD-SWAP", base="BTC", quote="USD", settle="BTC", inverse=True, size=100.0),
        OtherContract(
            id="MOODENG-USDT-SWAP", base="MOODENG", quote="USDT", settle="USDT", asset="MOODENG", delisted=DELISTED_AT
        ),
        OtherContract(id="PEPE-USDC-SWAP", base="PEPE", quote="USDC", settle="USDC", asset="PEPE", size=10_000_000.0),
    ),
)

"""Test histories and current values: order, bounds, intervals, retention, bars in progress, omissions."""

from __future__ import annotations

import pytest

from quant_assets.emulator import Emulator, simulate_candles
from quant_assets.emulator.history import INTERVALS

BTC = "BTCUSDT_PERP.A"
DAY = 86_400
FIELDS = {
    "/open-interest-history": {"t", "o", "h", "l", "c"},
    "/funding-rate-history": {"t", "o", "h", "l", "c"},
    "/predicted-funding-rate-history": {"t", "o", "h", "l", "c"},
    "/liquidation-history": {"t", "l", "s"},
    "/long-short-ratio-history": {"t", "r", "l", "s"},
    "/ohlcv-history": {"t", "o", "h", "l", "c", "v", "bv", "tx", "btx"},
}


@pytest.mark.parametrize("endpoint", FIELDS)
def test_points_have_their_fields_in_ascending_order(history, endpoint):
    points = history(endpoint, BTC)
    assert {frozenset(point) for point in points} == {frozenset(FIELDS[endpoint])}
    times = [point["t"] for point in points]
    assert times == sorted(set(times))
    assert not [time for time in times if time % 900]


def test_both_bounds_are_inclusive(history, clock):
    last = clock.seconds // 900 * 900 - 900
    points = history("/open-interest-history", BTC, from_=last - 900, to=last)
    assert [point["t"] for point in points] == [last - 900, last]
    assert history("/open-interest-history", BTC, from_=last + 1, to=last + 899) == []


def test_unknown_symbols_and_those_without_the_dataset_are_omitted(get, clock):
    span = {"interval": "15min", "from_": clock.seconds - 3600, "to": clock.seconds}
    symbols = f"NOTHING.A,{BTC},BTC.H,BTCUSDT_PERP.3"
    ratios = get("/long-short-ratio-history", symbols=symbols, **span)
    assert (ratios.status_code, [series["symbol"] for series in ratios.json()]) == (200, [BTC])
    liquidations = get("/liquidation-history", symbols=symbols, **span).json()
    assert [series["symbol"] for series in liquidations] == [BTC, "BTCUSDT_PERP.3"]
    assert get("/long-short-ratio-history", symbols="BTC.H", **span).json() == []


def test_known_symbol_can_have_an_empty_history(history, get):
    assert history("/open-interest-history", "YZY.H") == []
    assert history("/funding-rate-history", "YZY.H")
    assert get("/open-interest", symbols="YZY.H").json()[0]["value"] > 0


def test_liquidations_are_sparse_and_never_zero(history, universe):
    for symbol in (BTC, "SOLUSDT_PERP.A", "ZECUSDT.6"):
        points = history("/liquidation-history", symbol)
        assert 0 < len(points) < 60
        assert min(point["l"] + point["s"] for point in points) > 0


@pytest.mark.parametrize("interval", INTERVALS)
def test_each_interval_is_aligned_to_its_grid_and_reaches_now(history, clock, interval):
    seconds = INTERVALS[interval]
    points = history("/ohlcv-history", BTC, interval=interval, from_=clock.seconds - 5 * seconds)
    times = [point["t"] for point in points]
    newest = clock.seconds // seconds * seconds
    assert times == list(range(newest - 4 * seconds, newest + 1, seconds))
    for point in points:
        assert point["l"] <= min(point["o"], point["c"]) <= max(point["o"], point["c"]) <= point["h"]


def test_longer_bars_are_merged_from_15_minute_bars(history, clock):
    four_hours = clock.seconds // 14_400 * 14_400 - 14_400
    span = {"from_": four_hours, "to": four_hours + 14_399}
    for endpoint in ("/ohlcv-history", "/open-interest-history"):
        quarters = history(endpoint, BTC, **span)
        (whole,) = history(endpoint, BTC, interval="4hour", **span)
        assert len(quarters) == 16
        assert (whole["o"], whole["c"]) == (quarters[0]["o"], quarters[-1]["c"])
        assert whole["h"] == max(point["h"] for point in quarters)
        assert whole["l"] == min(point["l"] for point in quarters)
    quarters = history("/liquidation-history", "ZECUSDT.6", **span)
    whole = history("/liquidation-history", "ZECUSDT.6", interval="4hour", **span)
    assert sum(point["l"] for point in whole) == pytest.approx(sum(point["l"] for point in quarters))


@pytest.mark.parametrize("interval", [name for name in INTERVALS if name not in ("daily", "12hour", "6hour")])
def test_intraday_histories_have_the_newest_2000_points(history, clock, interval):
    points = history("/funding-rate-history", BTC, interval=interval, from_=0)
    assert len(points) == 2000
    assert points[-1]["t"] == clock.seconds // INTERVALS[interval] * INTERVALS[interval]


def test_daily_histories_are_complete(history, universe):
    points = history("/open-interest-history", BTC, interval="daily", from_=0)
    assert points[0]["t"] == universe.listings[BTC].source.begins // DAY * DAY
    assert len(points) > 150


@pytest.mark.parametrize("endpoint", ["/open-interest-history", "/ohlcv-history", "/long-short-ratio-history"])
def test_bar_in_progress_differs_from_its_final_value(history, clock, endpoint):
    opened = clock.seconds // 900 * 900
    span = {"from_": opened, "to": opened}
    (begun,) = history(endpoint, BTC, **span)
    clock.move(500)
    (later,) = history(endpoint, BTC, **span)
    clock.move(100)
    (whole,) = history(endpoint, BTC, **span)
    clock.move(DAY)
    assert history(endpoint, BTC, **span) == [whole]
    last = "l" if "long" in endpoint else "c"
    assert len({begun[last], later[last], whole[last]}) == 3
    if last == "c":
        assert begun["h"] <= later["h"] <= whole["h"]
        assert begun["l"] >= later["l"] >= whole["l"]
        assert begun["o"] == whole["o"]


def test_bar_that_opens_now_is_not_served_yet(history, clock):
    clock.move(900 - clock.moment.timestamp() % 900)
    assert history("/open-interest-history", BTC)[-1]["t"] == clock.seconds - 900


def test_no_future_data_are_served(history, clock):
    assert history("/open-interest-history", BTC, to=clock.seconds + DAY)[-1]["t"] <= clock.seconds


def test_current_value_is_the_close_so_far_with_update_in_milliseconds(get, history, clock):
    (now,) = get("/open-interest", symbols=BTC).json()
    assert now["symbol"] == BTC
    assert now["value"] == history("/open-interest-history", BTC)[-1]["c"]
    assert now["update"] == int(clock.moment.timestamp() * 1000)
    for endpoint in ("/funding-rate", "/predicted-funding-rate"):
        (rate,) = get(endpoint, symbols=BTC).json()
        assert rate["value"] == history(endpoint + "-history", BTC)[-1]["c"]


def test_base_amounts_convert_to_dollars_at_the_bar_price(history):
    prices = {point["t"]: point["c"] for point in history("/ohlcv-history", BTC)}
    plain = history("/open-interest-history", BTC)
    dollars = history("/open-interest-history", BTC, convert_to_usd="true")
    assert [point["c"] for point in dollars] == pytest.approx([point["c"] * prices[point["t"]] for point in plain])


def test_quote_amounts_are_already_dollars(history, universe):
    symbol = "TRUMPUSDT_PERP.A"
    assert universe.listings[symbol].in_quote
    plain = history("/open-interest-history", symbol)
    assert plain == history("/open-interest-history", symbol, convert_to_usd="true")


def test_ohlcv_history_is_that_of_the_market(history, universe, clock):
    (scanned,) = [one for one in universe.scanned if (one.exchange, one.symbol) == ("BINANCE", "1000BONKUSDT")]
    points = history("/ohlcv-history", "1000BONKUSDT_PERP.A")
    bars = simulate_candles(universe.seed, scanned.market, 900, points[0]["t"], clock.seconds, clock.moment.timestamp())
    for name in "tohlcv":
        assert [point[name] for point in points] == getattr(bars, name).tolist()


def test_delisted_contract_has_history_but_no_current_value(get, history, universe):
    expired = universe.listings["AITOUSDT_PERP.A"].row.expire_at // 1000
    past = history("/open-interest-history", "AITOUSDT_PERP.A", interval="daily", from_=0)
    assert past
    assert past[-1]["t"] < expired
    assert get("/open-interest", symbols="AITOUSDT_PERP.A").json() == []
    assert history("/open-interest-history", "AITOUSDT_PERP.A") == []


def test_points_do_not_depend_on_the_requested_range(history, clock, emulator: Emulator):
    emulator.calls_per_minute = 1000
    week = history("/open-interest-history", "SOL.H", from_=clock.seconds - 7 * DAY)
    for shift in range(0, 7 * DAY, 20_000):
        some = history("/open-interest-history", "SOL.H", from_=week[0]["t"] + shift, to=week[0]["t"] + shift + DAY)
        assert some == [point for point in week if some[0]["t"] <= point["t"] <= some[-1]["t"]]

"""The record and the trades as the server gives them: numbers, filters, words, and what is not known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import orjson
import pandas as pd
import pytest

from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.dashboard import formatting
from quant_assets.dashboard.rows import rows_of
from quant_assets.dashboard.signal_record import record_sentence
from quant_assets.evaluation import Costs, record
from quant_assets.evaluation.trade_table import TRADES
from quant_assets.storage.lake import Lake
from quant_assets_tests.dashboard.serving import GATES, Json, Site, copy_data, serving, with_setups
from quant_assets_tests.dashboard.trades import trade_of, write_trades
from quant_assets_tests.evaluation.made_trades import made_trades
from quant_assets_tests.speed import best_cpu_seconds

RECORD = {
    "n": 188,
    "days": 13,
    "too_few": False,
    "mean_r": -0.154,
    "mean_r_interval": [-0.37, 0.07],
    "edge_r": -0.11,
    "win_share": 0.37,
}


@pytest.fixture(scope="module")
def trades(scanned: Settings) -> pd.DataFrame:
    """Trades of which some are late, or of markets that were selected later."""
    window = Window.of_key(orjson.loads(scanned.feed_path.read_bytes())["window"])
    found = made_trades(1_500, window)
    found.loc[::50, "source"] = "late"
    found.loc[1::50, "hindsight"] = True
    found.loc[2::10, "replay"] = "agrees"
    found.loc[[5, 1_205], "replay"] = "candles"
    found.loc[1_205, "replay_r"] = -1.0
    found.loc[1_206, "replay"] = "missed_scan"
    return found


@pytest.fixture(scope="module")
def record_site(scanned: Settings, trades: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = copy_data(scanned, tmp_path_factory.mktemp("record") / "data")
    write_trades(settings, trades)
    with serving(settings) as site:
        yield site


def test_record_without_a_mature_trade_says_that_there_is_nothing_to_plot(
    scanned: Settings, trades: pd.DataFrame, tmp_path: Path
) -> None:
    settings = copy_data(scanned, tmp_path / "data")
    write_trades(settings, trades.assign(mature=False))
    with serving(settings) as site:
        page = site.get("/record").text
        assert "There is nothing to plot yet: no trade has passed its time limit." in page
        assert "data-figure=" not in page
        assert site.get("/record/figures").json() == {}


def test_record_is_that_of_the_trades_published_in_time(record_site: Site, trades: pd.DataFrame) -> None:
    found = record_site.get("/api/record").json()
    shown = trades[(trades["source"] == "published") & ~trades["hindsight"]]
    assert found["trades"] == len(shown)
    assert found["hindsight"] == int((trades["hindsight"] & (trades["source"] == "published")).sum())
    legacy = record(shown[shown["strategy"] == "Legacy"], Costs())
    assert found["strategies"]["Legacy"] == orjson.loads(orjson.dumps(legacy))
    of_side = [group for group in found["groups"] if (group["by"], group["strategy"]) == ("side", "Legacy")]
    assert [group["name"] for group in of_side] == ["LONG", "SHORT"]
    assert sum(group["n"] for group in of_side) == legacy["n"]


def test_trades_that_a_replay_does_not_give_are_shown_with_the_cause(record_site: Site, trades: pd.DataFrame) -> None:
    shown = trades[(trades["source"] == "published") & ~trades["hindsight"] & (trades["replay"] != "")]
    found = record_site.get("/api/record").json()["replayed"]
    assert found == {"compared": len(shown), "agree": len(shown) - 3, "causes": {"candles": 2, "missed_scan": 1}}
    page = record_site.get("/record").text
    part = page[page.index("Published and replayed") :]
    assert f"{len(shown)} trades were compared" in part
    assert part.count("/?window=") == 3
    assert part.index(trades["symbol"][1_206]) < part.index(trades["symbol"][1_205])  # the newest first
    assert "candles came later or were revised" in part
    assert "−1.00" in part
    of_legacy = record_site.get("/api/record?strategy=legacy").json()["replayed"]
    assert of_legacy["compared"] == int((shown["strategy"] == "Legacy").sum())


def test_record_without_a_comparison_says_so(own_site: Site, trades: pd.DataFrame) -> None:
    write_trades(own_site.settings, trades.assign(replay=""))
    assert "No trade was compared with a replay yet." in own_site.get("/record").text


def test_filters_of_the_record_combine(record_site: Site, trades: pd.DataFrame) -> None:
    found = record_site.get("/api/record?strategy=legacy,breakout&side=long&exchange=okx&days=20").json()
    shown = trades[
        trades["strategy"].isin(["Legacy", "Breakout"])
        & (trades["side"] == "LONG")
        & (trades["exchange"] == "OKX")
        & (trades["entry_ms"] > trades["entry_ms"].max() - 20 * 86_400_000)
        & (trades["source"] == "published")
        & ~trades["hindsight"]
    ]
    assert found["trades"] == len(shown) > 0
    assert list(found["strategies"]) == ["Breakout", "Legacy"]


def test_late_trades_are_apart(record_site: Site, trades: pd.DataFrame) -> None:
    found = record_site.get("/api/record?source=late").json()
    assert found["trades"] == int(((trades["source"] == "late") & ~trades["hindsight"]).sum())
    assert all(one["too_few"] for name, one in found["strategies"].items() if name != "Legacy")
    assert "follow a feed that came late" in record_site.get("/record").text


def test_trades_come_newest_first_up_to_the_limit(record_site: Site, trades: pd.DataFrame) -> None:
    found = record_site.get("/api/trades?limit=5&outcome=stop,target&symbol=m00").json()
    shown = trades[
        trades["outcome"].isin(["stop", "target"])
        & trades["symbol"].str.startswith("M00")
        & (trades["source"] == "published")
    ]
    assert found["matched"] == len(shown)
    assert [one["entry_ms"] for one in found["trades"]] == shown["entry_ms"].to_list()[::-1][:5]


def test_what_a_trade_does_not_have_is_null(own_site: Site) -> None:
    signal = own_site.feed["signals"][0]
    window = Window.of_key(own_site.feed["window"])
    unknown = {"entry": None, "exit": None, "net_r": None, "exit_ms": 0, "outcome": "pending", "side": "LONG"}
    write_trades(own_site.settings, trade_of(signal, window, **unknown))
    (found,) = own_site.get("/api/trades").json()["trades"]
    assert [found[name] for name in ("entry", "exit", "net_r", "exit_ms")] == [None] * 4
    assert "is about to be entered" in own_site.get("/record").text


def test_open_trade_has_neither_exit_nor_result(own_site: Site) -> None:
    """The table holds the last close as its exit, and the result so far."""
    signal = own_site.feed["signals"][0]
    window = Window.of_key(own_site.feed["window"])
    entered = window.end_ms - 86_400_000
    trade = trade_of(signal, window, entry_ms=entered, exit_ms=window.end_ms, outcome="open", side="LONG")
    write_trades(own_site.settings, trade)
    (found,) = own_site.get("/api/trades").json()["trades"]
    address = f"/api/signals/{quote(signal['exchange'])}/{quote(signal['symbol'])}"
    (drawn,) = own_site.get(address).json()["trades"]
    for shown in (found, drawn):
        assert [shown[name] for name in ("outcome", "exit", "exit_ms", "net_r")] == ["open", *[None] * 3]
        assert shown["entry"] is not None


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("/api/record?side=up", "invalid side: input should be 'LONG' or 'SHORT'"),
        ("/api/record?source=replayed", "invalid source: input should be 'published' or 'late'"),
        ("/api/record?days=0", "invalid days: input should be greater than or equal to 1"),
        ("/api/record?symbol=BTC", "unknown parameter symbol: expected strategy, exchange, side, days, source"),
        ("/api/trades?limit=0", "invalid limit: input should be greater than or equal to 1"),
        ("/api/trades?outcome=won", "invalid outcome: input should be 'target', 'stop', 'expired'"),
        ("/api/trades?days=1&days=2", "invalid days: given twice"),
    ],
)
def test_wrong_parameter_is_named(record_site: Site, address: str, says: str) -> None:
    answer = record_site.get(address)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(says)
    page = record_site.get(address.replace("/api/trades", "/record").replace("/api", ""))
    assert page.status_code == 400


def test_unchanged_trades_are_not_sent_again(own_site: Site, trades: pd.DataFrame) -> None:
    write_trades(own_site.settings, trades)
    for path in ("/record", "/record/figures", "/api/record", "/api/trades"):
        tag = own_site.get(path).headers["ETag"]
        assert own_site.get(path, headers={"If-None-Match": tag}).status_code == 304
    write_trades(own_site.settings, trades.head(100))
    assert own_site.get("/api/record", headers={"If-None-Match": tag}).json()["trades"] < 100


def test_without_trades_the_page_says_what_is_missing(own_site: Site) -> None:
    (own_site.settings.lake_dir / "trades.parquet").unlink()
    assert "There are no trades yet" in own_site.get("/record").text
    assert own_site.get("/api/record").json()["strategies"] == {}
    assert own_site.get("/api/trades").json() == {"matched": 0, "trades": []}
    assert own_site.get("/record/figures").json() == {}


def test_filters_that_no_trade_passes_say_so(record_site: Site) -> None:
    assert "No trade passes these filters" in record_site.get("/record?exchange=NOWHERE").text


def test_damaged_table_of_trades_is_an_error_of_the_record_alone(own_site: Site) -> None:
    write_trades(own_site.settings, made_trades(10, Window.of_key(own_site.feed["window"])))
    (file,) = own_site.settings.lake_dir.glob("trades*")
    file.write_bytes(file.read_bytes()[:200])
    answer = own_site.get("/api/record")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "damaged_trades")
    assert own_site.get("/record").status_code == 503
    assert own_site.get("/").status_code == own_site.get("/rows").status_code == 200


def test_period_is_that_of_the_shown_trades(record_site: Site, trades: pd.DataFrame) -> None:
    shown = trades[(trades["source"] == "published") & ~trades["hindsight"]]
    recent = shown[shown["entry_ms"] > trades["entry_ms"].max() - 7 * 86_400_000]
    for address, some in (("/record", shown), ("/record?days=7", recent)):
        first, last = (formatting.timestamp(time) for time in (some["entry_ms"].min(), some["entry_ms"].max()))
        expected = f"{len(some):,} trades of published signals, entered from {first} to {last} UTC."
        assert expected in record_site.get(address).text


def test_one_trade_is_not_called_trades(own_site: Site, trades: pd.DataFrame) -> None:
    one = record_sentence(given(own_site.feed, track_record={**RECORD, "n": 1, "days": 1}))
    assert ": 1 trade on 1 day of" in one
    some = trades[trades["source"] == "published"].head(3)
    write_trades(own_site.settings, some.assign(hindsight=[False, False, True]))
    assert "1 trade is left out, since the market was selected later." in own_site.get("/record").text


def test_too_few_trades_have_no_number(record_site: Site) -> None:
    page = record_site.get("/record?strategy=BreakoutV2&exchange=OKX&days=7").text
    strategies = page.partition("<tbody>")[2].partition("</tbody>")[0]
    assert '<td class="few" colspan="7">too few to say</td>' in strategies
    assert "%" not in strategies


def given(feed: Json, **values: object) -> Json:
    """Return a signal with a setup and other values."""
    signal = next(one for one in with_setups(feed)["signals"] if one["action"] == "LONG")
    return {**signal, **values}


@pytest.mark.parametrize(
    ("found", "text", "few", "value"),
    [
        (RECORD, "−0.15 R", False, -0.154),
        ({**RECORD, "too_few": True}, "too few to say", True, None),
        (None, "", False, None),
    ],
)
def test_row_shows_the_record_of_signals_like_this(
    site: Site, found: Json | None, text: str, few: bool, value: float | None
) -> None:
    (row,) = rows_of([given(site.feed, track_record=found)], GATES)
    assert (row.record_text, row.record_few, row.record) == (text, few, value)
    assert row.record_n == ("n 188" if found else "")


@pytest.mark.parametrize(
    ("interval", "meaning"), [([-0.37, 0.07], "which cannot be told from 0"), ([-0.3, -0.1], "a loss")]
)
def test_record_is_explained_in_one_sentence(site: Site, interval: list[float], meaning: str) -> None:
    signal = given(site.feed, track_record={**RECORD, "mean_r_interval": interval}, strategy_name="Legacy")
    sentence = record_sentence(signal)
    assert sentence.startswith("Legacy LONG signals with a score like this: 188 trades on 13 days of the last 90, on")
    assert f"{meaning}; against random entries −0.11 R." in sentence
    assert "too few to say." in record_sentence({**signal, "track_record": {**RECORD, "too_few": True}})
    assert record_sentence({**signal, "setup": None}) == ""


def test_signal_of_an_older_window_shows_how_its_trade_ended(own_site: Site) -> None:
    feed = with_setups(own_site.feed)
    own_site.write(orjson.dumps(feed))
    signal = next(one for one in feed["signals"] if one["action"] == "LONG")
    window = Window.of_key(feed["window"])
    assert all(row["ended_text"] == "" for row in own_site.get("/rows").json()["rows"])
    write_trades(own_site.settings, trade_of(signal, window))
    rows = {row["id"]: row for row in own_site.get("/rows").json()["rows"]}
    name = f"{signal['exchange']}/{signal['symbol']}/{signal['strategy_name']}"
    assert rows.pop(name)["ended_text"] == "target +1.85\N{NO-BREAK SPACE}R"
    assert all(row["ended_text"] == "" for row in rows.values())
    panel = own_site.get(f"/?open={quote(name)}").text
    assert "Its trade reached the target at" in panel


def test_chart_has_the_trades_as_they_stood_at_the_windows_end(own_site: Site) -> None:
    signal = next(one for one in with_setups(own_site.feed)["signals"] if one["action"] == "LONG")
    window = Window.of_key(own_site.feed["window"])
    day = 86_400_000
    table = pd.concat(
        [
            trade_of(signal, window, entry_ms=window.end_ms - day, exit_ms=window.end_ms - day // 2),
            trade_of(signal, window, entry_ms=window.end_ms - day // 4, exit_ms=window.end_ms + day),
            trade_of(signal, window, entry_ms=window.end_ms + day, exit_ms=window.end_ms + 2 * day),
        ],
        ignore_index=True,
    )
    write_trades(own_site.settings, table)
    address = f"/api/signals/{quote(signal['exchange'])}/{quote(signal['symbol'])}"
    shown = own_site.get(address).json()["trades"]
    assert [(one["outcome"], one["net_r"], one["exit"] is None) for one in shown] == [
        ("target", 1.85, False),
        ("open", None, True),
    ]


@pytest.mark.speed
def test_record_of_100_000_trades_takes_less_than_a_second(own_site: Site) -> None:
    trades = made_trades(100_000, Window.of_key(own_site.feed["window"]))

    def shown() -> None:
        write_trades(own_site.settings, trades.assign(later_r=trades["later_r"] + 1e-9))
        assert own_site.get("/record").status_code == 200

    writing = best_cpu_seconds(lambda: Lake(own_site.settings.lake_dir).write(TRADES, None, trades), tries=3)
    assert best_cpu_seconds(shown, tries=3) - writing < 1.0

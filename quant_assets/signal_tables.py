"""The best signals of a feed as tables for a terminal of any width.

Setups and waiting signals are two tables, since they have other things to show. A column that says the same in every
row is left out, and so is what does not fit: the least important first, never cut to a few letters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from quant_assets.feed.build import OLD_PRICE_SECONDS
from quant_assets.feed.reasons import reason_summary
from quant_assets.texts import printable

Signal = Mapping[str, Any]

SIDE_STYLES: Final = {"LONG": "green", "SHORT": "red", "NONE": "dim", "WAIT": "dim"}
STATUS_STYLES: Final = {"resolved": "green", "aggregated": "yellow", "neutral": "dim"}
UNKNOWN: Final = "–"
#: Beside the market of a setup whose asset has one of the other side too.
CONFLICT_MARK: Final = " !"
_GAP: Final = 2


def age_text(seconds: float | None) -> str:
    """Write an age, like 12 min, 3 h or 2 d."""
    if seconds is None:
        return UNKNOWN
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * 86_400 else f"{seconds / 86_400:.0f} d"


def _price(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.6g}"


def _market(signal: Signal) -> str:
    return printable(signal["display_symbol"]) + (CONFLICT_MARK if signal["conflict"] else "")


def _old_price(signal: Signal) -> str:
    age_seconds = signal["price_age_seconds"]
    return age_text(age_seconds) if age_seconds >= OLD_PRICE_SECONDS else ""


def _z_score(signal: Signal) -> str:
    z_score = signal["oi_metadata"]["z_score"]
    return UNKNOWN if z_score is None else f"{z_score:+.2f}"


class Column(NamedTuple):
    """A column: its text for a signal, its style, and whether numbers stand under one another in it."""

    title: str
    text: Callable[[Signal], str]
    style: Callable[[Signal], str] = lambda _: ""
    is_number: bool = False


_ACTION: Final = Column("action", lambda s: s["action"], lambda s: SIDE_STYLES[s["action"]])
_MARKET: Final = Column("market", _market)
_EXCHANGE: Final = Column("exchange", lambda s: printable(s["exchange"]))
_STRATEGY: Final = Column("strategy", lambda s: printable(s["strategy_name"]))
_SCORE: Final = Column("score", lambda s: f"{s['score']:.1f}", is_number=True)
_BIAS: Final = Column("bias", lambda s: s["bias"], lambda s: SIDE_STYLES[s["bias"]])
_PRICE: Final = Column("price", lambda s: _price(s["price"]), is_number=True)
_PRICE_AGE: Final = Column("price age", _old_price, lambda _: "yellow", is_number=True)
_OI_Z: Final = Column("OI z", _z_score, is_number=True)
_OI_AGE: Final = Column("OI age", lambda s: age_text(s["oi_metadata"]["age_seconds"]), is_number=True)
_OI: Final = Column(
    "open interest", lambda s: s["oi_metadata"]["status"], lambda s: STATUS_STYLES[s["oi_metadata"]["status"]]
)

#: In the order in which they are shown.
SETUP_COLUMNS: Final = (
    _ACTION,
    _MARKET,
    _EXCHANGE,
    _STRATEGY,
    _SCORE,
    Column("R:R", lambda s: f"{s['rr']:.2f}", is_number=True),
    Column("entry", lambda s: _price(s["entry"]), is_number=True),
    Column("stop", lambda s: _price(s["stop_loss"]), is_number=True),
    Column("target", lambda s: _price(s["take_profit"]), is_number=True),
    _PRICE_AGE,
    _OI_Z,
    _OI_AGE,
    _OI,
)
WAIT_COLUMNS: Final = (
    _MARKET,
    _EXCHANGE,
    _STRATEGY,
    _SCORE,
    _BIAS,
    Column("why it waits", lambda s: printable(reason_summary(s["details"]))),
    _PRICE,
    _PRICE_AGE,
    _OI_Z,
    _OI_AGE,
    _OI,
)
#: The most important first.
IMPORTANCE: Final = (
    *("action", "market", "score", "bias", "entry", "stop", "target", "R:R", "why it waits", "exchange", "strategy"),
    *("price age", "price", "OI z", "OI age", "open interest"),
)
#: Shown also where every row says the same.
_ALWAYS: Final = frozenset({"action", "market", "score", "bias"})


def signal_tables(feed: Mapping[str, Any], count: int, width: int) -> Iterator[Table]:
    """Give the best `count` signals of a feed as tables that are at most `width` letters wide."""
    best = feed["signals"][:count]
    title = f"Best {len(best)} of {len(feed['signals'])} signals, {feed['as_of']}"
    title = f"{title}, SIMULATED DATA" if feed["simulated"] else title
    setups = [signal for signal in best if signal["setup"] is not None]
    waiting = [signal for signal in best if signal["setup"] is None]
    if setups or not best:
        yield _table(title, SETUP_COLUMNS, setups, width)
    if waiting:
        yield _table("Waiting, best score first" if setups else title, WAIT_COLUMNS, waiting, width)


def _table(title: str, columns: Sequence[Column], signals: Sequence[Signal], width: int) -> Table:
    texts = {column.title: [column.text(signal) for signal in signals] for column in columns}
    constant = {
        name: values[0]
        for name, values in texts.items()
        if name not in _ALWAYS and len(set(values)) == 1 and (len(values) > 1 or not values[0])
    }
    said = [f"all {constant[name]}" for name in ("exchange", "strategy") if name in constant]
    shown = _fitting([column for column in columns if column.title not in constant], texts, width)
    table = Table(
        title=escape(", ".join([title, *said])),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, _GAP - 1, 0, 0),  # the box puts a blank between columns too
    )
    for column in shown:
        table.add_column(column.title, justify="right" if column.is_number else "left", no_wrap=True)
    for number, signal in enumerate(signals):
        table.add_row(*(Text(texts[column.title][number], style=column.style(signal)) for column in shown))
    return table


def _fitting(columns: Sequence[Column], texts: Mapping[str, Sequence[str]], width: int) -> list[Column]:
    """Return the columns that fit beside one another, the most important ones first to find a place."""
    chosen: set[str] = set()
    left = width
    for column in sorted(columns, key=lambda column: IMPORTANCE.index(column.title)):
        needed = max(map(cell_len, (column.title, *texts[column.title]))) + _GAP
        if needed <= left + _GAP:  # nothing stands to the right of the last one
            chosen.add(column.title)
            left -= needed
    return [column for column in columns if column.title in chosen]

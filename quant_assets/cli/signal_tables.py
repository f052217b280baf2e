"""The best signals of a feed as tables for a terminal of any width.

Setups and waiting signals are in two tables, since they have different columns. A column with the same value in every
row is shown in the title instead. If columns do not fit, the least important ones are left out; no cell is truncated.
Exchange and strategy are shown below the market if there is no room for columns of their own. Below the waiting signals
are the conditions that they failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quant_assets.common.text import escape_control_chars, format_age
from quant_assets.feed.build import OLD_PRICE_SECONDS
from quant_assets.feed.reasons import reason_sentence, reason_summary
from quant_assets.signals import GateIndex

Signal = Mapping[str, Any]

SIDE_STYLES: Final = {"LONG": "green", "SHORT": "red", "NONE": "dim", "WAIT": "dim"}
STATUS_STYLES: Final = {"resolved": "green", "aggregated": "yellow", "neutral": "dim"}
UNKNOWN: Final = "–"
#: Marks the market of a setup whose asset also has a setup on the other side.
CONFLICT_MARK: Final = " !"
#: Marks the market of a signal whose price is at least OLD_PRICE_SECONDS old.
OLD_PRICE_MARK: Final = " ~"
#: Blanks between two columns, if there is room and if there is little.
_GAPS: Final = (2, 1)
MAX_PRICE_CHARS: Final = 10
#: Columns that may be shown below the market, with their separator there, in the order in which they are tried.
_BELOW_MARKET: Final = ((("exchange",), ""), (("exchange", "strategy"), " · "), (("exchange", "strategy"), "\n  "))


def _age(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else format_age(seconds)


def _price(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    text = f"{value:.6g}"
    return text if len(text) <= MAX_PRICE_CHARS else f"{value:.5g}"


def _market(signal: Signal) -> str:
    marks = (CONFLICT_MARK if signal["conflict"] else "") + (OLD_PRICE_MARK if has_old_price(signal) else "")
    return escape_control_chars(signal["display_symbol"]) + marks


def has_old_price(signal: Signal) -> bool:
    """Return whether the bar of a signal's price closed so long before the window's end that it is marked."""
    return bool(signal["price_age_seconds"] >= OLD_PRICE_SECONDS)


def _old_price(signal: Signal) -> str:
    return format_age(signal["price_age_seconds"]) if has_old_price(signal) else ""


def _z_score(signal: Signal) -> str:
    z_score = signal["oi_metadata"]["z_score"]
    return UNKNOWN if z_score is None else f"{z_score:+.2f}"


class Column(NamedTuple):
    """A column: its title, text and style for a signal, and whether it is right-aligned as a number."""

    title: str
    text: Callable[[Signal], str]
    style: Callable[[Signal], str] = lambda _: ""
    is_number: bool = False


_ACTION: Final = Column("action", lambda s: s["action"], lambda s: SIDE_STYLES[s["action"]])
_MARKET: Final = Column("market", _market)
_EXCHANGE: Final = Column("exchange", lambda s: escape_control_chars(s["exchange"]))
_STRATEGY: Final = Column("strategy", lambda s: escape_control_chars(s["strategy_name"]))
_SCORE: Final = Column("score", lambda s: f"{s['score']:.1f}", is_number=True)
_BIAS: Final = Column("bias", lambda s: s["bias"], lambda s: SIDE_STYLES[s["bias"]])
_PRICE: Final = Column("price", lambda s: _price(s["price"]), is_number=True)
_PRICE_AGE: Final = Column("price age", _old_price, lambda _: "yellow", is_number=True)
_OI_Z: Final = Column("OI z", _z_score, is_number=True)
_OI_AGE: Final = Column("OI age", lambda s: _age(s["oi_metadata"]["age_seconds"]), is_number=True)
_OI: Final = Column(
    "open interest", lambda s: s["oi_metadata"]["status"], lambda s: STATUS_STYLES[s["oi_metadata"]["status"]]
)

#: Columns in the order in which they are shown.
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
#: Titles of columns, the most important first.
IMPORTANCE: Final = (
    *("action", "market", "score", "bias", "entry", "stop", "target", "R:R", "why it waits", "exchange", "strategy"),
    *("price age", "price", "OI z", "OI age", "open interest"),
)
#: Columns that stay even if all rows have the same value, and that matter more than wide gaps.
_REQUIRED: Final = frozenset({"action", "market", "score", "bias", "R:R", "entry", "stop", "target"})
#: Columns that tell the rows of a market apart.
_IDENTITY: Final = ("exchange", "strategy")
#: Columns whose value in a title needs no name of the column.
_SELF_EXPLANATORY: Final = frozenset({"exchange", "strategy", "why it waits"})


def wait_columns(gates: GateIndex) -> tuple[Column, ...]:
    """Return the columns of waiting signals in the order in which they are shown."""
    reason = Column("why it waits", lambda s: escape_control_chars(reason_summary(s, gates)))
    return (_MARKET, _EXCHANGE, _STRATEGY, _SCORE, _BIAS, reason, _PRICE, _PRICE_AGE, _OI_Z, _OI_AGE, _OI)


def signal_tables(feed: Mapping[str, Any], count: int, width: int, gates: GateIndex) -> Iterator[RenderableType]:
    """Yield tables of the best `count` signals of a feed with their titles, at most `width` characters wide."""
    best = feed["signals"][:count]
    title = f"Best {len(best)} of {len(feed['signals'])} signals, {feed['as_of']}"
    title = f"{title}, SIMULATED DATA" if feed["simulated"] else title
    setups = [signal for signal in best if signal["setup"] is not None]
    waiting = [signal for signal in best if signal["setup"] is None]
    if setups or not best:
        yield _table(title, SETUP_COLUMNS, setups, width)
    if waiting:
        yield _table("Waiting, best score first" if setups else title, wait_columns(gates), waiting, width)
        conditions = list(_failed_conditions(waiting, gates))
        if conditions:
            yield Group(*(Text(condition, style="dim") for condition in conditions))


def _failed_conditions(waiting: Sequence[Signal], gates: GateIndex) -> Iterator[str]:
    """Yield each condition that a signal failed, with its reason and strategies."""
    strategies: dict[tuple[str, str], dict[str, None]] = {}
    for signal in waiting:
        if sentence := reason_sentence(signal, gates):
            reason = signal["details"]["reason"].replace("_", " ")
            strategies.setdefault((reason, sentence), {})[signal["strategy_name"]] = None
    for (reason, sentence), names in strategies.items():
        yield escape_control_chars(f"{reason} ({', '.join(names)}): {sentence}")


def _table(title: str, columns: Sequence[Column], signals: Sequence[Signal], width: int) -> Group:
    texts = {column.title: [column.text(signal) for signal in signals] for column in columns}
    constant = {name: values[0] for name, values in texts.items() if _is_constant(name, values)}
    every = "all " if len(signals) > 1 else ""
    in_title = [
        f"{every}{value}" if name in _SELF_EXPLANATORY else f"{name} {'unknown' if value == UNKNOWN else value}"
        for name, value in constant.items()
        if value
    ]
    columns = [column for column in columns if column.title not in constant]
    shown, shown_texts, gap = _layout(columns, texts, width)
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, gap - 1, 0, 0),  # the box adds a blank between columns
    )
    for column in shown:
        table.add_column(column.title, justify="right" if column.is_number else "left", no_wrap=True)
    for number, signal in enumerate(signals):
        table.add_row(*(Text(shown_texts[column.title][number], style=column.style(signal)) for column in shown))
    parts: list[RenderableType] = [Text(", ".join([title, *in_title]), style="italic"), table]
    left_out = [column.title for column in columns if column not in shown and column.title not in _IDENTITY]
    if left_out:
        parts.append(Text(f"columns left out (terminal too narrow): {', '.join(left_out)}", style="dim"))
    return Group(*parts)


def _is_constant(name: str, values: Sequence[str]) -> bool:
    """Return whether the title can show a column; for a single row, only exchange and strategy are shown there."""
    if name in _REQUIRED or len(set(values)) != 1:
        return False
    return len(values) > 1 or not values[0] or name in _IDENTITY


def _layout(
    columns: Sequence[Column], texts: Mapping[str, list[str]], width: int
) -> tuple[list[Column], Mapping[str, list[str]], int]:
    """Return the columns that fit, their texts, and the gap between them.

    Tries these layouts until all required columns are shown: a wide gap; a narrow gap; the exchange below the market;
    exchange and strategy below it in one line; the same in two lines.
    """
    required = {column.title for column in columns} & {*_REQUIRED, *_IDENTITY, "why it waits"}
    layouts = [(columns, texts, gap) for gap in _GAPS]
    layouts += [(*_move_below_market(columns, texts, names, sep), _GAPS[-1]) for names, sep in _BELOW_MARKET]
    for candidates, candidate_texts, gap in layouts:
        shown = _fitting(candidates, candidate_texts, width, gap)
        if required & {column.title for column in candidates} <= {column.title for column in shown}:
            break
    return shown, candidate_texts, gap


def _move_below_market(
    columns: Sequence[Column], texts: Mapping[str, list[str]], names: Sequence[str], separator: str
) -> tuple[list[Column], Mapping[str, list[str]]]:
    """Move the columns of these names below the text of the market."""
    moved = [column.title for column in columns if column.title in names]
    if not moved:
        return list(columns), texts
    below = [separator.join(values) for values in zip(*(texts[name] for name in moved), strict=True)]
    markets = [f"{market}\n  {line}" for market, line in zip(texts["market"], below, strict=True)]
    return [column for column in columns if column.title not in moved], {**texts, "market": markets}


def _fitting(columns: Sequence[Column], texts: Mapping[str, Sequence[str]], width: int, gap: int) -> list[Column]:
    """Return the columns that fit, chosen by importance down to the first one that does not fit."""
    chosen: set[str] = set()
    left = width
    for column in sorted(columns, key=lambda column: IMPORTANCE.index(column.title)):
        lines = [line for text in (column.title, *texts[column.title]) for line in text.split("\n")]
        needed = max(map(cell_len, lines)) + gap
        if needed > left + gap:  # the last column needs no gap
            break
        chosen.add(column.title)
        left -= needed
    return [column for column in columns if column.title in chosen]

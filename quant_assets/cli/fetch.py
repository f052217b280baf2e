"""The command `quant-assets fetch`; orchestration/fetch.py does the work."""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from quant_assets.cli.arguments import Json
from quant_assets.cli.environment import create_data_folder, load_settings, silence_dagster
from quant_assets.cli.errors import EXIT_UNEXPECTED, echo_err, usage_error
from quant_assets.common.settings import VARIABLES, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant_assets.candles.exchanges.config import ExchangesConfig
    from quant_assets.orchestration.fetch import FetchResult

#: What a market costs in the bar store: the bytes of a bar, and its 15m and 4h bars of a day.
BYTES_A_BAR = 33
BARS_A_DAY = 96 + 6


def fetch(
    exchange: Annotated[list[str] | None, typer.Option(help="Fetch this exchange; repeat it for more.")] = None,
    top: Annotated[int, typer.Option(min=0, help="At most so many markets of each exchange, by turnover.")] = 0,
    days: Annotated[float, typer.Option(min=0, help="Days of history, if not as in exchanges.toml.")] = 0.0,
    since: Annotated[str, typer.Option(help="History from this moment on, ISO 8601, in place of --days.")] = "",
    timeframe: Annotated[list[str] | None, typer.Option(help="Only 15m or 4h bars.")] = None,
    max_wait: Annotated[float, typer.Option(min=1, help="Seconds to spend; a later fetch goes on.")] = 3600.0,
    only_list: Annotated[bool, typer.Option("--list", help="Show the markets and why some are left out.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch candles from exchanges into the data folder; no key is needed. It goes on where an earlier one ended."""
    settings = load_settings(fetches=False)
    from quant_assets.orchestration.fetch import FetchChoice  # noqa: PLC0415
    from quant_assets.storage.database_clock import clock_of  # noqa: PLC0415

    chosen = _exchanges(exchange or [])
    timeframes = _timeframes(timeframe or [])
    history_days = _history_days(days, since, clock_of(settings).now())
    config = load_choice(settings)
    if not chosen and not config.exchanges:
        chosen, top = ask_for_exchanges(settings, config)
    create_data_folder(settings)
    if chosen and not only_list and not settings.exchanges_path.exists():
        _write_choice(settings, chosen, top, days)
        names = ", ".join(chosen)
        echo_err(f"{names} written to {settings.exchanges_path}: `scan` without a folder fetches their candles too")
    choice = FetchChoice(chosen, top, history_days, timeframes, max_wait)
    result = fetch_and_report(settings, choice, candles=not only_list)
    if only_list:
        print_markets(settings, as_json=as_json)
        return
    _warn_about_longer_files(settings)
    if as_json:
        print(orjson.dumps(_summary(result), option=orjson.OPT_INDENT_2).decode())
    else:
        print_fetched(result)


def fetch_and_report(settings: Settings, choice: Any, *, lists: bool = True, candles: bool = True) -> FetchResult:
    """Run a fetch with progress bars; print what failed. Exit if the run fails, or the data folder has other data."""
    from quant_assets.cli.rendering import progress_bars  # noqa: PLC0415

    _check_origins(settings, choice.exchanges)
    silence_dagster()
    from quant_assets.definitions import build_definitions  # noqa: PLC0415
    from quant_assets.orchestration.fetch import FetchFailed, run_fetch  # noqa: PLC0415
    from quant_assets.orchestration.scan import ScanFailed  # noqa: PLC0415

    try:
        with progress_bars() as progress:
            result = run_fetch(settings, build_definitions(settings, progress), choice, lists=lists, candles=candles)
    except (FetchFailed, ScanFailed) as error:  # the latter for a full disk
        echo_err(f"the fetch failed: {error}")
        raise typer.Exit(EXIT_UNEXPECTED) from None
    for problem in result.list_problems.values():
        echo_err(problem)
    for row in result.exchanges:
        if row["problem"]:
            left = row["requested"] - row["done"]
            echo_err(f"{row['exchange']}: {row['problem']}; {left} requests are left for the next fetch")
        elif row["snapshot_problem"]:
            echo_err(f"{row['exchange']}: open interest or funding is missing: {row['snapshot_problem']}")
    return result


def _warn_about_longer_files(settings: Settings) -> None:
    """Name the candle files that are longer than what is fetched of their markets."""
    from quant_assets.candles.longer_files import describe_longer_files, find_longer_files  # noqa: PLC0415
    from quant_assets.markets import load_rules  # noqa: PLC0415
    from quant_assets.orchestration.exchange_source import bar_store  # noqa: PLC0415

    found = find_longer_files(settings.candle_folder, bar_store(settings), load_rules(settings.rules_path))
    if note := describe_longer_files(found):
        echo_err(note)


def load_choice(settings: Settings) -> ExchangesConfig:
    """Return the choice of exchanges.toml; exit if it or QUANT_EXCHANGE_URLS is invalid."""
    from quant_assets.candles.exchanges.config import ExchangesConfigError, load_exchanges  # noqa: PLC0415
    from quant_assets.candles.exchanges.connections import check_exchange_urls  # noqa: PLC0415

    try:
        check_exchange_urls(settings)
        return load_exchanges(settings.exchanges_path)
    except ExchangesConfigError as error:
        usage_error(str(error))


def _check_origins(settings: Settings, exchanges: Sequence[str]) -> None:
    """Exit if the data folder holds data of another origin of an exchange that will be fetched."""
    from quant_assets.storage.origins import OriginError, foreign_origin  # noqa: PLC0415

    try:
        for exchange in exchanges or load_choice(settings).exchanges:
            origin = settings.exchange_origin(exchange)
            if problem := foreign_origin(settings, exchange, origin, VARIABLES["exchange_urls"]):
                usage_error(problem)
    except OriginError as error:
        usage_error(str(error))


def ask_for_exchanges(settings: Settings, config: ExchangesConfig) -> tuple[list[str], int]:
    """Ask a person which exchanges and how many markets to fetch, and write exchanges.toml. Exit without a terminal."""
    from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS  # noqa: PLC0415

    names = ", ".join(EXCHANGE_APIS)
    if settings.exchanges_path.exists():
        usage_error(f"{settings.exchanges_path} names no exchange; add exchanges = [...] with some of {names}")
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        usage_error(
            "no exchange is chosen: name some with --exchange, or in "
            f"{settings.exchanges_path} as exchanges = [...]; known are {names}"
        )
    echo_err(f"Which exchanges? Known are {names}.")
    answer = typer.prompt("Names, separated by commas", default="BYBIT", err=True)
    exchanges = _exchanges([name.strip() for name in answer.split(",") if name.strip()])
    top = typer.prompt("How many markets of each, by turnover", default=100, type=int, err=True)
    if top < 1:
        usage_error(f"{top} markets: expected 1 or more")
    echo_err(_estimate(exchanges, top, config.history_days))
    if not typer.confirm("Go on?", default=True, err=True):
        raise typer.Exit
    _write_choice(settings, exchanges, top)
    echo_err(f"written to {settings.exchanges_path}; edit it to change the choice")
    return [], 0


def _write_choice(settings: Settings, exchanges: Sequence[str], top: int, days: float = 0.0) -> None:
    """Write exchanges.toml, unless another process has just done so; exit if it cannot be written."""
    from quant_assets.candles.exchanges.config import write_exchanges  # noqa: PLC0415
    from quant_assets.common.files import WriteError  # noqa: PLC0415

    try:
        write_exchanges(settings.exchanges_path, exchanges, top, days)
    except FileExistsError:
        pass
    except WriteError as error:
        echo_err(str(error))
        raise typer.Exit(EXIT_UNEXPECTED) from None


def _estimate(exchanges: list[str], top: int, days: float) -> str:
    """Return what a first fetch costs at most, in minutes and megabytes."""
    from quant_assets.candles.exchanges.connections import USED_SHARE  # noqa: PLC0415
    from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS  # noqa: PLC0415

    minutes = 0.0
    for name in exchanges:
        api = EXCHANGE_APIS[name]
        weight = sum(
            math.ceil(days * bars / api.max_bars[timeframe]) * api.bar_weight(timeframe)
            for timeframe, bars in (("15m", 96), ("4h", 6))
        )
        minutes = max(minutes, top * weight / (api.limit * USED_SHARE) * api.period_seconds / 60)
    megabytes = len(exchanges) * top * days * BARS_A_DAY * BYTES_A_BAR / 1e6
    return (
        f"{days:g} days of history take about {max(minutes, 0.1):.1f} minutes and at most {max(megabytes, 1):.0f} MB."
    )


def _exchanges(names: list[str]) -> list[str]:
    from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS, unknown_exchange  # noqa: PLC0415

    upper = [name.upper() for name in names]
    for given, name in zip(names, upper, strict=True):
        if name not in EXCHANGE_APIS:
            usage_error(unknown_exchange(given))
    return list(dict.fromkeys(upper))


def _timeframes(names: list[str]) -> list[str]:
    from quant_assets.common.timeframes import STEP_MS  # noqa: PLC0415

    for name in names:
        if name not in STEP_MS:
            usage_error(f"Unknown timeframe {name!r}: known are {', '.join(STEP_MS)}")
    return names or list(STEP_MS)


def _history_days(days: float, since: str, now: datetime) -> float:
    """Return the days of history until `now` that the options ask for, 0 for none."""
    from quant_assets.candles.exchanges.config import MAX_HISTORY_DAYS  # noqa: PLC0415

    if not (days == 0 or 1 <= days <= MAX_HISTORY_DAYS):
        usage_error(f"--days {days:g}: expected 1 to {MAX_HISTORY_DAYS}")
    if not since:
        return days
    if days:
        usage_error("--days and --since both say where history begins; choose one of them")
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        usage_error(f"Invalid timestamp {since!r}: expected ISO 8601, e.g. 2026-01-19 or 2026-01-19T17:00:00Z")
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    found = (now - moment).total_seconds() / 86400
    if found <= 0:
        usage_error(f"--since {since} is in the future")
    if found > MAX_HISTORY_DAYS:
        usage_error(f"--since {since} is {found:,.0f} days ago: expected at most {MAX_HISTORY_DAYS}")
    return found


def print_fetched(result: FetchResult) -> None:
    """Print a table with a row for each exchange, and a summary."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    names = ("markets", "bars", "revised", "gaps", "refused", "late", "failed", "requests")
    table.add_column("exchange")
    for name in names:
        table.add_column(name, justify="right")
    for row in result.exchanges:
        values = {**row, "bars": row["new"]}
        table.add_row(row["exchange"], *(f"{values[name]:,}" for name in names))
    Console().print(table)
    bars = sum(row["new"] for row in result.exchanges)
    print(f"{bars:,} new bars of {result.markets:,} markets in {result.elapsed_seconds:.1f} s")
    interest, funding, history = (
        sum(row[name] for row in result.exchanges)
        for name in ("open_interest", "funding_rate", "open_interest_history")
    )
    if interest or funding:
        print(f"open interest of {interest:,} markets, funding of {funding:,}, history of {history:,}")


def print_markets(settings: Settings, *, as_json: bool) -> None:
    """Print the stored markets: those that are fetched, and of the others how many and why not."""
    from quant_assets.storage.lake import Lake  # noqa: PLC0415

    table = Lake(settings.lake_place).read(["exchange_markets"])
    if table is None:
        usage_error("there is no market list yet")
    if as_json:
        print(orjson.dumps(table.to_dict("records"), option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode())
        return
    for exchange, rows in table.groupby("exchange", sort=False):
        selected = rows[rows["selected"]]
        print(f"{exchange}: {len(selected)} of {len(rows)} contracts are fetched")
        for symbol, volume in zip(selected["symbol"], selected["quote_volume_24h"], strict=True):
            print(f"  {symbol:<24} {volume:>20,.0f}")
        for reason, count in rows.loc[~rows["selected"], "reason"].value_counts().sort_index().items():
            print(f"  not fetched, {reason}: {count}")


def _summary(result: FetchResult) -> dict[str, Any]:
    return {
        "markets": result.markets,
        "new_bars": sum(row["new"] for row in result.exchanges),
        "exchanges": result.exchanges,
        "list_problems": result.list_problems,
        "elapsed_seconds": round(result.elapsed_seconds, 3),
    }

"""What an evaluation and a search of parameters read: candles, the range of windows, and costs."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from quant_assets.cli.arguments import parse_window
from quant_assets.cli.candle_sources import read_history
from quant_assets.cli.errors import echo_err, usage_error
from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from quant_assets.evaluation import Costs, FundingRates, JoinedBars, Prices, StoredInputs
    from quant_assets.markets import ResolutionRules

DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class EvaluatedHistory:
    """The candles of the chosen markets, the first and the last window of the range, and what is stored of it."""

    candles: pd.DataFrame
    first: Window
    last: Window
    rules: ResolutionRules
    stored: StoredInputs


def evaluation_costs(settings: Settings) -> Costs:
    """Return the costs of the user's file; exit if it is invalid."""
    from quant_assets.evaluation import EvaluationConfigError, load_costs  # noqa: PLC0415

    try:
        return load_costs(settings.evaluation_path)
    except EvaluationConfigError as error:
        usage_error(str(error))


def read_evaluated_history(
    settings: Settings, folder: Path | None, given: tuple[str, str], selection: tuple[str, str]
) -> EvaluatedHistory:
    """Read the candles of a selection (exchange, symbol), and the range of --from and --to; exit if it is invalid.

    Without --from or --to the range is that of all candles after the warm-up.
    """
    from quant_assets.evaluation import NothingToEvaluate, full_range, stored_inputs  # noqa: PLC0415
    from quant_assets.markets import load_rules  # noqa: PLC0415
    from quant_assets.signals.replay import markets_of  # noqa: PLC0415
    from quant_assets.storage.database_clock import clock_of  # noqa: PLC0415
    from quant_assets.storage.lake import Lake  # noqa: PLC0415

    rules = load_rules(settings.rules_path)
    clock = clock_of(settings)
    first, last = (
        parse_window(text, option, clock) if text else None
        for text, option in zip(given, ("--from", "--to"), strict=True)
    )
    candles = _selected(read_history(settings, folder, first), rules, *selection)
    if first is None or last is None:
        try:
            whole = full_range(candles)
        except NothingToEvaluate as error:
            usage_error(str(error))
        first, last = first or whole[0], last or whole[1]
    if first > last:
        usage_error(f"--from {given[0] or first.end.isoformat()} is after --to {given[1] or last.end.isoformat()}")
    stored = stored_inputs(Lake(settings.lake_place), rules, markets_of(candles))
    return EvaluatedHistory(candles, first, last, rules, stored)


def evaluation_prices(settings: Settings, history: EvaluatedHistory, costs: Costs) -> Prices:
    """Return the bars that trades follow, the funding rates that the data folder has for their time, and the costs."""
    from quant_assets.evaluation import Prices, price_bars  # noqa: PLC0415

    bars = price_bars(history.candles)
    return Prices(bars, _stored_rates(settings, history.rules, bars), costs)


def _stored_rates(
    settings: Settings, rules: ResolutionRules, bars: JoinedBars
) -> Mapping[tuple[str, str], FundingRates]:
    """Return the funding rates that the data folder has for the time of the bars, none if it has none."""
    from quant_assets.derivatives.store import DerivativesStore, StoreError  # noqa: PLC0415
    from quant_assets.evaluation.stored_funding import stored_funding  # noqa: PLC0415
    from quant_assets.storage.lake import Lake  # noqa: PLC0415

    if not len(bars):
        return {}
    times = bars.bars.time_ms
    try:
        with closing(DerivativesStore(settings.store_place, read_only=True)) as store:
            lake = Lake(settings.lake_place)
            return stored_funding(lake, store, rules, bars.markets, int(times.min()) - DAY_MS, int(times.max()))
    except StoreError as error:
        echo_err(f"{error}; funding counts as unknown")
        return {}


def _selected(candles: pd.DataFrame, rules: ResolutionRules, exchange: str, symbol: str) -> pd.DataFrame:
    """Return the candles of an exchange and of symbols, local or display, that contain a text; "" takes all."""
    if not exchange and not symbol:
        return candles
    from quant_assets.markets import symbol_readings  # noqa: PLC0415

    def is_chosen(name: str, local: str) -> bool:
        forms = (local, *(found.display for found in symbol_readings(local, name, rules)))
        return (not exchange or name.casefold() == exchange.casefold()) and any(
            symbol.casefold() in form.casefold() for form in forms
        )

    by_market = candles.groupby(["exchange", "symbol"], observed=True, sort=True)
    markets = by_market.size().index  # in the order of their numbers
    chosen = [number for number, (name, local) in enumerate(markets) if is_chosen(str(name), str(local))]
    return candles[by_market.ngroup().isin(chosen)].reset_index(drop=True)

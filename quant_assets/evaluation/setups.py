"""The setups of many windows, as the strategies give them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from quant_assets.common.progress import Progress, silent
from quant_assets.signals import Strategy
from quant_assets.signals.replay import WindowInputs, judged_batches, replay_inputs
from quant_assets.signals.sides import WAIT

#: Markets replayed at once, and market-windows: their signal tables are most of the memory.
MAX_MARKETS: Final = 32
MAX_MARKET_WINDOWS: Final = 250_000
#: Column of a signal table → its name in a table of setups.
_NAMES: Final = {
    "strategy_name": "strategy",
    "exchange": "exchange",
    "symbol": "symbol",
    "window_end_ms": "end_ms",
    "side": "side",
    "score": "score",
    "rr": "rr",
    "stop_loss": "stop",
    "take_profit": "target",
}


def replay_setups(
    candles: pd.DataFrame, inputs: WindowInputs, strategies: Sequence[Strategy], progress: Progress = silent
) -> tuple[pd.DataFrame, int]:
    """Return the setups that strategies give in the windows of `inputs`, and the number of market-windows.

    `candles` is the candles table; what closed after a window's end has no effect on its setups. `inputs` has what the
    windows know of derivatives, for the markets of the candles. The columns are strategy, exchange, symbol, end_ms (the
    window's end, epoch ms), side, score, rr, stop, target, the parts of the scores, and oi_status. Raises what a
    strategy raises.
    """
    found, market_windows = [], 0
    for some in _market_batches(candles, len(inputs.windows), progress):
        tables = replay_inputs(some, inputs, strategies)
        market_windows += len(next(iter(tables.values())))
        found += [setups_of(table) for table in tables.values()]
    kept = [table for table in found if len(table)] or found[:1]
    setups = pd.concat(kept, ignore_index=True)
    keys = zip(setups["exchange"].astype(str), setups["symbol"].astype(str), setups["end_ms"], strict=True)
    return setups.assign(oi_status=pd.array(inputs.values("oi_status", list(keys)), dtype="str")), market_windows


def replay_trials(
    candles: pd.DataFrame, inputs: WindowInputs, trials: Sequence[Strategy], progress: Progress = silent
) -> tuple[pd.DataFrame, int]:
    """Return the setups of one strategy with different parameters, and the number of market-windows.

    The features are computed once for all trials. The table is that of `replay_setups` without the parts of the scores
    and oi_status, and `strategy` is the number of the trial.
    """
    names = {name: new for name, new in _NAMES.items() if name != "strategy_name"}
    found: list[dict[str, Any]] = [{"strategy": [], **{new: [] for new in names.values()}}]
    market_windows = 0
    for some in _market_batches(candles, len(inputs.windows), progress):
        for number, columns in judged_batches(some, inputs, trials):
            (rows,) = (np.asarray(columns["action"]) != WAIT.value).nonzero()
            market_windows += len(columns["action"]) if number == 0 else 0
            if len(rows):
                taken = {new: np.asarray(columns[name])[rows] for name, new in names.items()}
                found.append({"strategy": [str(number)] * len(rows), **taken})
    return pd.concat([pd.DataFrame(columns) for columns in found[1:] or found], ignore_index=True), market_windows


def _market_batches(candles: pd.DataFrame, windows: int, progress: Progress) -> Iterator[pd.DataFrame]:
    """Yield the candles of some markets at a time, of which so many windows are replayed."""
    market = candles.groupby(["exchange", "symbol"], observed=True, sort=True).ngroup().to_numpy()
    count = int(market.max(initial=-1)) + 1
    size = max(1, min(MAX_MARKETS, MAX_MARKET_WINDOWS // max(windows, 1)))
    for start in range(0, count, size):
        progress("markets replayed", start, count)
        yield candles[(start <= market) & (market < start + size)]
    progress("markets replayed", count, count)


def setups_of(signals: pd.DataFrame) -> pd.DataFrame:
    """Return the setups of a signal table with the column window_end_ms, one row for each."""
    rows = signals[signals["action"] != WAIT.value]
    parts = [str(name) for name in signals if str(name).startswith("part_")]
    return rows[[*_NAMES, *parts]].rename(columns=_NAMES)

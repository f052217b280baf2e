"""Bring the live record up to date: add what was published, follow open trades, settle those whose limit has passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from quant_assets.evaluation.exits import Bools, Outcome
from quant_assets.evaluation.grouping import in_order, keys_of
from quant_assets.evaluation.live.episodes import LIVE_TRADER, extended
from quant_assets.evaluation.live.settle import GIVEN_UP_MS, RatesOf, is_over, settle
from quant_assets.evaluation.live.state import TRADE_KEY, LiveRecord
from quant_assets.evaluation.price_bars import Ints, Market
from quant_assets.evaluation.prices import Prices
from quant_assets.evaluation.stored_inputs import is_hindsight
from quant_assets.evaluation.trade_table import COLUMNS, PART_PREFIX, window_keys
from quant_assets.evaluation.trades import follow_each, one_at_a_time

#: `published_at_ms` of a trade whose window's first feed is about to be written.
NOT_YET_MS: Final = 0
_ORDER: Final = ["entry_ms", "strategy", "exchange", "symbol", "source"]


@dataclass(frozen=True, slots=True)
class Publications:
    """What was published since the last update, and what is about to be.

    `windows` are the keys of the windows, `setups` their published setups. `next_setups` are those of a
    window whose first feed is about to be written, None if there is none.
    """

    windows: frozenset[str]
    setups: Sequence[pd.DataFrame]
    next_setups: pd.DataFrame | None = None

    def with_next(self, setups: pd.DataFrame | None) -> Publications:
        """Return the same with setups that are about to be published."""
        return replace(self, next_setups=setups)

    @property
    def markets(self) -> set[Market]:
        """The markets of all setups."""
        tables = self.setups if self.next_setups is None else (*self.setups, self.next_setups)
        return {market for table in tables for market in keys_of(table, ["exchange", "symbol"])}

    def with_hindsight(self, selected_since_ms: Mapping[Market, float]) -> Publications:
        """Return the same, with windows marked that ended before their market was selected here (epoch ms)."""
        following = None if self.next_setups is None else _with_hindsight(self.next_setups, selected_since_ms)
        return replace(
            self, setups=[_with_hindsight(table, selected_since_ms) for table in self.setups], next_setups=following
        )


def _with_hindsight(setups: pd.DataFrame, selected_since_ms: Mapping[Market, float]) -> pd.DataFrame:
    return setups.assign(hindsight=is_hindsight(setups, setups["end_ms"], selected_since_ms))


def update_live_record(
    record: LiveRecord, new: Publications, prices: Prices, rates_of: RatesOf, now_ms: int
) -> LiveRecord:
    """Return the record as of the bars in `prices`; `now_ms` is the end of the newest window, epoch ms.

    Each published window is followed once. Its setups are those of its first feed. A final trade is never changed. A
    trade that has ended keeps its exit; it is settled when its time limit has passed in the market's bars (`settle`).
    Trades of `next_setups` are shown as they are now, and made again in the next update.
    """
    is_final = record.trades["final"].to_numpy(bool)
    final, active = record.trades[is_final], record.trades[~is_final]
    active = active[active["published_at_ms"] != NOT_YET_MS]
    episodes = record.episodes
    if setups := [table for table in new.setups if len(table)]:
        episodes = extended(episodes, pd.concat(setups, ignore_index=True))
    windows = record.windows | new.windows

    candidates = episodes[~episodes["decided"]].assign(episode=lambda table: table.index)
    followed = _with_lost_entries(_followed(candidates, prices), active)
    first_ms = int(followed["entry_ms"].min()) if len(followed) else 0
    is_followed = _is_in(active, followed)
    ended = active[~is_followed]
    others = pd.concat([final[final["exit_ms"] > first_ms], ended]) if len(followed) else ended
    is_made = one_at_a_time(followed, LIVE_TRADER, others)
    over = is_over(followed["outcome"].to_numpy(str), followed["exit_ms"].to_numpy(np.int64), _end_ms(followed, prices))
    made, made_over = followed[is_made], over[is_made]

    current = _concat([ended, _as_trades(made)])
    # What is not followed is over, but for markets that have no bars now.
    is_waiting = ended["outcome"].isin([Outcome.OPEN, Outcome.PENDING]).to_numpy(bool)
    current = settle(current, np.concatenate([~is_waiting, made_over]), prices, rates_of, now_ms)
    decided = np.where(is_made, over, _end_ms(followed, prices) > followed["entry_ms"].to_numpy(np.int64))
    episodes = _going_on(episodes, followed["episode"].to_numpy(np.int64)[decided.astype(bool)], now_ms)
    preview = _preview(new.next_setups, windows, episodes, pd.concat([others, current]), prices)
    return LiveRecord(_in_order(final, _concat([current, preview])), episodes, windows)


def newly_settled(before: LiveRecord, after: LiveRecord) -> pd.DataFrame:
    """Return the mature trades that became final in an update."""
    waiting = before.trades[~before.trades["final"]]
    is_recent = after.trades["entry_ms"] >= waiting["entry_ms"].min()
    settled = after.trades[after.trades["mature"] & is_recent]
    new: pd.DataFrame = settled[_is_in(settled, waiting)]
    return new.reset_index(drop=True)


def changed_final_trades(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    """Return the trades (strategy, market, window) that were final before an update and are not the same after it.

    Trades that were dropped by age do not count, nor do columns that were added.
    """
    oldest_ms = after["entry_ms"].min() if len(after) else 0
    final = before[before["final"] & (before["entry_ms"] >= oldest_ms)]
    first_ms = before.loc[~before["final"], "entry_ms"].min()
    recent = final if np.isnan(first_ms) else final[final["entry_ms"] >= first_ms]  # older rows are not touched
    now = after[_is_in(after, recent)]
    names = list(before.columns)
    if len(now) == len(recent) and now[names].reset_index(drop=True).equals(recent.reset_index(drop=True)):
        return []
    rows = dict(zip(keys_of(now, TRADE_KEY), keys_of(now, names), strict=True))
    was = zip(keys_of(recent, TRADE_KEY), keys_of(recent, names), strict=True)
    changed = [key for key, row in was if repr(rows.get(key)) != repr(row)]
    return [" ".join(map(str, key)) for key in changed]


def _followed(candidates: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Return what became of each candidate, sorted by trader and time."""
    return follow_each(in_order(candidates, [*LIVE_TRADER, "end_ms"]), prices)


def _with_lost_entries(followed: pd.DataFrame, active: pd.DataFrame) -> pd.DataFrame:
    """Return the trades with those lost that were entered, and whose bar of the entry is no longer there."""
    known = active[active["entry"].notna()]
    is_gone = (followed["outcome"] == Outcome.NO_ENTRY).to_numpy(bool) & _is_in(followed, known)
    if not is_gone.any():
        return followed
    names = ["entry", "exit_ms", "bars_held", "mfe_r", "mae_r"]
    kept = followed[[*TRADE_KEY]].merge(known[[*TRADE_KEY, *names]], on=list(TRADE_KEY), how="left")
    changed = {name: followed[name].mask(is_gone, kept[name].to_numpy()).astype(followed[name].dtype) for name in names}
    outcome = followed["outcome"].mask(is_gone, Outcome.LOST.value)
    lost: pd.DataFrame = followed.assign(**changed, outcome=outcome, reason=followed["reason"].mask(is_gone, ""))
    return lost


def _going_on(episodes: pd.DataFrame, decided: Ints, now_ms: int) -> pd.DataFrame:
    """Return the episodes that are needed further; `decided` are rows that are decided now."""
    is_decided = episodes["decided"].to_numpy(bool).copy()
    is_decided[decided] = True
    is_decided |= (episodes["deadline_ms"] + GIVEN_UP_MS <= now_ms).to_numpy(bool)
    newest_ms = dict(sorted(keys_of(episodes, ["source", "last_ms"])))
    is_last = np.array([newest_ms[source] == last for source, last in keys_of(episodes, ["source", "last_ms"])], bool)
    needed: pd.DataFrame = episodes.assign(decided=is_decided)[~is_decided | is_last]
    return needed.reset_index(drop=True)


def _preview(
    setups: pd.DataFrame | None, windows: AbstractSet[str], episodes: pd.DataFrame, made: pd.DataFrame, prices: Prices
) -> pd.DataFrame:
    """Return the trades of setups that are about to be published, if their window is newer than all that were."""
    if setups is None or setups.empty or window_keys(setups["end_ms"]).iloc[0] <= max(windows, default=""):
        return made.iloc[:0]
    shown = extended(episodes, setups.assign(published_at_ms=NOT_YET_MS))
    candidates = shown[shown["published_at_ms"] == NOT_YET_MS]
    if candidates.empty:
        return made.iloc[:0]
    followed = _followed(candidates, prices)
    return _as_trades(followed[one_at_a_time(followed, LIVE_TRADER, made)])


def _as_trades(followed: pd.DataFrame) -> pd.DataFrame:
    """Return what was followed with the columns of the table of trades."""
    nothing = np.full(len(followed), np.nan)
    table = followed.assign(
        window=window_keys(followed["entry_ms"]),
        mature=False,
        final=False,
        chance_r=nothing,
        later_r=nothing,
        replay=pd.array([""] * len(followed), dtype="str"),
        replay_r=nothing,
    )
    parts = [str(name) for name in followed if str(name).startswith(PART_PREFIX)]
    return table[[*COLUMNS, *parts]]


def _end_ms(trades: pd.DataFrame, prices: Prices) -> Ints:
    """Return the last close of the market of each trade; all have bars."""
    return prices.bars.end_ms(prices.numbers_of(trades))


def _is_in(trades: pd.DataFrame, others: pd.DataFrame) -> Bools:
    """Return which trades are among the others."""
    keys = set(keys_of(others, TRADE_KEY))
    return np.array([key in keys for key in keys_of(trades, TRADE_KEY)], dtype=bool)


def _in_order(final: pd.DataFrame, current: pd.DataFrame) -> pd.DataFrame:
    """Return final trades, which are sorted, and the current ones, which are newer than most, sorted together."""
    first_ms = current["entry_ms"].min() if len(current) else 0
    older = final["entry_ms"].searchsorted(first_ms) if len(current) else len(final)
    return _concat([final.iloc[:older], in_order(_concat([final.iloc[older:], current]), _ORDER)])


def _concat(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of all tables; parts of scores that a table does not have are NaN."""
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]

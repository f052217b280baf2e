"""Tests of the planner and of the policy file."""

from __future__ import annotations

from collections import Counter, deque
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.derivatives.bar_times import needed_since
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.planner import (
    PROVIDER_RETENTION,
    Batch,
    build_items,
    fit_to_budget,
    pack_batches,
    rank_due_items,
    request_range,
)
from quant_assets.derivatives.policy import PolicyError, RefreshPolicy, load_policy
from quant_assets_tests.speed import assert_within

WINDOW = Window(datetime(2026, 1, 19, 17, 0, tzinfo=UTC))
END = float(WINDOW.end_seconds)
POLICY = RefreshPolicy()
ITEM = st.tuples(
    st.integers(0, 3),
    st.integers(0, 40),
    st.one_of(st.none(), st.integers(0, 20)),
    st.sampled_from(["", "near", "setup"]),
    st.floats(0, 1e9),
)


def items(*rows: tuple[str, str, float | None, str, float]) -> pd.DataFrame:
    """Return items of rows: dataset, symbol, age in minutes (None: never known), "setup", "near" or "", volume."""
    return pd.DataFrame(
        {
            "dataset": [DATASETS.index(row[0]) for row in rows],  # type: ignore[arg-type]
            "symbol": [row[1] for row in rows],
            "known_through": [np.nan if row[2] is None else END - row[2] * 60 for row in rows],
            "setup": [row[3] == "setup" for row in rows],
            "near": [row[3] != "" for row in rows],
            "volume": [row[4] for row in rows],
            "markets": 1,
            "given": False,
        }
    )


def ranked_symbols(table: pd.DataFrame, policy: RefreshPolicy = POLICY) -> list[str]:
    return list(rank_due_items(table, END, policy)["symbol"])


def drawn_items(drawn: list[tuple[int, int, int | None, str, float]]) -> pd.DataFrame:
    return items(
        *(
            (DATASETS[d], f"S{n:02d}", None if age is None else age * 15, how, volume)
            for d, n, age, how, volume in drawn
        )
    )


def test_never_known_items_come_first_in_four_tiers() -> None:
    table = items(
        ("funding_rate", "overdue, with a setup", 110, "setup", 9.0),
        ("long_short_ratio", "the rest", None, "", 8.0),
        ("open_interest", "other open interest", None, "", 7.0),
        ("liquidations", "any dataset of a setup", None, "setup", 1.0),
        ("open_interest", "open interest near a setup", None, "near", 1.0),
    )
    ranked = rank_due_items(table, END, POLICY)
    assert ranked["symbol"].tolist() == [
        "open interest near a setup",
        "any dataset of a setup",
        "other open interest",
        "the rest",
        "overdue, with a setup",
    ]
    assert ranked["tier"].tolist() == [0, 1, 2, 3, 4]


def test_open_interest_of_a_setup_is_in_the_first_tier() -> None:
    table = items(("open_interest", "setup", None, "setup", 1.0), ("open_interest", "near", None, "near", 9.0))
    assert rank_due_items(table, END, POLICY)["tier"].tolist() == [0, 0]


def test_history_of_given_values_comes_with_the_rest_unless_near_a_setup() -> None:
    table = items(
        ("liquidations", "the rest", None, "", 8.0),
        ("open_interest", "given", None, "", 9.0),
        ("open_interest", "not given", None, "", 1.0),
        ("open_interest", "given, near a setup", None, "near", 1.0),
    ).assign(given=[False, True, False, True])
    ranked = rank_due_items(table, END, POLICY)
    assert ranked["symbol"].tolist() == ["given, near a setup", "not given", "given", "the rest"]
    assert ranked["tier"].tolist() == [0, 2, 3, 3]


@pytest.mark.parametrize(("age", "given", "due"), [(15, False, True), (15, True, False), (60, True, True)])
def test_history_of_given_values_is_due_once_an_hour(age: float, given: bool, due: bool) -> None:
    table = items(("open_interest", "S", age, "near", 1.0)).assign(given=given)
    assert bool(len(rank_due_items(table, END, POLICY))) is due


def test_known_history_of_given_values_waits_for_open_interest_near_a_setup() -> None:
    table = items(
        ("open_interest", "history", 75, "near", 9.0),
        ("open_interest", "near a setup", 15, "near", 1.0),
        ("liquidations", "older", 90, "", 1.0),
    ).assign(given=[True, False, False])
    assert ranked_symbols(table) == ["near a setup", "older", "history"]


def test_setups_do_not_change_the_order_of_known_items() -> None:
    ages = [("funding_rate", 110.0), ("open_interest", 15.0), ("open_interest", 45.0), ("liquidations", 60.0)]
    quiet, with_setups = (
        items(*((dataset, f"{n}", age, how, 1.0) for n, (dataset, age) in enumerate(ages))) for how in ("near", "setup")
    )
    assert ranked_symbols(quiet) == ranked_symbols(with_setups) == ["0", "2", "1", "3"]


def test_known_items_are_ordered_overdue_then_near_a_setup_then_rest() -> None:
    table = items(
        ("open_interest", "quiet, stale", 15, "", 9.0),
        ("liquidations", "overdue", 110, "", 0.0),
        ("open_interest", "near a setup, stale", 15, "near", 0.0),
    )
    assert ranked_symbols(table) == ["overdue", "near a setup, stale", "quiet, stale"]


def test_tier_is_ordered_by_near_and_volume_across_datasets() -> None:
    table = items(
        ("funding_rate", "small", None, "", 1.0),
        ("liquidations", "large", None, "", 5.0),
        ("long_short_ratio", "small near a setup", None, "near", 1.0),
    )
    assert ranked_symbols(table) == ["small near a setup", "large", "small"]


def test_equally_old_items_are_ordered_by_near_and_volume() -> None:
    table = items(
        ("funding_rate", "small", 60, "", 1.0),
        ("funding_rate", "large", 60, "", 5.0),
        ("funding_rate", "small near a setup", 60, "near", 1.0),
    )
    assert ranked_symbols(table) == ["small near a setup", "large", "small"]


def test_open_interest_comes_first_at_the_same_age_in_cadences() -> None:
    table = items(("funding_rate", "B", 60, "", 9.0), ("open_interest", "A", 15, "", 1.0))
    assert ranked_symbols(table) == ["A", "B"]


def test_item_is_due_at_the_age_of_its_cadence() -> None:
    for dataset in DATASETS:
        minutes = POLICY.cadence_seconds(dataset) / 60
        table = items((dataset, "due", minutes, "", 1.0), (dataset, "not yet", minutes - 1, "", 1.0))
        assert ranked_symbols(table) == ["due"]


def test_cadences_are_configurable() -> None:
    table = items(("liquidations", "A", 20, "", 1.0))
    assert ranked_symbols(table) == []
    assert ranked_symbols(table, RefreshPolicy(liquidations_minutes=20)) == ["A"]


def test_markets_that_share_a_symbol_are_one_item_with_summed_volume() -> None:
    symbol_map = pd.DataFrame({"exchange": ["MEXC", "KUCOIN", "X"], "symbol": ["A", "B", "C"]})
    for dataset in DATASETS:
        symbol_map[f"{dataset}_symbol"] = ["S", "S", ""]
    watchlist = pd.DataFrame(
        {
            "exchange": ["MEXC", "KUCOIN"],
            "symbol": ["A", "B"],
            "setup": [True, False],
            "near": [True, True],
            "volume": [2.0, 3.0],
        }
    )
    table = build_items(symbol_map, {"open_interest": {"S": 900}}, watchlist)
    assert len(table) == 4
    assert table["symbol"].unique().tolist() == ["S"]
    assert table["setup"].all()
    assert table["near"].all()
    assert (table["volume"] == 5.0).all()
    assert table.loc[table["dataset"] == 0, "known_through"].tolist() == [900.0]


def test_symbol_is_given_if_the_exchanges_of_all_its_markets_gave_its_value() -> None:
    columns = {f"{dataset}_symbol": ["S", "S", "T"] for dataset in DATASETS}
    symbol_map = pd.DataFrame({"exchange": ["A", "B", "C"], "symbol": ["X", "X", "X"], **columns})
    table = build_items(symbol_map.assign(open_interest_given=[True, False, True]), {})
    interest = table[table["dataset"] == 0].set_index("symbol")
    assert interest["given"].to_dict() == {"S": False, "T": True}
    assert interest["markets"].to_dict() == {"S": 2, "T": 1}
    assert not table.loc[table["dataset"] > 0, "given"].any()


def test_items_without_a_watchlist_are_all_alike() -> None:
    symbol_map = pd.DataFrame(
        {"exchange": ["X"], "symbol": ["A"], **{f"{dataset}_symbol": ["S"] for dataset in DATASETS}}
    )
    table = build_items(symbol_map, {})
    assert not table["setup"].any()
    assert not table["near"].any()


@given(drawn=st.lists(ITEM, min_size=1, max_size=120, unique_by=lambda item: item[:2]), size=st.integers(1, 20))
def test_each_due_item_is_in_one_batch_and_only_last_batches_are_smaller(
    drawn: list[tuple[int, int, int | None, str, float]], size: int
) -> None:
    ranked = rank_due_items(drawn_items(drawn), END, POLICY)
    requests = pack_batches(ranked, size)
    due = list(zip(ranked["tier"], (DATASETS[d] for d in ranked["dataset"]), ranked["symbol"], strict=True))
    tier_of = {(dataset, symbol): tier for tier, dataset, symbol in due}
    pairs = [(request.dataset, symbol) for request in requests for symbol in request.symbols]
    assert Counter(pairs) == Counter(tier_of.keys())
    tiers = [{tier_of[request.dataset, symbol] for symbol in request.symbols} for request in requests]
    assert all(len(of_request) == 1 for of_request in tiers), "a request mixes tiers"
    assert [min(of_request) for of_request in tiers] == sorted(min(of_request) for of_request in tiers)
    lengths: dict[tuple[int, str], list[int]] = {}
    for request, of_request in zip(requests, tiers, strict=True):
        lengths.setdefault((min(of_request), request.dataset), []).append(len(request.symbols))
    for of_group in lengths.values():
        assert all(length == size for length in of_group[:-1])
        assert 1 <= of_group[-1] <= size


@settings(max_examples=50)
@given(drawn=st.lists(ITEM, min_size=1, max_size=60, unique_by=lambda item: item[:2]), size=st.integers(1, 20))
def test_batch_starts_with_the_best_remaining_item(
    drawn: list[tuple[int, int, int | None, str, float]], size: int
) -> None:
    ranked = rank_due_items(drawn_items(drawn), END, POLICY)
    place = {(DATASETS[d], s): n for n, (d, s) in enumerate(zip(ranked["dataset"], ranked["symbol"], strict=True))}
    leads = [place[request.dataset, request.symbols[0]] for request in pack_batches(ranked, size)]
    assert leads == sorted(leads)


def test_batch_is_not_filled_from_a_later_tier() -> None:
    """Else calls for the rest would be spent before those for open interest."""
    table = items(
        ("funding_rate", "with a setup", None, "setup", 1.0),
        ("funding_rate", "the rest", None, "", 9.0),
        ("open_interest", "other open interest", None, "", 9.0),
    )
    assert [request.symbols for request in pack_batches(rank_due_items(table, END, POLICY), 20)] == [
        ("with a setup",),
        ("other open interest",),
        ("the rest",),
    ]


def test_known_items_share_batches_regardless_of_urgency() -> None:
    table = items(
        ("open_interest", "overdue", 110, "", 1.0),
        ("funding_rate", "stale", 60, "", 1.0),
        ("open_interest", "near a setup", 15, "near", 1.0),
        ("open_interest", "quiet", 15, "", 1.0),
    )
    requests = pack_batches(rank_due_items(table, END, POLICY), 20)
    assert [request.symbols for request in requests] == [("overdue", "near a setup", "quiet"), ("stale",)]


@settings(max_examples=15)  # nearly every order of 30 rows is another one
@given(order=st.permutations(range(30)))
def test_plan_is_independent_of_the_order_of_the_symbol_map(order: list[int]) -> None:
    """Two markets each share a symbol, and the watchlist tells markets apart."""
    numbers = pd.Series(range(30))
    symbol_map = pd.DataFrame({"exchange": "X", "symbol": [f"M{number:02d}" for number in numbers]})
    for dataset in DATASETS:
        symbol_map[f"{dataset}_symbol"] = [f"S{number % 15:02d}" for number in numbers]
    volume = (numbers * 7 % 11).astype(float)
    watchlist = symbol_map[["exchange", "symbol"]].assign(setup=numbers % 6 == 0, near=numbers % 3 == 0, volume=volume)

    def plan(rows: pd.DataFrame) -> list[Batch]:
        return pack_batches(rank_due_items(build_items(rows, {}, watchlist), END, POLICY), 7)

    assert plan(symbol_map.iloc[order].reset_index(drop=True)) == plan(symbol_map)


@given(available=st.integers(0, 25), count=st.integers(1, 20))
def test_batch_is_split_to_fit_the_available_calls(available: int, count: int) -> None:
    batch = Batch("open_interest", tuple(f"S{n}" for n in range(count)))
    queue = deque([Batch("liquidations", ("other",))])
    fitting = fit_to_budget(batch, available, queue)
    assert len(fitting.symbols) == (min(available, count) or count), "a batch waits as a whole if no call is available"
    rest = queue.popleft().symbols if len(fitting.symbols) < count else ()
    assert fitting.symbols + rest == batch.symbols
    assert [request.symbols for request in queue] == [("other",)]


@given(back=st.integers(0, 40_000), late=st.floats(0, 900))
def test_request_covers_the_needed_history_within_the_retention(back: int, late: float) -> None:
    now = WINDOW.end + timedelta(seconds=late)
    window = Window(WINDOW.end - back * WINDOW_LENGTH)
    start, end = request_range(window, window, now.timestamp())
    assert start <= needed_since(window) - 900
    assert end >= window.end_seconds
    assert end <= now.timestamp()
    assert end - start <= PROVIDER_RETENTION.total_seconds()


@pytest.mark.speed
def test_planning_5000_symbols_of_4_datasets_takes_under_50_ms() -> None:
    generator = np.random.default_rng(7)
    count = 5000
    table = pd.concat(
        [
            pd.DataFrame(
                {
                    "dataset": number,
                    "symbol": [f"S{n:05d}" for n in range(count)],
                    "known_through": np.where(
                        generator.random(count) < 0.3, np.nan, END - 900.0 * generator.integers(0, 12, count)
                    ),
                    "setup": generator.random(count) < 0.02,
                    "near": generator.random(count) < 0.2,
                    "volume": generator.lognormal(12, 2, count),
                    "markets": 1,
                    "given": False,
                }
            )
            for number in range(4)
        ],
        ignore_index=True,
    )
    assert_within(0.05, lambda: pack_batches(rank_due_items(table, END, POLICY), 20))


def test_policy_file_changes_only_the_keys_that_it_has(tmp_path: Path) -> None:
    path = tmp_path / "refresh.toml"
    assert load_policy(path) == RefreshPolicy()
    path.write_text("liquidations_minutes = 120\n")
    assert load_policy(path) == RefreshPolicy(liquidations_minutes=120)


@pytest.mark.parametrize(
    ("text", "says"), [("x = ", "TOML"), ("open_interest_minutes = 1", "greater"), ("colour = 3", "colour")]
)
def test_invalid_policy_file_is_reported_with_its_key(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "refresh.toml"
    path.write_text(text)
    with pytest.raises(PolicyError, match=says) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)

"""What is asked for, in which order, and for which range."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.planner import (
    NEEDED,
    RETENTION,
    items_table,
    needed_from,
    pack,
    range_to_ask,
    rank,
)
from quant_assets.derivatives.policy import PolicyError, RefreshPolicy, load_policy
from quant_assets.windows import LENGTH, Window
from quant_assets_tests.speed import assert_within

WINDOW = Window(datetime(2026, 1, 19, 17, 0, tzinfo=UTC))
END = float(WINDOW.end_seconds)
POLICY = RefreshPolicy()
ITEM = st.tuples(
    st.integers(0, 3),
    st.integers(0, 40),
    st.one_of(st.none(), st.integers(0, 20)),
    st.booleans(),
    st.floats(0, 1e9),
)


def items(*rows: tuple[str, str, float | None, bool, float]) -> pd.DataFrame:
    """Rows of dataset, symbol, age in minutes (None for never known), focus, volume."""
    return pd.DataFrame(
        {
            "dataset": [DATASETS.index(row[0]) for row in rows],  # type: ignore[arg-type]
            "symbol": [row[1] for row in rows],
            "known_through": [np.nan if row[2] is None else END - row[2] * 60 for row in rows],
            "focus": [row[3] for row in rows],
            "volume": [row[4] for row in rows],
        }
    )


def asked(table: pd.DataFrame, policy: RefreshPolicy = POLICY) -> list[str]:
    return list(rank(table, END, policy)["symbol"])


def test_the_never_known_come_first_then_the_overdue_then_focus_then_the_rest() -> None:
    table = items(
        ("open_interest", "quiet, stale", 15, False, 9.0),
        ("liquidations", "overdue", 110, False, 0.0),
        ("open_interest", "in focus, stale", 15, True, 0.0),
        ("liquidations", "never", None, False, 0.0),
        ("open_interest", "never, of interest", None, False, 0.0),
    )
    assert asked(table) == ["never, of interest", "never", "overdue", "in focus, stale", "quiet, stale"]


def test_among_equals_focus_and_then_volume_decide() -> None:
    table = items(
        ("funding_rate", "small", None, False, 1.0),
        ("funding_rate", "large", None, False, 5.0),
        ("funding_rate", "small in focus", None, True, 1.0),
    )
    assert asked(table) == ["small in focus", "large", "small"]


def test_open_interest_comes_before_the_rest_at_the_same_age_in_cadences() -> None:
    table = items(("funding_rate", "B", 60, False, 9.0), ("open_interest", "A", 15, False, 1.0))
    assert asked(table) == ["A", "B"]


def test_a_dataset_is_due_when_its_data_are_as_old_as_its_cadence() -> None:
    for dataset in DATASETS:
        minutes = POLICY.cadence_seconds(dataset) / 60
        table = items((dataset, "due", minutes, False, 1.0), (dataset, "not yet", minutes - 1, False, 1.0))
        assert asked(table) == ["due"]


def test_cadences_are_configuration() -> None:
    table = items(("liquidations", "A", 20, False, 1.0))
    assert asked(table) == []
    assert asked(table, RefreshPolicy(liquidations_minutes=20)) == ["A"]


def test_a_symbol_that_serves_several_markets_is_one_item_with_their_interest_summed() -> None:
    symbol_map = pd.DataFrame({"exchange": ["MEXC", "KUCOIN", "X"], "symbol": ["A", "B", "C"]})
    for dataset in DATASETS:
        symbol_map[f"{dataset}_symbol"] = ["S", "S", ""]
    interest = pd.DataFrame(
        {"exchange": ["MEXC", "KUCOIN"], "symbol": ["A", "B"], "focus": [False, True], "volume": [2.0, 3.0]}
    )
    table = items_table(symbol_map, {"open_interest": {"S": 900}}, interest)
    assert len(table) == 4
    assert table["symbol"].unique().tolist() == ["S"]
    assert table["focus"].all()
    assert (table["volume"] == 5.0).all()
    assert table.loc[table["dataset"] == 0, "known_through"].tolist() == [900.0]


@given(drawn=st.lists(ITEM, max_size=120, unique_by=lambda item: item[:2]), size=st.integers(1, 20))
def test_every_due_item_is_in_one_request_and_only_a_datasets_last_request_has_room(
    drawn: list[tuple[int, int, int | None, bool, float]], size: int
) -> None:
    table = items(
        *(
            (DATASETS[d], f"S{n}", None if age is None else age * 15, focus, volume)
            for d, n, age, focus, volume in drawn
        )
    )
    if table.empty:
        return
    ranked = rank(table, END, POLICY)
    requests = pack(ranked, size)
    pairs = [(request.dataset, symbol) for request in requests for symbol in request.symbols]
    assert sorted(pairs) == sorted(zip((DATASETS[d] for d in ranked["dataset"]), ranked["symbol"], strict=True))
    assert len(set(pairs)) == len(pairs)
    for dataset in DATASETS:
        lengths = [len(request.symbols) for request in requests if request.dataset == dataset]
        assert all(length == size for length in lengths[:-1])
        assert all(length <= size for length in lengths)
    # The same items in another order give the same plan.
    shuffled = table.sort_values(["dataset", "symbol"]).reset_index(drop=True)
    again = table.sample(frac=1, random_state=1).sort_values(["dataset", "symbol"]).reset_index(drop=True)
    assert pack(rank(shuffled, END, POLICY), size) == pack(rank(again, END, POLICY), size)


@given(back=st.integers(0, 40_000), late=st.floats(0, 900))
def test_a_request_covers_what_its_window_needs_and_no_more_than_the_provider_keeps(back: int, late: float) -> None:
    now = WINDOW.end + timedelta(seconds=late)
    window = Window(WINDOW.end - back * LENGTH)
    start, end = range_to_ask(window, window, now.timestamp())
    assert start <= needed_from(window) - 900
    assert end >= window.end_seconds
    assert end <= now.timestamp() + 1
    assert end - start <= RETENTION.total_seconds() + NEEDED.total_seconds() * 2


@pytest.mark.speed
def test_ordering_and_packing_5000_symbols_of_4_datasets_takes_under_50_ms() -> None:
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
                    "focus": generator.random(count) < 0.2,
                    "volume": generator.lognormal(12, 2, count),
                }
            )
            for number in range(4)
        ],
        ignore_index=True,
    )
    assert_within(0.05, lambda: pack(rank(table, END, POLICY), 20))


def test_a_policy_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "refresh.toml"
    assert load_policy(path) == RefreshPolicy()
    path.write_text("liquidations_minutes = 120\n")
    assert load_policy(path) == RefreshPolicy(liquidations_minutes=120)


@pytest.mark.parametrize(
    ("text", "says"), [("x = ", "TOML"), ("open_interest_minutes = 1", "greater"), ("colour = 3", "colour")]
)
def test_a_policy_file_that_cannot_be_used_is_named_with_its_key(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "refresh.toml"
    path.write_text(text)
    with pytest.raises(PolicyError, match=says) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)

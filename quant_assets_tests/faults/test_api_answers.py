"""Invalid parts of a response are counted and never stored, and affect nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import orjson
import pytest

from quant_assets.derivatives.datasets import SPECS
from quant_assets.providers.coinalyze import HISTORY_FIELDS
from quant_assets_tests.derivatives.conftest import NOW
from quant_assets_tests.faults.conftest import MARKETS, Stored, Sweep
from quant_assets_tests.faults.proxy import Alter, ProxiedRequest
from quant_assets_tests.faults.seeding import rounds, seeded_random
from quant_assets_tests.providers.coinalyze.scripted import Canned

Rows = list[dict[str, Any]]
#: Changes the rows of a response, and returns the number of invalid rows or points.
Change = Callable[[Rows, Random], int]
QUARTER = 900
SOON = int(NOW.timestamp()) // QUARTER * QUARTER + QUARTER
#: The time of the bar that is made invalid; the next request fetches it again.
SPOILED = SOON - 10 * QUARTER


def changing(change: Change, counted: list[int], random: Random, endpoint: str = "") -> Alter:
    """Return a function that changes every response, or those of one endpoint."""

    def spoil(request: ProxiedRequest, answer: Canned) -> Canned:
        if endpoint not in {"", request.endpoint}:
            return answer
        rows = orjson.loads(answer.body)
        counted.append(change(rows, random))
        return replace(answer, body=orjson.dumps(rows))

    return spoil


def to_each_point(made: Callable[[dict[str, Any], Random], list[Any]]) -> Change:
    """Return a change that adds points to each row, made from a random one of them."""

    def change(rows: Rows, random: Random) -> int:
        added = 0
        for row in rows:
            if row["history"]:
                more = made(random.choice(row["history"]), random)
                row["history"] += more
                added += len(more)
        return added

    return change


def _shuffle(rows: Rows, random: Random) -> int:
    random.shuffle(rows)
    for row in rows:
        random.shuffle(row["history"])
    return 0


def _more_fields(rows: Rows, random: Random) -> int:
    for row in rows:
        row |= {"exchange": "A", "update": random.random(), "o": None}
        for point in row["history"]:
            point |= {"v": random.random(), "note": "preliminary", "x": [1, {}]}
    return 0


def _foreign_rows(rows: Rows, random: Random) -> int:
    strange = [{**row, "symbol": row["symbol"].lower()} for row in rows]
    rows[0:0] = strange
    return len(strange)


def _twice(rows: Rows, random: Random) -> int:
    rows += orjson.loads(orjson.dumps(rows).replace(b'"t":17', b'"t":16'))
    return len(rows) // 2


def _nonsense_rows(rows: Rows, random: Random) -> int:
    nonsense: list[Any] = [None, 7, "text", [], {}, {"symbol": None, "history": []}, {"history": []}]
    rows[0:0] = nonsense
    return len(nonsense)


#: Invalid or irrelevant data added to a valid response.
EXTRA_DATA: Mapping[str, Change] = {
    "another order": _shuffle,
    "more fields": _more_fields,
    "symbols that nobody asked for": _foreign_rows,
    "each symbol twice": _twice,
    "rows that are none": _nonsense_rows,
    "points twice": to_each_point(lambda point, _: [point, point]),
    "points without a time": to_each_point(lambda point, _: [{**point, "t": None}, {"c": 1}, None, "text", []]),
    "points off the grid": to_each_point(lambda point, random: [{**point, "t": point["t"] + random.randrange(1, 900)}]),
    "points between two seconds": to_each_point(
        lambda point, _: [{**dict.fromkeys(point, 1.5), "t": point["t"] + 0.5}]
    ),
    "points in the future": to_each_point(
        lambda point, random: [{**point, "t": SOON + QUARTER * n} for n in (0, random.randrange(1, 9999))]
    ),
    "points in milliseconds": to_each_point(lambda point, _: [{**point, "t": point["t"] * 1000}]),
    "points before the beginning": to_each_point(lambda point, _: [{**point, "t": 0}, {**point, "t": -QUARTER}]),
}


@pytest.mark.parametrize("kind", EXTRA_DATA)
def test_invalid_extra_data_is_counted_and_changes_nothing(sweep: Sweep, clean: Stored, kind: str) -> None:
    counted: list[int] = []
    sweep.proxy.alter = changing(EXTRA_DATA[kind], counted, seeded_random(kind))
    _, report = sweep.refresh()
    assert sweep.stored() == clean
    assert report.invalid_points == sum(counted)
    assert (report.calls, report.retries, report.stopped) == (MARKETS * 4, 0, "")


VALUES: Mapping[str, Any] = {
    "null": None,
    "true": True,
    "text": "n/a",
    "NaN as text": "NaN",
    "Infinity as text": "-Infinity",
    "too large": 1e25,
    "a list": [1.0],
    "an object": {"value": 1.0},
    "empty": "",
}


def _without_bar(stored: Stored, dataset: str) -> Stored:
    return {**stored, dataset: [row for row in stored[dataset] if row[1] != SPOILED]}


#: All of them in the long form.
WRONG = seeded_random("values").sample(list(VALUES), rounds(4, len(VALUES)))


@pytest.mark.parametrize("kind", [*WRONG, "no field", "negative"])
def test_bar_with_an_invalid_value_is_skipped_and_fetched_again_later(sweep: Sweep, clean: Stored, kind: str) -> None:
    random = seeded_random(f"value {kind}")
    # A rate may be negative, an amount may not.
    dataset = random.choice([name for name in SPECS if name != "funding_rate" or kind != "negative"])

    def spoil_bar(rows: Rows, _: Random) -> int:
        points = [point for row in rows for point in row["history"] if point["t"] == SPOILED]
        for point in points:
            field = random.choice(HISTORY_FIELDS[SPECS[dataset].endpoint].split())
            if kind == "no field":
                del point[field]
            else:
                point[field] = -1.0 if kind == "negative" else VALUES[kind]
        return len(points)

    counted: list[int] = []
    sweep.proxy.alter = changing(spoil_bar, counted, random, SPECS[dataset].endpoint)
    _, report = sweep.refresh()
    assert report.invalid_points == sum(counted) > 0
    assert sweep.stored() == _without_bar(clean, dataset)
    sweep.proxy.alter = lambda _, answer: answer
    sweep.provider.clock.sleep(3600)
    sweep.refresh()
    mended = [row for row in sweep.stored()[dataset] if row[1] == SPOILED]
    assert mended == [row for row in clean[dataset] if row[1] == SPOILED]


HISTORIES: list[Any] = [None, {}, "[]", 0, [[1, 2]], [{"t": "then"}]]


@pytest.mark.parametrize("history", seeded_random("rows").sample(HISTORIES, rounds(3, len(HISTORIES))), ids=repr)
def test_invalid_row_affects_only_its_own_symbol(sweep: Sweep, clean: Stored, history: Any) -> None:
    random = seeded_random(f"row {history!r}")
    dataset = random.choice(list(SPECS))
    victims: list[str] = []

    def spoil_row(rows: Rows, _: Random) -> int:
        row = random.choice(rows)
        victims.append(row["symbol"])
        row["history"] = history
        return 1

    sweep.proxy.alter = changing(spoil_row, [], random, SPECS[dataset].endpoint)
    symbol_map, report = sweep.refresh()
    assert report.invalid_points == len(victims) == 2
    assert sweep.stored()[dataset] == [row for row in clean[dataset] if row[0] not in victims]
    assert all(sweep.stored()[other] == clean[other] for other in SPECS if other != dataset)
    assert sweep.proxy.calls == MARKETS * 4
    assert set(symbol_map[f"{dataset}_symbol"]) == set(sweep.provider.emulator.universe.listings)


def test_wholly_invalid_answer_never_marks_a_market_as_empty(sweep: Sweep) -> None:
    sweep.proxy.alter = changing(
        lambda rows, _: sum(bool(row.pop("history")) for row in rows), [], seeded_random("whole")
    )
    for _ in range(3):
        symbol_map, report = sweep.refresh()
        assert report.stopped == "provider_unavailable"
        sweep.provider.clock.sleep(QUARTER)
    assert sweep.stored()["empty_responses"] == sweep.stored()["fetched_ranges"] == []
    assert (symbol_map["status"] == "resolved").all()

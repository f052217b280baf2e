"""The checks of the asset `trades`."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import dagster as dg
import pandas as pd

from quant_assets.evaluation.live import AGREES, LiveRecord, changed_final_trades

CHECKS: Final[Mapping[str, str]] = {
    "up_to_date": "The trades were brought up to date; if not, they are as before, and the feed has no new record.",
    "final_trades_stay": "No trade that was final has changed or is gone.",
    "replay_agrees": (
        "A replay gives the trades that were settled now, at most five of them. Each difference has a cause: "
        "derivatives or candles that came later, revised bars, or a missed scan."
    ),
}
SEVERITY: Final = dict.fromkeys(CHECKS, dg.AssetCheckSeverity.WARN) | {"final_trades_stay": dg.AssetCheckSeverity.ERROR}
CHECK_SPECS: Final = {
    name: dg.AssetCheckSpec(name, asset="trades", description=description) for name, description in CHECKS.items()
}


def check_results(
    before: LiveRecord | None,
    after: LiveRecord | None,
    problem: str,
    compared: pd.DataFrame,
) -> Iterator[dg.AssetCheckResult]:
    """Yield the results: of an update from `before` to `after`, None if it failed with `problem`.

    `compared` are the trades that were compared with a replay, with the column `replay`.
    """
    differ = compared[compared["replay"] != AGREES]
    names = ["strategy", "exchange", "symbol", "window", "replay"]
    changed = [] if before is None or after is None else changed_final_trades(before.trades, after.trades)
    passed: dict[str, tuple[bool, dict[str, dg.MetadataValue[Any] | int | str]]] = {
        "up_to_date": (not problem, {"problem": problem}),
        "replay_agrees": (
            differ.empty,
            {
                "compared": len(compared),
                "differ": len(differ),
                "causes": dg.MetadataValue.json(dict(Counter(differ["replay"]))),
                "first": dg.MetadataValue.json(differ[names].to_dict("records")),
            },
        ),
        "final_trades_stay": (not changed, {"changed": len(changed), "first": dg.MetadataValue.json(changed[:5])}),
    }
    for name, (is_passed, metadata) in passed.items():
        yield dg.AssetCheckResult(
            asset_key="trades", check_name=name, passed=is_passed, severity=SEVERITY[name], metadata=metadata
        )

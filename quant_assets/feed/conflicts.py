"""Conflicting setups: LONG and SHORT on the same asset in one window."""

from __future__ import annotations

from collections.abc import Sequence

from quant_assets.feed.market_blocks import Json


def mark_conflicts(signals: Sequence[Json]) -> None:
    """Set `conflict` of each setup to the setups of the opposite side on the same asset, in place."""
    setups: dict[str, list[Json]] = {}
    for signal in signals:
        if signal["setup"] is not None:
            setups.setdefault(signal["canonical_symbol"], []).append(signal)
    for same_asset in setups.values():
        for signal in same_asset:
            others = [other for other in same_asset if other["action"] != signal["action"]]
            signal["conflict"] = [
                {**{name: other[name] for name in ("exchange", "symbol", "strategy_name")}, "side": other["action"]}
                for other in others
            ] or None

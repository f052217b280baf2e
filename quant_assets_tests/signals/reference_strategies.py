"""A slow and simple implementation of the rules, for one market, that the engine is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from . import reference_indicators as reference
from .reference_features import (
    adx_of,
    change_of_a_day,
    clip,
    divergence,
    is_pullback,
    last_atr,
    legacy_bias,
    obv_imbalance,
    obv_slope,
    oi_flow,
    oi_z,
    oi_z_score_valid,
    overextended,
    pullback_depth,
    sentiment,
    volume_is_quiet,
)
from .reference_inputs import HTF_MS, LTF_MS, Bar, Inputs, closed_bars, known, why_unusable
from .reference_setups import Setup, breakout_setup, legacy_setup, price_moved_away, v2_setup, was_touched
from .reference_trendlines import Trigger, best_line, breaks_at, find_trigger, line_values, rsi_pivots

PARTS = {
    "Legacy": ("trend", "structure", "money_flow", "timing", "oi_flow", "sentiment", "penalty"),
    "Breakout": ("geometry", "momentum", "oi_flow", "sentiment"),
    "BreakoutV2": ("range", "oi_flow", "obv", "breakout", "risk_reward", "sentiment"),
}
FILTERS = {"Legacy": (), "Breakout": (), "BreakoutV2": ("oi_zscore", "obv_slope")}


def verdict(
    name: str,
    bias: str,
    parts: dict[str, float],
    score: float,
    reason: str,
    setup: Setup | None,
    filters: dict[str, Any],
) -> dict[str, Any]:
    """Put a verdict together: "While waiting, setup is null; parts are computed all the same"; "Scores are rounded to
    6 decimals before they are compared or shown", and so are the parts that are shown with them."""
    acts = reason == "" and setup is not None
    return {
        "strategy_name": name,
        "bias": bias,
        "action": bias if acts else "WAIT",
        "score": score,
        "parts": {part: round(value, 6) for part, value in parts.items()},
        "reason": reason,
        "filters": filters,
        "side": setup.side if acts and setup else "",
        "entry": setup.entry if acts and setup else None,
        "sl": setup.sl if acts and setup else None,
        "tp": setup.tp if acts and setup else None,
        "rr": setup.rr if acts and setup else 0.0,
    }


def unusable_verdict(name: str, reason: str) -> dict[str, Any]:
    """Reads "still gets its signals: WAIT, bias NONE, score 0, all parts 0, reason …"."""
    return verdict(name, "NONE", dict.fromkeys(PARTS[name], 0.0), 0.0, reason, None, dict.fromkeys(FILTERS[name]))


def legacy(ltf: Sequence[Bar], values: dict[str, Any], inputs: Inputs, threshold: float) -> dict[str, Any]:
    """Reads "trend 15 with a bias, and then +10 if HTF ADX(14) > 25, 0 without a bias; structure 20 in a
    pullback; money_flow 20 if the imbalance agrees with the bias, 0 if it opposes, 10 otherwise; timing 5 in
    a pullback on quiet volume; oi_flow; sentiment; penalty 10 for a divergence against the bias and 10 if
    overextended. score = clip(sum − penalty, 0, 100). action = bias if score ≥ 70 (configurable) and the
    setup is valid. Reasons: `no_trend`, `score_below_threshold`, `no_valid_setup`"; "`stop_too_close`, looked at
    right after `no_valid_setup`"."""
    bias = values["legacy_bias"]
    agrees = {"LONG": "BULLISH", "SHORT": "BEARISH"}.get(bias)
    opposes = {"LONG": "BEARISH", "SHORT": "BULLISH"}.get(bias)
    parts = dict.fromkeys(("trend", "structure", "money_flow", "timing", "oi_flow", "sentiment", "penalty"), 0.0)
    if bias != "NONE":
        parts["trend"] = 25.0 if values["htf_adx"] is not None and values["htf_adx"] > 25.0 else 15.0
    if values["is_pullback"]:
        parts["structure"] = 20.0
        parts["timing"] = 5.0 if values["volume_quiet"] else 0.0
    parts["money_flow"] = 10.0
    if bias != "NONE" and values["obv_imbalance"] == agrees:
        parts["money_flow"] = 20.0
    if bias != "NONE" and values["obv_imbalance"] == opposes:
        parts["money_flow"] = 0.0
    parts["oi_flow"] = oi_flow(values["oi_z"])
    parts["sentiment"] = sentiment(bias, inputs)
    if bias != "NONE" and values["divergence"] == opposes:
        parts["penalty"] += 10.0
    if values["overextended"]:
        parts["penalty"] += 10.0
    total = sum(v for name, v in parts.items() if name != "penalty")
    score = round(clip(total - parts["penalty"], 0.0, 100.0), 6)
    setup = legacy_setup(ltf, bias)
    reason = ""
    if bias == "NONE":
        reason = "no_trend"
    elif score < threshold:
        reason = "score_below_threshold"
    elif setup is None or not setup.valid:
        reason = "no_valid_setup"
    elif setup.too_close:
        reason = "stop_too_close"
    return verdict("Legacy", bias, parts, score, reason, setup, {})


def breakout(
    htf: Sequence[Bar], price: float, trigger: Trigger | None, z: float | None, inputs: Inputs
) -> dict[str, Any]:
    """Reads "bias = the trigger's side. geometry = 40 × min(1, |close[b]/close[a] − 1| × 100 × (b − a) /
    500); momentum = 30 × min(1, strength / 10); oi_flow; sentiment. Without a trigger the first two are 0.
    Reasons, in this order: `no_breakout`; `price_moved_away`; `already_hit`; `no_valid_setup`;
    `poor_risk_reward` if rr < 1"; "`stop_too_close`, looked at right after `no_valid_setup`"."""
    bias = trigger.side if trigger else "NONE"
    parts = {"geometry": 0.0, "momentum": 0.0, "oi_flow": oi_flow(z), "sentiment": sentiment(bias, inputs)}
    reason, setup = "no_breakout", None
    if trigger:
        line = trigger.line
        moved = abs(htf[line.b].close / htf[line.a].close - 1.0) * 100.0
        parts["geometry"] = 40.0 * min(1.0, moved * (line.b - line.a) / 500.0)
        parts["momentum"] = 30.0 * min(1.0, trigger.strength / 10.0)
        setup = breakout_setup(htf, price, trigger)
        if price_moved_away(htf, price, trigger):
            reason = "price_moved_away"
        elif was_touched(htf, setup, trigger.s):
            reason = "already_hit"
        elif not setup.valid:
            reason = "no_valid_setup"
        elif setup.too_close:
            reason = "stop_too_close"
        elif setup.rr < 1.0:
            reason = "poor_risk_reward"
        else:
            reason = ""
    score = round(clip(sum(parts.values()), 0.0, 100.0), 6)
    return verdict("Breakout", bias, parts, score, reason, setup, {})


def breakout_v2(
    htf: Sequence[Bar], price: float, trigger: Trigger | None, values: dict[str, Any], inputs: Inputs
) -> dict[str, Any]:
    """Reads "same trigger, else `no_breakout`. Gates, in this order: `price_moved_away`; `oi_z_score_too_low`
    if there is an oi_z and it is ≤ 1.5 (…`filters_passed.oi_zscore` is null); `obv_against` unless the slope
    … has the side's sign; `outside_range` unless the last HTF RSI is 40–80 for LONG, 20–60 for SHORT;
    `stop_too_close` right before `poor_risk_reward` if rr < 2 or there is no valid setup. range 20 if RSI is
    50–70 (SHORT 30–50), 10 elsewhere in the allowed range; oi_flow; obv 15 if aligned; breakout = 20 ×
    min(1, strength / 10); risk_reward 15 if rr ≥ 3, 10 if ≥ 2; sentiment. Without a trigger only oi_flow and
    sentiment count"."""
    z, r = values["oi_z"], values["htf_rsi"]
    bias = trigger.side if trigger else "NONE"
    parts = dict.fromkeys(("range", "oi_flow", "obv", "breakout", "risk_reward", "sentiment"), 0.0)
    parts["oi_flow"] = oi_flow(z)
    parts["sentiment"] = sentiment(bias, inputs)
    filters: dict[str, Any] = {"oi_zscore": None if z is None else values["oi_z_score_valid"], "obv_slope": None}
    reason, setup = "no_breakout", None
    if trigger:
        long = trigger.side == "LONG"
        aligned = values["obv_slope"] > 0.0 if long else values["obv_slope"] < 0.0
        inside = 40.0 <= r <= 80.0 if long else 20.0 <= r <= 60.0
        middle = 50.0 <= r <= 70.0 if long else 30.0 <= r <= 50.0
        setup = v2_setup(htf, price, trigger)
        filters["obv_slope"] = aligned
        parts["range"] = 20.0 if middle else 10.0 if inside else 0.0
        parts["obv"] = 15.0 if aligned else 0.0
        parts["breakout"] = 20.0 * min(1.0, trigger.strength / 10.0)
        parts["risk_reward"] = 15.0 if setup.rr >= 3.0 else 10.0 if setup.rr >= 2.0 else 0.0
        if price_moved_away(htf, price, trigger):
            reason = "price_moved_away"
        elif z is not None and not values["oi_z_score_valid"]:
            reason = "oi_z_score_too_low"
        elif not aligned:
            reason = "obv_against"
        elif not inside:
            reason = "outside_range"
        elif setup.too_close:
            reason = "stop_too_close"
        elif not setup.valid or setup.rr < 2.0:
            reason = "poor_risk_reward"
        else:
            reason = ""
    score = round(clip(sum(parts.values()), 0.0, 100.0), 6)
    return verdict("BreakoutV2", bias, parts, score, reason, setup, filters)


def analyse(
    ltf_bars: Sequence[Bar], htf_bars: Sequence[Bar], window_end_ms: int, inputs: Inputs, threshold: float = 70.0
) -> dict[str, dict[str, Any]]:
    """Return the verdict of each strategy by its name, and the values behind them under "values"."""
    ltf = closed_bars(ltf_bars, LTF_MS, window_end_ms)
    htf = closed_bars(htf_bars, HTF_MS, window_end_ms)
    unusable = why_unusable(ltf, htf, window_end_ms)
    if unusable:
        out = {name: unusable_verdict(name, unusable) for name in PARTS}
        out["values"] = {"unusable": unusable, "ltf_bars": len(ltf), "htf_bars": len(htf)}
        return out
    ltf_closes, htf_closes = [bar.close for bar in ltf], [bar.close for bar in htf]
    price = ltf_closes[-1]
    r = reference.rsi(htf_closes, 14)
    ltf_r = reference.rsi(ltf_closes, 14)
    n = len(r)
    trigger = find_trigger(r)
    bias = legacy_bias(ltf, htf)
    depth = pullback_depth(ltf, bias)
    imbalance, imbalance_value = obv_imbalance(ltf)
    z = oi_z(inputs, window_end_ms)
    values: dict[str, Any] = {
        "unusable": "",
        "ltf_bars": len(ltf),
        "htf_bars": n,
        "price": price,
        "htf_rsi": known(r[-1]),
        "ltf_rsi": known(ltf_r[-1]),
        "htf_adx": adx_of(htf),
        "ltf_adx": adx_of(ltf),
        "htf_atr": last_atr(htf),
        "ltf_atr": last_atr(ltf),
        "htf_ema50": reference.ema(htf_closes, 50)[-1],
        "htf_ema200": reference.ema(htf_closes, 200)[-1],
        "htf_trend": "UP" if htf_closes[-1] > htf_closes[-5] else "DOWN",
        "vol24h": math.fsum(bar.close * bar.volume for bar in ltf[-96:]),
        "change_24h_pct": change_of_a_day(ltf),
        "pivot_highs": rsi_pivots(r, n, "resistance"),
        "pivot_lows": rsi_pivots(r, n, "support"),
        "resistance": line_values(best_line(r, n, "resistance"), htf_closes, htf),
        "support": line_values(best_line(r, n, "support"), htf_closes, htf),
        "htf_close": htf_closes[-1],
        "trigger": trigger,
        "broken_at_trigger": breaks_at(r, trigger.s) if trigger else [],
        "trigger_line": line_values(trigger.line, htf_closes, htf) if trigger else None,
        "legacy_bias": bias,
        "pullback_depth": None if depth is None else float(depth),
        "is_pullback": is_pullback(depth),
        "obv_imbalance": imbalance,
        "obv_imbalance_value": None if imbalance_value is None else float(imbalance_value),
        "obv_slope": float(obv_slope(ltf)),
        "divergence": divergence(ltf_closes, ltf_r),
        "overextended": overextended(ltf_closes, bias),
        "volume_quiet": volume_is_quiet(ltf),
        "volume_20": sum(bar.volume for bar in ltf[-20:]),
        "oi_z": z,
        "oi_z_score_valid": oi_z_score_valid(inputs, window_end_ms),
    }
    return {
        "Legacy": legacy(ltf, values, inputs, threshold),
        "Breakout": breakout(htf, price, trigger, z, inputs),
        "BreakoutV2": breakout_v2(htf, price, trigger, values, inputs),
        "values": values,
    }

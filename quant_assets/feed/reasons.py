"""Texts of why a strategy waits: the reason, the measured value, the limit that it missed, and the condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from quant_assets.signals import Gate, GateIndex


class ReasonNumbers(NamedTuple):
    """A measured value and its limit as text with units, and how they compare: <, > or =."""

    value: str
    sign: str
    bound: str


def gate_of(signal: Mapping[str, Any], gates: GateIndex) -> Gate | None:
    """Return the gate that a waiting signal failed, None with a setup or if the gate is unknown."""
    return gates.find(signal["strategy_name"], signal["details"]["reason"] or "")


def reason_numbers(details: Mapping[str, Any], gate: Gate | None) -> ReasonNumbers | None:
    """Return the numbers of a reason in a signal's `details`; None if it has none, or the feed is of version 1.0."""
    value, bound = details.get("reason_value"), details.get("reason_bound")
    if value is None or bound is None:
        return None
    unit = "" if gate is None else gate.unit
    digits = 3 if f"{value:.3g}" != f"{bound:.3g}" else 6
    sign = "<" if value < bound else ">" if value > bound else "="
    return ReasonNumbers(f"{value:.{digits}g}{unit}", sign, f"{bound:.{digits}g}{unit}")


def reason_summary(signal: Mapping[str, Any], gates: GateIndex) -> str:
    """Return why a signal waits, like "poor risk reward: 0.83 < 1"; empty if there is a setup."""
    details = signal["details"]
    reason = (details["reason"] or "").replace("_", " ")
    numbers = reason_numbers(details, gate_of(signal, gates))
    return reason if numbers is None else f"{reason}: {numbers.value} {numbers.sign} {numbers.bound}"


def reason_sentence(signal: Mapping[str, Any], gates: GateIndex) -> str:
    """Return the condition that a waiting signal failed, with the limit of its own scan; empty if it is unknown."""
    gate = gate_of(signal, gates)
    return "" if gate is None else gate.sentence(signal["details"].get("reason_bound"))

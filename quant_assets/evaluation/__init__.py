"""What signals are worth: trades of setups, their results, and statistics over them.

`follow_setups` turns setups into trades and follows each to its end, `chance_results` gives what random entries would
have given, and `record` sums up the trades that count. `read_trades` has the trades of published signals.
"""

from quant_assets.evaluation.costs import Costs, EvaluationConfigError, FundingRates, funding_rates, load_costs
from quant_assets.evaluation.draws import Range, chance_results
from quant_assets.evaluation.evaluate import Evaluation, NothingToEvaluate, evaluate, full_range
from quant_assets.evaluation.exits import Outcome
from quant_assets.evaluation.one_bar_later import later_results
from quant_assets.evaluation.price_bars import JoinedBars, PriceBars, price_bars
from quant_assets.evaluation.prices import Prices
from quant_assets.evaluation.record import counted, cumulated, record, summaries_by_group
from quant_assets.evaluation.stored_inputs import StoredInputs, selected_since, stored_inputs
from quant_assets.evaluation.track_record import TrackRecord, track_record
from quant_assets.evaluation.trade_table import Source, read_trades
from quant_assets.evaluation.trades import Reason, TradeRules, follow_setups

__all__ = [
    "Costs",
    "Evaluation",
    "EvaluationConfigError",
    "FundingRates",
    "JoinedBars",
    "NothingToEvaluate",
    "Outcome",
    "PriceBars",
    "Prices",
    "Range",
    "Reason",
    "Source",
    "StoredInputs",
    "TrackRecord",
    "TradeRules",
    "chance_results",
    "counted",
    "cumulated",
    "evaluate",
    "follow_setups",
    "full_range",
    "funding_rates",
    "later_results",
    "load_costs",
    "price_bars",
    "read_trades",
    "record",
    "selected_since",
    "stored_inputs",
    "summaries_by_group",
    "track_record",
]

"""The live record: the trades of published signals, brought up to date as bars arrive."""

from quant_assets.evaluation.live.agreement import AGREES, Cause, Stored, compare_with_replay
from quant_assets.evaluation.live.gather import new_publications, stored_setups
from quant_assets.evaluation.live.published import published_setups, read_published, write_published
from quant_assets.evaluation.live.settle import RatesOf
from quant_assets.evaluation.live.state import LiveRecord, load_live_record, save_live_record
from quant_assets.evaluation.live.update import Publications, changed_final_trades, newly_settled, update_live_record

__all__ = [
    "AGREES",
    "Cause",
    "LiveRecord",
    "Publications",
    "RatesOf",
    "Stored",
    "changed_final_trades",
    "compare_with_replay",
    "load_live_record",
    "new_publications",
    "newly_settled",
    "published_setups",
    "read_published",
    "save_live_record",
    "stored_setups",
    "update_live_record",
    "write_published",
]

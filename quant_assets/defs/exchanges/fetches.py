"""The job that fetches from exchanges, and the schedule that starts it at the end of each window."""

from typing import Final

import dagster as dg

from quant_assets.candles.exchanges.config import ExchangesConfigError
from quant_assets.common.clock import Clock
from quant_assets.common.windows import WINDOW_LENGTH, Window
from quant_assets.orchestration.exchange_source import ExchangeSource, lists_are_due
from quant_assets.orchestration.job_names import FETCH
from quant_assets.orchestration.run_requests import GRACE_SECONDS, SCHEDULED_PRIORITY, skip_if_late
from quant_assets.orchestration.run_tags import MAX_RUNTIME, PRIORITY

#: A fetch ends so long before the next one begins.
MARGIN_SECONDS: Final = 30

fetch_job = dg.define_asset_job(
    FETCH,
    selection=dg.AssetSelection.groups("exchanges"),
    description="Fetch the market lists and candles of the exchanges in exchanges.toml.",
)


@dg.schedule(
    job=fetch_job,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    description="Every quarter hour: fetch the bars that have just closed, and once an hour the market lists first.",
)
def fetch_every_quarter_hour(
    context: dg.ScheduleEvaluationContext,
    exchange_source: ExchangeSource,
    clock: dg.ResourceParam[Clock],
) -> dg.RunRequest | dg.SkipReason:
    """Request a fetch. Skip it if exchanges.toml names no exchange; if it is invalid, the run fails and says why."""
    tick = context.scheduled_execution_time
    if late := skip_if_late(tick, WINDOW_LENGTH, clock, "the next fetch gets its bars"):
        return late
    try:
        config = exchange_source.config()
    except ExchangesConfigError as error:
        context.log.warning("%s", error)  # the run fails with it, which sends a notice
        lists_due = True
    else:
        if not config.exchanges:
            return dg.SkipReason(f"{exchange_source.settings.exchanges_path} names no exchange")
        lists_due = lists_are_due(exchange_source.settings, config, clock.now())
    seconds = WINDOW_LENGTH.total_seconds() - MARGIN_SECONDS
    return dg.RunRequest(
        run_key=f"fetch {Window.last_complete(tick).key}",
        asset_selection=None if lists_due else [dg.AssetKey("exchange_candles")],
        run_config=dg.RunConfig(ops={"exchange_candles": {"config": {"max_wait_seconds": seconds}}}),
        tags={
            PRIORITY: SCHEDULED_PRIORITY,
            MAX_RUNTIME: str(int(seconds) + GRACE_SECONDS),
        },
    )

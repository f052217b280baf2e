"""The stage `feed`: every signal of a window in one document, published for whoever reads it."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import orjson
import pandas as pd

from quant_assets.defs.partitions import WINDOWS
from quant_assets.defs.resources import Coinalyze, FeedFile
from quant_assets.derivatives.store import StoreError
from quant_assets.feed import build_feed, feed_problems, publish
from quant_assets.signals import Strategy
from quant_assets.windows import Window


def feed_asset(strategies: Sequence[Strategy]) -> dg.AssetsDefinition:
    """Return the asset `master_feed` over the signal tables of these strategies."""

    @dg.asset(
        name="master_feed",
        group_name="feed",
        kinds={"python", "json"},
        owners=["team:quant"],
        partitions_def=WINDOWS,
        io_manager_key="document_io_manager",
        ins={f"signals_{strategy.key}": dg.AssetIn(key=["signals", strategy.key]) for strategy in strategies},
        description=(
            "One JSON object with a signal for every market and strategy, best first, and the window's statistics. "
            "Held against its schema, then published as `master_feed.json`, which only the newest window replaces."
        ),
        check_specs=[
            dg.AssetCheckSpec(
                "contract",
                asset="master_feed",
                description="The feed is valid by its JSON Schema, with no NaN, and signals = markets x strategies.",
            )
        ],
    )
    def master_feed(
        context: dg.AssetExecutionContext,
        candle_files: pd.DataFrame,
        features: pd.DataFrame,
        coinalyze: Coinalyze,
        feed_file: FeedFile,
        **signals: pd.DataFrame,
    ) -> Iterator[dg.Output[bytes] | dg.AssetCheckResult]:
        window = Window.of_key(context.partition_key)
        try:
            with coinalyze.store() as store:
                report = store.report(window.key)
        except StoreError as error:
            context.log.warning("the account of the refresh is missing: %s", error)
            report = None
        written_at = datetime.fromtimestamp(time.time(), UTC)
        feed = build_feed(
            features,
            {strategy: signals[f"signals_{strategy.key}"] for strategy in strategies},
            candle_files,
            window,
            api=None if report is None else orjson.loads(report),
            written_at=written_at,
        )
        content = orjson.dumps(feed)
        problems = feed_problems(content)
        stats = feed["stats"]
        yield dg.AssetCheckResult(
            check_name="contract",
            passed=not problems,
            metadata={
                "signals": stats["signals"],
                "markets": stats["markets"],
                "problems": dg.MetadataValue.json(problems),
            },
        )
        if problems:
            raise dg.Failure(f"the feed breaks its contract and is not published: {problems[0]}", allow_retries=False)
        yield dg.Output(
            content,
            metadata={
                "dagster/row_count": stats["signals"],
                "markets": stats["markets"],
                **stats["actions"],
                **stats["resolution"],
                "published": publish(content, window, Path(feed_file.path), written_at),
                "simulated": feed["simulated"],
            },
        )

    return master_feed

"""The master feed: its contract and its writer.

The feed is built from tables, held against its schema, and replaced whole.
"""

from quant_assets.feed.build import build_feed, has_symbol, select_signals
from quant_assets.feed.contract import feed_problems, feed_schema
from quant_assets.feed.publish import Publication, StoredFeed, publish

__all__ = [
    "Publication",
    "StoredFeed",
    "build_feed",
    "feed_problems",
    "feed_schema",
    "has_symbol",
    "publish",
    "select_signals",
]

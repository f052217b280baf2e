"""The master feed: building it from tables, validating it against its schema, and publishing it."""

from quant_assets.feed.build import build_feed
from quant_assets.feed.contract import feed_problems, feed_schema
from quant_assets.feed.publish import FeedPlace, Publication, StoredFeed, first_published_ms, publish
from quant_assets.feed.selection import has_symbol, select_signals

__all__ = [
    "FeedPlace",
    "Publication",
    "StoredFeed",
    "build_feed",
    "feed_problems",
    "feed_schema",
    "first_published_ms",
    "has_symbol",
    "publish",
    "select_signals",
]

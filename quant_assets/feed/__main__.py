"""Print the JSON Schema of the feed. `make schema` writes it to docs/master_feed.schema.json."""

import orjson

from quant_assets.feed.contract import feed_schema

if __name__ == "__main__":
    print(orjson.dumps(feed_schema(), option=orjson.OPT_INDENT_2).decode())

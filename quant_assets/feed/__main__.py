"""Print the JSON Schema of the feed. `make schema` writes it to quant_assets/feed/master_feed.schema.json."""

import orjson

from quant_assets.feed.model import generate_schema

if __name__ == "__main__":
    print(orjson.dumps(generate_schema(), option=orjson.OPT_INDENT_2).decode())

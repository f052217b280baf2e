"""Select the markets of a symbol map by exchange and symbol."""

from __future__ import annotations

import pandas as pd

from quant_assets.markets.rules import nfc


def select_markets(symbol_map: pd.DataFrame, exchange: str = "", symbol: str = "") -> pd.DataFrame:
    """Return the rows of an exchange whose local or display symbol contains a text; "" selects everything.

    Upper and lower case are the same.
    """
    is_selected = symbol_map["symbol"].str.contains(nfc(symbol), case=False, regex=False)
    is_selected |= symbol_map["display_symbol"].str.contains(nfc(symbol), case=False, regex=False)
    if exchange:
        is_selected &= symbol_map["exchange"].str.casefold() == exchange.casefold()
    return symbol_map[is_selected].reset_index(drop=True)

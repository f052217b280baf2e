"""Name the requests that give open interest and funding of all markets, for each exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from quant_assets.providers.exchanges.snapshot_requests import (
    SnapshotRequest,
    hours,
    hyperliquid_rows,
    okx_interval_hours,
    rows_at,
)

BITGET_PRODUCTS: Final = ("USDT-FUTURES", "USDC-FUTURES")

SNAPSHOT_REQUESTS: Final[Mapping[str, tuple[SnapshotRequest, ...]]] = {
    "BINANCE": (
        SnapshotRequest(
            method="fapiPublicGetPremiumIndex",
            rows=rows_at(),
            funding_rate="lastFundingRate",
        ),
        # It lists only the markets whose interval was changed.
        SnapshotRequest(
            method="fapiPublicGetFundingInfo",
            rows=rows_at(),
            interval_hours=hours("fundingIntervalHours"),
            default_interval_hours=8,
            may_be_empty=True,
        ),
        SnapshotRequest(
            method="fapiPublicGetOpenInterest",
            symbol_parameter="symbol",
            rows=lambda body: [body],
            open_interest="openInterest",
        ),
    ),
    "BYBIT": (
        SnapshotRequest(
            method="publicGetV5MarketTickers",
            parameters={"category": "linear"},
            rows=rows_at("result", "list"),
            open_interest="openInterest",
            funding_rate="fundingRate",
            interval_hours=hours("fundingIntervalHour"),
        ),
    ),
    "OKX": (
        SnapshotRequest(
            method="publicGetPublicOpenInterest",
            parameters={"instType": "SWAP"},
            rows=rows_at("data"),
            symbol="instId",
            open_interest="oiCcy",
        ),
        SnapshotRequest(
            method="publicGetPublicFundingRate",
            parameters={"instId": "ANY"},
            rows=rows_at("data"),
            symbol="instId",
            funding_rate="fundingRate",
            interval_hours=okx_interval_hours,
        ),
    ),
    "HYPERLIQUID": (
        SnapshotRequest(
            method="publicPostInfo",
            parameters={"type": "metaAndAssetCtxs"},
            rows=hyperliquid_rows,
            symbol="name",
            open_interest="openInterest",
            funding_rate="funding",
            interval_hours=lambda _: 1.0,
        ),
    ),
    "KUCOIN": (
        SnapshotRequest(
            method="futuresPublicGetContractsActive",
            rows=rows_at("data"),
            open_interest="openInterest",
            funding_rate="fundingFeeRate",
            interval_hours=hours("fundingRateGranularity", 3_600_000),
        ),
    ),
    "MEXC": (
        SnapshotRequest(
            method="contractPublicGetTicker",
            rows=rows_at("data"),
            open_interest="holdVol",
            funding_rate="fundingRate",
        ),
    ),
    "GATE": (
        SnapshotRequest(
            method="publicFuturesGetSettleContracts",
            parameters={"settle": "usdt"},
            rows=rows_at(),
            symbol="name",
            open_interest="position_size",
            funding_rate="funding_rate",
            interval_hours=hours("funding_interval", 3600),
        ),
    ),
    "BITGET": tuple(
        request
        for product in BITGET_PRODUCTS
        for request in (
            SnapshotRequest(
                method="publicMixGetV2MixMarketTickers",
                parameters={"productType": product},
                rows=rows_at("data"),
                open_interest="holdingAmount",
                funding_rate="fundingRate",
                may_be_empty=True,
            ),
            # The tickers lack the interval.
            SnapshotRequest(
                method="publicMixGetV2MixMarketCurrentFundRate",
                parameters={"productType": product},
                rows=rows_at("data"),
                interval_hours=hours("fundingRateInterval"),
                may_be_empty=True,
            ),
        )
    ),
}
"""Name of an exchange → its requests, in the order in which they are sent."""

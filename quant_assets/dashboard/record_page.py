"""The page of the record, and the plots for its script."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from quant_assets.dashboard import formatting
from quant_assets.dashboard.app_context import AppContext, context_of
from quant_assets.dashboard.pages import METHODS
from quant_assets.dashboard.query import check_parameters
from quant_assets.dashboard.record import costs_or_defaults, figures_json, live_record, trade_rows
from quant_assets.dashboard.record_query import RecordParameters
from quant_assets.dashboard.responses import HTML, CachedResponse, send
from quant_assets.dashboard.signal_record import CAUSES, OUTCOMES, result_text
from quant_assets.dashboard.templating import templates
from quant_assets.evaluation import Costs

#: Trades listed on the page; /api/trades has all.
LISTED_TRADES: Final = 30
PERIODS: Final = (7, 30, 90)

router = APIRouter(include_in_schema=False, dependencies=[Depends(check_parameters)])


@router.api_route("/record", methods=METHODS)
async def page(request: Request, parameters: Annotated[RecordParameters, Query()]) -> Response:
    """Return the page of the record with these filters."""
    context = context_of(request)
    costs, problem = costs_or_defaults(context.settings.evaluation_path)
    key = ("record page", await context.trades_version(), costs, problem, parameters)
    query = request.url.query
    return send(request, await context.response(key, lambda: _page(context, parameters, costs, problem, query)))


@router.api_route("/record/figures", methods=METHODS)
async def figures(request: Request, parameters: Annotated[RecordParameters, Query()]) -> Response:
    """Return the plots of the record for the page's script."""
    context = context_of(request)
    costs, _ = costs_or_defaults(context.settings.evaluation_path)

    def make() -> CachedResponse:
        return CachedResponse.from_json(figures_json(context.trades.read(), parameters, costs))

    key = ("record figures", await context.trades_version(), costs, parameters)
    return send(request, await context.response(key, make))


def _page(context: AppContext, parameters: RecordParameters, costs: Costs, problem: str, query: str) -> CachedResponse:
    trades = context.trades.read()
    found = live_record(trades, parameters, costs)
    selected = parameters.select(trades)
    newest = selected.iloc[::-1].head(LISTED_TRADES)
    # The period of what is shown; if that is nothing, of all trades.
    entered = (selected[~selected["hindsight"]] if found.matched else trades)["entry_ms"]
    html = (
        templates()
        .get_template("record.html")
        .render(
            parameters=parameters,
            found=found,
            has_trades=bool(len(trades)),
            late=int((trades["source"] == "late").sum()),
            first=formatting.timestamp(entered.min()) if len(entered) else "",
            last=formatting.timestamp(entered.max()) if len(entered) else "",
            strategies=_names(trades, "strategy"),
            exchanges=_names(trades, "exchange"),
            periods=PERIODS,
            costs=costs,
            problem=problem,
            query=query,
            trades=[_trade(row) for row in trade_rows(newest)],
            causes=CAUSES,
            differ=[_trade(row) for row in trade_rows(found.replayed.differ.iloc[::-1].head(LISTED_TRADES))],
        )
    )
    return CachedResponse(html.encode(), HTML)


def _names(trades: Any, column: str) -> list[str]:
    return sorted(map(str, trades[column].unique()))


def _trade(row: dict[str, Any]) -> dict[str, Any]:
    """Return what the page lists of a trade."""
    return {
        **{name: row[name] for name in ("strategy", "exchange", "symbol", "side", "window", "outcome")},
        "id": f"{row['exchange']}/{row['symbol']}/{row['strategy']}",
        "entered": formatting.timestamp(row["entry_ms"]),
        "ended": formatting.timestamp(row["exit_ms"]) if row["exit_ms"] else "",
        "what": OUTCOMES[row["outcome"]],
        "why": CAUSES.get(row["replay"], ""),
        "gross": _result_or_dash(row["gross_r"]),
        "replayed": _result_or_dash(row["replay_r"]),
        "result": "" if row["net_r"] is None else f"{result_text(row['net_r'])} R",
    }


def _result_or_dash(value: float | None) -> str:
    return "–" if value is None else f"{result_text(value)} R"

"""The command `quant-assets replay`; orchestration/replay.py does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer

from quant_assets.cli.arguments import Json, parse_window
from quant_assets.cli.candle_sources import check_stored_candles
from quant_assets.cli.environment import check_config_files, load_settings, silence_dagster
from quant_assets.cli.errors import EXIT_UNEXPECTED, echo_err, usage_error


def replay(
    since: Annotated[str, typer.Option("--from", help="First window: the last one complete at this moment, ISO 8601.")],
    until: Annotated[str, typer.Option("--to", help="Last window: the last one complete at this moment, ISO 8601.")],
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of candle files; without it, the stored candles of exchanges.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute features, signals and feeds of a range of windows again, the oldest first, without an API call.

    It uses the derivatives that are stored. The master feed is replaced only by a newer window.
    """
    from quant_assets.storage.database_clock import clock_of  # noqa: PLC0415

    settings = load_settings(fetches=False)
    clock = clock_of(settings)
    first, last = parse_window(since or " ", "--from", clock), parse_window(until or " ", "--to", clock)
    if first > last:
        usage_error(f"--from {since} is after --to {until}; swap them")
    check_stored_candles(settings, folder)
    check_config_files(settings)
    from quant_assets.cli.rendering import progress_bars  # noqa: PLC0415

    silence_dagster()
    from quant_assets.definitions import build_definitions  # noqa: PLC0415
    from quant_assets.orchestration.replay import run_replay, windows_between  # noqa: PLC0415
    from quant_assets.orchestration.scan import ScanFailed  # noqa: PLC0415

    try:
        with progress_bars() as progress:
            result = run_replay(
                settings,
                build_definitions(settings, progress),
                None if folder is None else folder.absolute(),
                windows_between(first, last),
                progress,
            )
    except ScanFailed as error:
        echo_err(f"the replay failed: {error}")
        raise typer.Exit(EXIT_UNEXPECTED) from None
    from quant_assets.storage.lake import Lake  # noqa: PLC0415

    feeds = Lake(settings.lake_place).describe_partitions(["master_feed"])
    if as_json:
        summary = {
            "from": first.key,
            "to": last.key,
            "windows": result.windows,
            "runs": result.runs,
            "markets": result.markets,
            "actions": result.actions,
            "feeds": feeds,
            "published": result.published,
            "api": {"calls": 0},
            "elapsed_seconds": round(result.elapsed_seconds, 3),
        }
        print(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode())
        return
    actions = ", ".join(f"{count} {action}" for action, count in result.actions.items())
    print(f"{result.windows} windows from {first.key} to {last.key} in {result.elapsed_seconds:.1f} s: {actions}")
    print(f"feeds: {feeds}")
    if not result.published:
        echo_err(f"{settings.feed_place} has a newer window and was not replaced")

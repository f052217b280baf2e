"""The command `quant-assets replay`: its arguments, and what it prints. The work is in replay.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer

from quant_assets.cli.arguments import (
    Json,
    check_files,
    check_folder,
    quiet_dagster,
    read_settings,
    read_window,
    refuse,
    say,
)


def replay(
    since: Annotated[str, typer.Option("--from", help="First window: the last one complete at this moment, ISO 8601.")],
    until: Annotated[str, typer.Option("--to", help="Last window: the last one complete at this moment, ISO 8601.")],
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of candle files; without one, that of QUANT_CANDLES_DIR.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute features, signals and feeds of a range of windows again, the oldest first; spends no call.

    Derivatives are those that are known. The master feed is replaced by a newer window only.
    """
    settings = read_settings(fetches=False)
    first, last = read_window(since or " ", "--from"), read_window(until or " ", "--to")
    if first > last:
        refuse(f"--from {since} lies after --to {until}; swap them")
    candles = folder or settings.candle_folder
    check_folder(candles)
    check_files(settings)
    from quant_assets.cli.rendering import shown_progress  # noqa: PLC0415

    quiet_dagster()
    from quant_assets.definitions import build_definitions  # noqa: PLC0415
    from quant_assets.orchestration.replay import run_replay, windows_between  # noqa: PLC0415
    from quant_assets.orchestration.scan import ScanFailed  # noqa: PLC0415

    try:
        with shown_progress() as progress:
            result = run_replay(
                settings,
                build_definitions(settings, progress),
                candles.absolute(),
                windows_between(first, last),
                progress,
            )
    except ScanFailed as error:
        say(f"the replay failed: {error}")
        raise typer.Exit(1) from None
    feeds = settings.lake_dir / "master_feed"
    if as_json:
        summary = {
            "from": first.key,
            "to": last.key,
            "windows": result.windows,
            "runs": result.runs,
            "markets": result.markets,
            "actions": result.actions,
            "feeds": str(feeds),
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
        say(f"{settings.feed_path} holds a newer window and stays")

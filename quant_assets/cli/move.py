"""The command `move`: copy the data of the folder to the URLs of the environment, or back."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from quant_assets.cli.arguments import Json
from quant_assets.cli.environment import create_data_folder, settings_from_environment
from quant_assets.cli.errors import EXIT_UNEXPECTED, echo_err, usage_error

if TYPE_CHECKING:
    from quant_assets.common.progress import Progress
    from quant_assets.common.settings import Settings

URL_SETTINGS = ("lake_url", "database_url", "feed_url")
MAX_NAMES_SHOWN = 5


class Direction(StrEnum):
    """Where the data go."""

    URLS = "urls"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move did: objects that were copied and that were there already, rows that were read, and the feed."""

    objects: int = 0
    present: int = 0
    rows: int = 0
    feed: str = ""


def move(
    to: Annotated[Direction, typer.Option("--to", help="urls: from the data folder; folder: into it.")],
    as_json: Json = False,
) -> None:
    """Copy the data of the folder to the URLs of the environment, or back. The source is left as it is.

    Tables go to QUANT_LAKE_URL, fetched data to QUANT_DATABASE_URL, the feed to QUANT_FEED_URL, if these are set.
    Stop all scans, fetches and services before. What the target has already is not copied again, so repeat a move that
    was broken off. Nothing is written if the target has newer tables of its own.
    """
    settings = settings_from_environment()
    if not any(getattr(settings, name) for name in URL_SETTINGS):
        usage_error("nothing to move: set QUANT_LAKE_URL, QUANT_DATABASE_URL or QUANT_FEED_URL, in .env or otherwise")
    create_data_folder(settings)
    from quant_assets.cli.rendering import progress_bars  # noqa: PLC0415
    from quant_assets.derivatives.store import StoreError  # noqa: PLC0415
    from quant_assets.storage.database import DatabaseError  # noqa: PLC0415
    from quant_assets.storage.locks import exclusive  # noqa: PLC0415
    from quant_assets.storage.origins import OriginError, recorded_origins  # noqa: PLC0415

    folder = settings.model_copy(update=dict.fromkeys(URL_SETTINGS))
    source, target = (folder, settings) if to is Direction.URLS else (settings, folder)
    try:
        recorded_origins(settings)  # a database that cannot be used is a wrong setting
        with progress_bars() as progress, ExitStack() as locked:
            locked.enter_context(exclusive(folder.data_dir, "scan"))
            if settings.database is not None:
                locked.enter_context(exclusive(settings.database, "scan"))
            moved = _move(source, target, progress)
    except OriginError as error:
        usage_error(str(error))
    except (DatabaseError, StoreError) as error:
        echo_err(f"the move failed: {settings.database}: {error}; repeat it, nothing was lost")
        raise typer.Exit(EXIT_UNEXPECTED) from None
    if as_json:
        print(orjson.dumps(asdict(moved), option=orjson.OPT_INDENT_2).decode())
        return
    print(f"{moved.objects} tables and feeds copied, {moved.present} were there; {moved.rows} rows added or there")
    if moved.feed:
        print(f"master feed: {moved.feed}")


def _move(source: Settings, target: Settings, progress: Progress) -> Moved:
    """Copy what has another place in the target; exit if that has newer tables, or data of other origins."""
    from quant_assets.derivatives.copy_store import copy_store  # noqa: PLC0415
    from quant_assets.storage.copy_objects import copy_objects, plan_copy  # noqa: PLC0415
    from quant_assets.storage.lake import Lake  # noqa: PLC0415
    from quant_assets.storage.origins import (  # noqa: PLC0415
        record_origin,
        recorded_origins,
        settings_for_data_folder,
    )

    source = settings_for_data_folder(source, os.environ, fetches=False)
    target = target.model_copy(update={"origin": source.origin})
    origins, there = recorded_origins(source), recorded_origins(target)
    for name, origin in origins.items():
        if there.get(name, origin) != origin:
            usage_error(f"the target has data of {name} from {there[name]}, the source from {origin}: not moved")
    moved = Moved()
    if source.lake_url != target.lake_url:
        lakes = Lake(source.lake_place), Lake(target.lake_place)
        plan = plan_copy(*lakes, progress)
        if plan.newer:
            shown = ", ".join(plan.newer[:MAX_NAMES_SHOWN]) + (", …" if len(plan.newer) > MAX_NAMES_SHOWN else "")
            usage_error(
                f"{len(plan.newer)} tables of the target are newer than those of the source ({shown}); nothing was "
                "moved. Remove those that you do not need, or move to another place"
            )
        moved = Moved(copy_objects(*lakes, plan.missing, progress), plan.present)
    rows = 0
    if source.store_place != target.store_place:
        if not isinstance(source.store_place, Path) or source.store_place.exists():
            rows = copy_store(source.store_place, target.store_place, progress)
        for name, origin in origins.items():
            record_origin(target, name, origin)
    return Moved(moved.objects, moved.present, rows, _move_feed(source, target))


def _move_feed(source: Settings, target: Settings) -> str:
    """Publish the feed of the source in the target; return what became of it, "" if there is nothing to move."""
    from quant_assets.feed import FeedPlace, StoredFeed, publish  # noqa: PLC0415
    from quant_assets.storage.database_clock import clock_of  # noqa: PLC0415
    from quant_assets.storage.documents import Document  # noqa: PLC0415

    content = Document.at(source.feed_place).read()
    feed = None if content is None else StoredFeed.of(content)
    if feed is None or (source.feed_place == target.feed_place and source.database == target.database):
        return ""
    place = FeedPlace(target.feed_place, target.data_dir, target.database)
    return str(publish(feed, place, clock_of(target).now()))

"""The dagster.yaml of an instance: that of an earlier version is brought over, and its records stay."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from quant_assets.common.files import UserFileWarning
from quant_assets.common.settings import Settings, SettingsError
from quant_assets.orchestration.instance import open_instance
from quant_assets.orchestration.instance_config import prepare_dagster_yaml
from quant_assets_tests.defs.live import ROOT
from quant_assets_tests.forking import run
from quant_assets_tests.world import World, environment

#: As earlier versions appended it to the project's dagster.yaml.
SECTION = """
# Dagster's records in SQLite, in DAGSTER_HOME, through connections that stay open. Every process
# that opens the instance needs DAGSTER_HOME in its environment.
storage:
  custom:
    module: quant_assets.defs.sqlite_storage
    class: KeptSqliteStorage
    config:
      base_dir:
        env: DAGSTER_HOME
"""
PACKAGED = (ROOT / "dagster.yaml").read_text()
#: Where earlier versions kept their records.
DATABASES = {"history/runs.db", "history/runs/index.db", "schedules/schedules.db"}


@dg.asset(check_specs=[dg.AssetCheckSpec("sound", asset="thing")])
def thing() -> Iterator[dg.MaterializeResult[None]]:
    """Something to record."""
    yield dg.MaterializeResult(
        metadata={"number": 7}, check_results=[dg.AssetCheckResult(check_name="sound", passed=True)]
    )


def prepare(home: Path, text: str) -> tuple[str, list[str]]:
    """Prepare a dagster.yaml of this content; return the new content and the warnings."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "dagster.yaml").write_bytes(text.encode())
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        prepare_dagster_yaml(home)
    assert {warning.category for warning in shown} <= {UserFileWarning}
    return (home / "dagster.yaml").read_bytes().decode(), [str(warning.message) for warning in shown]


def write_old_home(home: Path) -> str:
    """Make a home of an earlier version with one run; return the run's id."""
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(PACKAGED)
    with environment(DAGSTER_HOME=str(home)), dg.DagsterInstance.get() as instance:
        run_id = dg.materialize([thing], instance=instance).run_id
    # The class that is gone kept these files, by Dagster's own statements.
    assert {file.relative_to(home).as_posix() for file in home.rglob("*.db")} == {
        *DATABASES,
        f"history/runs/{run_id}.db",
    }
    (home / "dagster.yaml").write_text(PACKAGED + SECTION)
    return run_id


def test_new_instance_gets_the_packaged_settings(tmp_path: Path) -> None:
    prepare_dagster_yaml(tmp_path)
    assert (tmp_path / "dagster.yaml").read_text() == PACKAGED


def test_old_storage_is_removed_and_the_rest_stays(tmp_path: Path) -> None:
    text, told = prepare(tmp_path, PACKAGED + SECTION)
    assert text == PACKAGED
    assert told == [
        f"{tmp_path / 'dagster.yaml'}: removed the section storage, whose class KeptSqliteStorage is gone; Dagster's "
        "default storage has the same records"
    ]
    assert prepare(tmp_path, text) == (text, [])


def test_settings_and_comments_of_the_user_stay(tmp_path: Path) -> None:
    mine = "# mine: storage\nrun_retries:\n  enabled: false  # as I like it\n"
    more = "\n# more\nsensors:\n  use_threads: true\n"
    commented = SECTION.replace("  custom:\n", "  custom:  # why\n\n# and this\n").replace("HOME\n", "HOME   # here\n")
    text, told = prepare(tmp_path, mine + commented + more)
    assert text == mine + "# why\n\n# and this\n# here\n" + more
    assert len(told) == 1


@pytest.mark.parametrize("text", [SECTION.lstrip(), SECTION.rstrip(), SECTION.replace("\n", "\r\n")])
def test_file_of_only_the_old_storage_is_brought_over(tmp_path: Path, text: str) -> None:
    new, told = prepare(tmp_path / "dagster", text)
    assert [line for line in new.splitlines() if not line.startswith("#")] in ([], [""])
    assert len(told) == 1
    with environment(DAGSTER_HOME=None), open_instance(Settings(data_dir=tmp_path)) as instance:
        assert instance.get_runs_count() == 0


@pytest.mark.parametrize(
    "change",
    [
        ("env: DAGSTER_HOME", "env: RECORDS"),
        ("\n        env: DAGSTER_HOME", " /srv/records"),
        ("KeptSqliteStorage", "MyStorage"),
        ("env: DAGSTER_HOME\n", "env: DAGSTER_HOME\n      more: 1\n"),
        ("storage:\n", "event_log_storage:\n"),
        (SECTION, "storage: {custom: {module: quant_assets.defs.sqlite_storage, class: KeptSqliteStorage}}\n"),
        (SECTION, SECTION + SECTION),
    ],
)
def test_changed_section_is_not_touched_and_the_message_helps(tmp_path: Path, change: tuple[str, str]) -> None:
    text = PACKAGED + SECTION.replace(*change)
    assert text != PACKAGED + SECTION
    with pytest.raises(SettingsError) as refused:
        prepare(tmp_path, text)
    assert str(refused.value) == (
        f"{tmp_path / 'dagster.yaml'} names KeptSqliteStorage, which is gone: remove its section storage if base_dir "
        "is DAGSTER_HOME, or else replace it by storage: {sqlite: {base_dir: FOLDER}} with the folder that it names"
    )
    assert (tmp_path / "dagster.yaml").read_text() == text


@pytest.mark.parametrize(
    "content",
    [
        b"storage:\n  sqlite:\n    base_dir: /srv/records\n",
        b"# was quant_assets.defs.sqlite_storage\nnux:\n  enabled: false\n",
        b"\xff quant_assets.defs.sqlite_storage",
        b"",
    ],
)
def test_other_files_are_not_touched(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dagster.yaml").write_bytes(content)
    prepare_dagster_yaml(tmp_path)
    assert (tmp_path / "dagster.yaml").read_bytes() == content


def test_permissions_and_a_symbolic_link_stay(tmp_path: Path) -> None:
    kept = tmp_path / "kept.yaml"
    kept.write_text(SECTION)
    kept.chmod(0o600)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").symlink_to(kept)
    with pytest.warns(UserFileWarning):
        prepare_dagster_yaml(tmp_path / "home")
    assert (tmp_path / "home" / "dagster.yaml").is_symlink()
    assert "custom" not in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_runs_recorded_by_the_old_storage_are_still_there(tmp_path: Path) -> None:
    run_id = write_old_home(tmp_path / "dagster")
    with environment(DAGSTER_HOME=None), pytest.warns(UserFileWarning):
        instance = open_instance(Settings(data_dir=tmp_path))
    with instance:
        assert [run.run_id for run in instance.get_runs()] == [run_id]
        found = instance.get_run_by_id(run_id)
        assert found is not None
        assert found.status is dg.DagsterRunStatus.SUCCESS
        latest = instance.get_latest_materialization_event(dg.AssetKey("thing"))
        assert latest is not None
        assert latest.run_id == run_id
        dg.materialize([thing], instance=instance)
        assert instance.get_runs_count() == 2


@pytest.mark.parametrize("command", ["scan", "resolve", "replay"])
def test_command_brings_an_old_instance_over_with_one_line(world: World, tmp_path: Path, command: str) -> None:
    name = f"old_{command}"
    home = world.folder / name / "dagster"
    run_id = write_old_home(home)
    if command == "replay":
        home.rename(tmp_path / "kept")
        world.scanned(name)  # it needs a symbol map
        (home / "dagster.yaml").write_text(PACKAGED + SECTION)
    window = world.window.start.isoformat()
    arguments = {
        "scan": ["scan", str(world.candles), "--json"],
        "resolve": ["resolve", "BTCUSDT", "BINANCE"],
        "replay": ["replay", "--from", window, "--to", window, "--json"],
    }[command]
    done = run(*arguments, env=world.environment(name), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (told,) = (line for line in done.stderr.splitlines() if "KeptSqliteStorage" in line)
    assert told.startswith(f"{home / 'dagster.yaml'}: removed the section storage")
    assert (home / "dagster.yaml").read_text() == PACKAGED
    with environment(DAGSTER_HOME=str(home)), dg.DagsterInstance.get() as instance:
        assert command == "replay" or instance.get_run_by_id(run_id) is not None


def test_command_with_a_changed_section_exits_2(world: World, tmp_path: Path) -> None:
    home = world.folder / "old_changed" / "dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(PACKAGED + SECTION.replace("env: DAGSTER_HOME", "env: RECORDS"))
    done = run("scan", str(world.candles), env=world.environment("old_changed"), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{home / 'dagster.yaml'} names KeptSqliteStorage, which is gone: ")
    assert not (home.parent / "master_feed.json").exists()


@pytest.mark.parametrize(("home", "code"), [("old", 0), ("new", 0), ("changed", 2)])
def test_make_ui_prepares_the_instance_before_dagster_starts(tmp_path: Path, home: str, code: int) -> None:
    if home != "new":
        changed = SECTION.replace("base_dir", "folder") if home == "changed" else SECTION
        (tmp_path / "dagster.yaml").write_text(PACKAGED + changed)
    done = subprocess.run(
        [sys.executable, "-m", "quant_assets.cli.run_ui", "39179", "cat", str(tmp_path / "dagster.yaml")],
        env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == (home != "new")
    assert (PACKAGED in done.stdout) == (code == 0)

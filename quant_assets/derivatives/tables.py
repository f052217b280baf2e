"""The tables of the derivatives store, and their version."""

from __future__ import annotations

import sqlite3
from typing import Final

from quant_assets.derivatives.datasets import SPECS

VERSION: Final = 1


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables that are missing, and set the version."""
    for dataset, spec in SPECS.items():
        columns = ", ".join(f"{name} REAL NOT NULL" for name in spec.columns)
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {dataset} (symbol TEXT NOT NULL, t INTEGER NOT NULL, {columns},"
            " PRIMARY KEY (symbol, t)) WITHOUT ROWID"
        )
    connection.execute(
        "CREATE TABLE IF NOT EXISTS asked (dataset TEXT NOT NULL, symbol TEXT NOT NULL, start INTEGER NOT NULL,"
        " through INTEGER NOT NULL, PRIMARY KEY (dataset, symbol, start)) WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TABLE IF NOT EXISTS empty (dataset TEXT NOT NULL, symbol TEXT NOT NULL,"
        " last_ms INTEGER NOT NULL, previous_ms INTEGER, PRIMARY KEY (dataset, symbol)) WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TABLE IF NOT EXISTS seen (dataset TEXT NOT NULL, symbol TEXT NOT NULL,"
        " PRIMARY KEY (dataset, symbol)) WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TABLE IF NOT EXISTS claims (dataset TEXT NOT NULL, symbol TEXT NOT NULL, owner TEXT NOT NULL,"
        " until_ms INTEGER NOT NULL, PRIMARY KEY (dataset, symbol)) WITHOUT ROWID"
    )
    connection.execute("CREATE TABLE IF NOT EXISTS refreshes (window TEXT PRIMARY KEY, report TEXT NOT NULL)")
    connection.execute("CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    connection.execute(f"PRAGMA user_version = {VERSION}")

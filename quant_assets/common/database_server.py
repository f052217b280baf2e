"""The address of a PostgreSQL database, which never shows its password."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

#: Schemes that are accepted; all of them mean the driver psycopg2.
SCHEMES = frozenset({"postgresql", "postgresql+psycopg2"})
CHECK_SERVER = "check QUANT_DATABASE_URL, and that the server runs"
EXAMPLE = "postgresql://USER:PASSWORD@HOST/DATABASE"


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A database at `url`, and the part of it that is written alone: the name of a budget or lock, "" for the rest.

    As text it is scheme, host, port and database alone.
    """

    url: str = field(repr=False)
    part: str = ""

    def __str__(self) -> str:
        """Return the address without user and password."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"postgresql://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"

    def part_of(self, name: str) -> DatabaseServer:
        """Return a part of this database."""
        return replace(self, part=name)

    @property
    def password(self) -> str:
        """The password, "" without one."""
        return unquote(urlsplit(self.url).password or "")


def database_url_problem(url: str) -> str:
    """Return what is wrong with the address of a database, "" if nothing is. Does not show the address."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return f"is not an address like {EXAMPLE}"
    if parts.scheme not in SCHEMES or not parts.hostname or not parts.path.strip("/") or parts.fragment:
        return f"is not an address like {EXAMPLE}"
    return ""

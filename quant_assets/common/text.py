"""Text from outside made safe for documents, terminals and logs, and ages as text."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

_WORD: Final = re.compile(r"\S+")
#: A word that may be part of an address, and an address whose scheme and host can be told for sure.
_ADDRESS: Final = re.compile(r"[/?&@]")
_HOST: Final = re.compile(r"[^/?&@]*?(https?://[\w.-]+(?::\d+)?)[^@]*")
#: Shorter values of environment variables are words and numbers, and no keys.
MIN_SECRET_LENGTH: Final = 8


def is_utf8(name: str) -> bool:
    """Return whether a name from the file system is valid UTF-8, so that a document can hold it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def escape_control_chars(text: str) -> str:
    """Replace the characters of a text from outside that could control a terminal."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def describe_foreign_error(error: BaseException) -> str:
    """Return the type and the text of an error of another package's code, without what may be a key."""
    return f"{type(error).__name__}: {hide_secrets(str(error))}"


def hide_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Hide paths and queries of addresses in a text, and the values of environment variables."""
    text = _WORD.sub(_host_alone, text)
    values = {value.strip() for value in environment.values()}
    for value in sorted((value for value in values if len(value) >= MIN_SECRET_LENGTH), key=len, reverse=True):
        for form in (value, quote(value), quote(value, safe=""), repr(value)[1:-1]):
            text = text.replace(form, "…")
    return text


def _host_alone(word: re.Match[str]) -> str:
    if not _ADDRESS.search(word[0]):
        return word[0]
    host = _HOST.fullmatch(word[0])
    return f"{host[1]}/…" if host else "…"


def format_age(seconds: float) -> str:
    """Format an age, rounded down, such as 12 min, 3 h or 2 d."""
    if seconds < 2 * 3600:
        return f"{seconds // 60:.0f} min"
    return f"{seconds // 3600:.0f} h" if seconds < 2 * 86_400 else f"{seconds // 86_400:.0f} d"

"""Text that came from outside: whether a document can hold it, and how a terminal may show it."""

from __future__ import annotations


def is_utf8(name: str) -> bool:
    """Tell whether a name from the file system is UTF-8, so that a document can hold it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def escape_control_chars(text: str) -> str:
    """Keep a name that came from outside from moving the cursor, or worse."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)

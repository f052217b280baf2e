"""Text from outside made safe for documents and terminals, and ages as text."""

from __future__ import annotations


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


def format_age(seconds: float) -> str:
    """Format an age, rounded down, such as 12 min, 3 h or 2 d."""
    if seconds < 2 * 3600:
        return f"{seconds // 60:.0f} min"
    return f"{seconds // 3600:.0f} h" if seconds < 2 * 86_400 else f"{seconds // 86_400:.0f} d"

"""Checks of the addresses that a user sets: of exchanges, and of places for objects."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})
#: The name of a bucket, without the colon of a port.
_BUCKET: Final = re.compile(r"[a-zA-Z0-9][\w.-]*")


def exchange_address_problem(address: str) -> str:
    """Return what is wrong with an address that takes the place of an exchange's own, "" if nothing is."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return "has no address"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "has no address"
    if parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
        return "has an http address of another machine"
    return "has more than a host and a port" if parts.path.strip("/") or parts.query or parts.username else ""


def object_url_problem(url: str) -> str:
    """Return what is wrong with the URL of a place for objects, "" if nothing is."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in {"s3", "file"}:
        return "is not a URL that begins with s3:// or file://"
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        return (
            "has more than a bucket and a path; set credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the "
            "endpoint in AWS_ENDPOINT_URL and the region in AWS_REGION"
        )
    if parts.scheme == "s3":
        return "" if _BUCKET.fullmatch(parts.netloc) else "has no bucket like s3://bucket/prefix"
    return "" if not parts.netloc and len(parts.path) > 1 else "has no absolute path like file:///folder"

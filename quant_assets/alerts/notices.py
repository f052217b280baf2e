"""Telling somebody: a notice goes to the log, to a webhook, and to whoever has registered.

A way of one's own is a callable that takes a `Notice`, registered as an entry point of the group
`quant_assets.notifiers`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Final
from urllib.parse import urlsplit

import requests

from quant_assets.common.settings import LOOPBACK_HOSTS

GROUP: Final = "quant_assets.notifiers"
TIMEOUT_SECONDS: Final = 10.0
_LOG: Final = logging.getLogger("quant_assets.alerts.notices")


@dataclass(frozen=True, slots=True)
class Notice:
    """A line for the eye and a text for who reads on."""

    subject: str
    text: str


Way = Callable[[Notice], None]


class WebhookRefused(RuntimeError):
    """A webhook that cannot be used or does not take the notice; the message never shows its address."""


class Webhook:
    """Posts a notice as JSON with `text`, as Slack and Mattermost read it, and `content`, as Discord does.

    The address is a secret: whoever has it can post. Raises WebhookRefused for one that is not https (http on
    loopback alone), and where the notice is not taken.
    """

    def __init__(self, address: str) -> None:
        try:
            parts = urlsplit(address)
        except ValueError:  # which would show the address
            raise WebhookRefused("QUANT_WEBHOOK_URL is no https address") from None
        if not parts.hostname or (parts.scheme != "https" and parts.hostname not in LOOPBACK_HOSTS):
            raise WebhookRefused("QUANT_WEBHOOK_URL is no https address")
        self._address = address
        self._is_here = parts.hostname in LOOPBACK_HOSTS

    def __call__(self, notice: Notice) -> None:
        """Post a notice."""
        text = f"{notice.subject}\n{notice.text}"
        try:
            with requests.Session() as session:
                session.trust_env = not self._is_here  # no proxy gets what is meant for this machine alone
                answer = session.post(
                    self._address, json={"text": text, "content": text}, timeout=TIMEOUT_SECONDS, allow_redirects=False
                )
        except requests.RequestException as error:
            raise WebhookRefused(f"the webhook is out of reach ({type(error).__name__})") from None
        if not 200 <= answer.status_code < 300:
            raise WebhookRefused(f"the webhook answered {answer.status_code}")


def to_log(notice: Notice) -> None:
    """Write a notice to the log."""
    _LOG.warning("%s: %s", notice.subject, notice.text)


def registered_ways() -> list[Way]:
    """Return the ways that other packages have registered, in the order of their names."""
    return [entry.load() for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)]


def send(notice: Notice, ways: Sequence[Way]) -> list[str]:
    """Send a notice every way; returns what went wrong, a line for each way that failed."""
    problems = []
    for way in ways:
        try:
            way(notice)
        except Exception as error:  # noqa: BLE001 - a way may be foreign code, and must not cost the others
            problems.append(f"a notice could not be sent: {error}")
    return problems

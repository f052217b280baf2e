"""Notices, and the notifiers that deliver them: the log, a webhook, and those of other packages.

Another package adds a notifier, a callable that takes a `Notice`, as an entry point of the group
`quant_assets.notifiers`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from quant_assets.common.addresses import LOOPBACK_HOSTS
from quant_assets.common.plugins import load_plugin, plugins_of
from quant_assets.common.text import describe_foreign_error, hide_secrets

GROUP: Final = "quant_assets.notifiers"
TIMEOUT_SECONDS: Final = 10.0
_LOG: Final = logging.getLogger("quant_assets.alerts.notices")


@dataclass(frozen=True, slots=True)
class Notice:
    """A subject of one line, and a text with details."""

    subject: str
    text: str


Notifier = Callable[[Notice], None]


class WebhookError(RuntimeError):
    """The webhook has an invalid address or did not accept a notice; the message never shows the address."""


class Webhook:
    """Posts a notice as JSON, with the key `text` for Slack and Mattermost and `content` for Discord.

    The address is a secret, since everybody who knows it can post. Raises WebhookError if it is not https (http is
    accepted on loopback), or if the webhook does not accept the notice.
    """

    def __init__(self, address: str) -> None:
        try:
            parts = urlsplit(address)
        except ValueError:  # its message would show the address
            raise WebhookError("QUANT_WEBHOOK_URL is not an https address") from None
        if not parts.hostname or (parts.scheme != "https" and parts.hostname not in LOOPBACK_HOSTS):
            raise WebhookError("QUANT_WEBHOOK_URL is not an https address")
        self._address = address
        self._is_loopback = parts.hostname in LOOPBACK_HOSTS

    def __call__(self, notice: Notice) -> None:
        """Post a notice."""
        text = f"{notice.subject}\n{notice.text}"
        try:
            with requests.Session() as session:
                session.trust_env = not self._is_loopback  # no proxy for this machine itself
                response = session.post(
                    self._address, json={"text": text, "content": text}, timeout=TIMEOUT_SECONDS, allow_redirects=False
                )
        except requests.RequestException as error:
            raise WebhookError(f"the webhook cannot be reached ({type(error).__name__})") from None
        if not 200 <= response.status_code < 300:
            raise WebhookError(f"the webhook answered {response.status_code}")


def log_notice(notice: Notice) -> None:
    """Write a notice to the log."""
    _LOG.warning("%s: %s", notice.subject, notice.text)


def registered_notifiers() -> tuple[list[Notifier], list[str]]:
    """Return the notifiers of other packages, ordered by name, and a line for each that cannot be used."""
    notifiers, problems = [], []
    for source, load in plugins_of(GROUP):
        notifier, problem = load_plugin(load, _problem)
        if problem:
            problems.append(f"{source} {hide_secrets(problem)}")
        else:
            notifiers.append(notifier)
    return notifiers, problems


def _problem(notifier: Any) -> str:
    return "" if callable(notifier) else "is not a notifier: it cannot be called"


def send(notice: Notice, notifiers: Sequence[Notifier]) -> list[str]:
    """Send a notice to each notifier, and return a line for each that failed."""
    problems = []
    for notifier in notifiers:
        try:
            notifier(notice)
        except Exception as error:  # noqa: BLE001 - a notifier of another package must not stop the others
            problems.append(f"a notice could not be sent: {describe_foreign_error(error)}")
    return problems

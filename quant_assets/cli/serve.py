"""The command `serve`: the dashboard on a port, until interrupted."""

from __future__ import annotations

import os
import signal
from typing import Final

from quant_assets.cli.arguments import read_settings, refuse, say
from quant_assets.common.settings import LOOPBACK_HOSTS
from quant_assets.dashboard.server import create_app, is_loopback, listen, make_server

#: How whoever started the command would choose another port; the Makefile sets it.
ADVICE_VARIABLE: Final = "QUANT_PORT_ADVICE"
EVERYWHERE: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - to be told apart, not to be bound


def serve_dashboard(host: str, port: int) -> int:
    """Serve the dashboard over the feeds of the data folder until a signal, and return its number.

    Ends the program where the address cannot be used.
    """
    settings = read_settings(fetches=False)
    try:
        listener = listen(host, port)
    except OSError as error:
        other_port = f": {os.environ[ADVICE_VARIABLE]}" if os.environ.get(ADVICE_VARIABLE) else " with --port"
        refuse(f"port {port} on {host} cannot be used: {error.strerror}; choose another{other_port}")
    taken = listener.getsockname()[1]
    if warning := warning_of(host, taken):
        say(warning)
    demo = settings.data_dir / "demo"
    if not settings.feed_path.exists() and (demo / settings.feed_path.name).exists():
        say(f"there is no feed in {settings.data_dir}, but one of the demo: QUANT_DATA_DIR={demo} shows it")
    hosts = set() if host in EVERYWHERE else LOOPBACK_HOSTS | {host.lower()}
    server = make_server(create_app(settings, hosts=hosts))

    ended_by = 0

    def stop(number: int, _: object) -> None:
        nonlocal ended_by
        ended_by = number
        server.should_exit = True

    # Before anybody is told of the address: an interrupt that is raised while the server starts would leave its
    # threads behind. A service manager ends a program with SIGTERM, a person with SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    named = "127.0.0.1" if host in EVERYWHERE else host
    print(f"dashboard: http://{f'[{named}]' if ':' in named else named}:{taken}", flush=True)
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()
    return ended_by


def warning_of(host: str, port: int) -> str:
    """Return what to say of an address that others than this machine may reach, "" for one of loopback."""
    if is_loopback(host):
        return ""
    return f"whoever reaches {host}:{port} reads every signal: there is no password; put a proxy with one in front"

"""The command `quant-assets serve`."""

from __future__ import annotations

import os
import signal
from typing import Annotated, Final

import typer

from quant_assets.cli.environment import load_settings
from quant_assets.cli.errors import EXIT_INTERRUPTED, echo_err, usage_error
from quant_assets.common.addresses import LOOPBACK_HOSTS

#: Set by the Makefile: how to choose another port with make.
PORT_ADVICE_VARIABLE: Final = "QUANT_PORT_ADVICE"
ALL_INTERFACES: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, not bound


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 3000,
) -> None:
    """Serve the dashboard and its read-only API until interrupted."""
    try:
        ended_by = serve_dashboard(host, port)
    except KeyboardInterrupt:
        ended_by = signal.SIGINT
    echo_err("stopped")
    if ended_by == signal.SIGINT:
        raise typer.Exit(EXIT_INTERRUPTED)


def serve_dashboard(host: str, port: int) -> int:
    """Serve the dashboard of the data folder until a signal, and return its number; exit if the port is taken."""
    from quant_assets.dashboard.server import create_app, listen, make_server  # noqa: PLC0415
    from quant_assets.storage.database_clock import clock_of  # noqa: PLC0415

    settings = load_settings(fetches=False)
    try:
        listener = listen(host, port)
    except OSError as error:
        advice = os.environ.get(PORT_ADVICE_VARIABLE)
        other_port = f": {advice}" if advice else " with --port"
        usage_error(f"port {port} on {host} cannot be used: {error.strerror}; choose another{other_port}")
    bound_port = listener.getsockname()[1]
    if warning := exposure_warning(host, bound_port):
        echo_err(warning)
    demo = settings.data_dir / "demo"
    if settings.feed_url is None and not settings.feed_path.exists() and (demo / settings.feed_path.name).exists():
        echo_err(f"no feed in {settings.data_dir}; to see the feed of the demo, set QUANT_DATA_DIR={demo}")
    hosts = set() if host in ALL_INTERFACES else LOOPBACK_HOSTS | {host.lower()}
    server = make_server(create_app(settings, clock=clock_of(settings).now, hosts=hosts))

    ended_by = 0

    def stop(number: int, _: object) -> None:
        nonlocal ended_by
        ended_by = number
        server.should_exit = True

    # Before the address is printed: an interrupt raised while the server starts would leave its threads behind.
    # A service manager ends a program with SIGTERM, a person with SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    shown_host = "127.0.0.1" if host in ALL_INTERFACES else host
    print(f"dashboard: http://{f'[{shown_host}]' if ':' in shown_host else shown_host}:{bound_port}", flush=True)
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()
    return ended_by


def exposure_warning(host: str, port: int) -> str:
    """Return a warning for an address that other machines can reach, "" for loopback."""
    from quant_assets.dashboard.server import is_loopback  # noqa: PLC0415

    if is_loopback(host):
        return ""
    return f"anyone who reaches {host}:{port} can read all signals: there is no password; put a proxy with one in front"

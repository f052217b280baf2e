"""The entry of the command line, also for `python -m quant_assets`.

Importing the commands takes a moment. Until they handle Ctrl-C themselves, it ends the program with one line here.
"""

import os
import signal
from types import FrameType
from typing import NoReturn


def exit_interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    """End the process at once, with the exit code of an interrupt."""
    os.write(2, b"interrupted\n")
    os._exit(130)


def main() -> None:
    """Run the command line."""
    before = signal.signal(signal.SIGINT, exit_interrupted)
    from quant_assets.cli import main as run_command  # noqa: PLC0415

    signal.signal(signal.SIGINT, before)
    run_command()


if __name__ == "__main__":
    main()

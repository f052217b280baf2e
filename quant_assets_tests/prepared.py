"""Run commands with installed plugins in forks of one process, since plugins are read when Python starts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import orjson

from quant_assets_tests.forking import become_command


@dataclass(frozen=True)
class Prepared:
    """A process that has imported everything, and the pipes to it."""

    requests: IO[bytes]
    answers: IO[bytes]

    def run(self, *arguments: str, env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command in a fork; return its exit code, stdout and stderr, as `subprocess.run` does."""
        with TemporaryDirectory() as folder:
            paths = [Path(folder) / name for name in ("stdout", "stderr")]
            request = {
                "arguments": arguments,
                "env": dict(env),
                "cwd": str(cwd),
                "paths": [str(path) for path in paths],
            }
            self.requests.write(orjson.dumps(request, option=orjson.OPT_APPEND_NEWLINE))
            self.requests.flush()
            code = int(self.answers.readline())
            return subprocess.CompletedProcess(arguments, code, *(Path(path).read_text("utf-8") for path in paths))


@contextmanager
def prepared(env: Mapping[str, str], cwd: Path) -> Iterator[Prepared]:
    """Start the process with this environment, and end it after the block."""
    program = subprocess.Popen(
        [sys.executable, "-m", "quant_assets_tests.prepared"],
        env=env,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    with program:  # its input is closed at the end
        yield Prepared(program.stdin, program.stdout)


def main() -> None:
    """Fork for each request of stdin, and write the exit code of the command to stdout."""
    import quant_assets_tests.imported  # noqa: F401, PLC0415

    for line in sys.stdin.buffer:
        request = orjson.loads(line)
        if not (pid := os.fork()):
            stdout, stderr = map(Path, request["paths"])
            for path in (stdout, stderr):
                path.touch()
            become_command(request["arguments"], request["env"], Path(request["cwd"]), stdout, stderr)
            sys.exit()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()

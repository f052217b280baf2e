"""Machines on one machine: Linux namespaces with their own network, files, processes and host name.

A machine sees Debian's programs, Python and this project, all read-only, and one folder that is its own. It ends with
the process that made it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import CDLL, get_errno
from dataclasses import dataclass
from pathlib import Path

import pytest

from quant_assets_tests.defs.live import ROOT, wait_for

#: From the headers of Linux: setns(2) enters a network namespace.
CLONE_NEWNET = 0x40000000
PROGRAMS = ("ip", "unshare", "nsenter", "chroot", "mount")
#: Read-only on every machine, if they are there.
SYSTEM_FOLDERS = ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib64")
DEVICES = ("null", "zero", "full", "random", "urandom")
#: Reads until its input ends, which is when this process ends. Linux reaps its orphans, since it ignores SIGCHLD.
WAIT = "trap '' CHLD; exec {}"


@dataclass(frozen=True)
class Machine:
    """A running machine: the id of its first process here, and its address."""

    name: str
    pid: int
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """Return the command that runs another one on this machine."""
        namespaces = ("--net", "--mount", "--uts", "--pid", "--root")
        return ("nsenter", f"--target={self.pid}", *namespaces, f"--wdns={ROOT}", "--")

    def output(self, *command: str) -> str:
        """Run a command on this machine; return its output."""
        return _output(*self.prefix, *command)

    def listen(self, host: str, port: int) -> socket.socket:
        """Open a socket of this process on the machine's network."""
        opened: list[socket.socket | BaseException] = []

        def enter_and_open() -> None:
            try:
                with open(f"/proc/{self.pid}/ns/net") as namespace:
                    if CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
                        raise OSError(get_errno(), os.strerror(get_errno()))
                opened.append(socket.create_server((host, port), backlog=128))
            except OSError as error:
                opened.append(error)

        # Only this thread enters the namespace.
        thread = threading.Thread(target=enter_and_open)
        thread.start()
        thread.join()
        found = opened[0]
        if isinstance(found, BaseException):
            raise found
        return found


def require_namespaces() -> None:
    """Skip the test, and say why, where this process may not create namespaces."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"the cluster needs {', '.join(missing)} (Debian: iproute2, util-linux)")
    if os.geteuid() != 0:
        pytest.skip("the cluster needs root, which may create namespaces")
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"namespaces cannot be created here: {tried.stderr.strip()}")


@contextmanager
def machines(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Machine]]:
    """Run machines on one network, which this process reaches too. Each has the folder of its name below `folder`."""
    network = f"198.18.{os.getpid() % 256}"  # for tests of networks (RFC 2544)
    with _holder("unshare", "--net", "cat") as switch:
        inside = ("nsenter", f"--target={switch}", "--net", "ip", "link")
        _output(*inside, "add", "switch", "type", "bridge")
        _output(*inside, "set", "switch", "up")
        _plug_in(switch, "here", f"quant{os.getpid()}", os.getpid(), f"{network}.1")
        with _running(folder, list(names), network, switch) as found:
            yield found


@contextmanager
def _running(folder: Path, names: list[str], network: str, switch: int) -> Iterator[dict[str, Machine]]:
    if not names:
        yield {}
        return
    name, address = names[-1], f"{network}.{len(names) + 1}"
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    namespaces = ("--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--propagation", "private")
    with _holder("unshare", *namespaces, "sh", "-euc", _boot(name, own)) as unshare:
        first = int(wait_for(lambda: _children(unshare), 20, name))
        _plug_in(switch, name, "eth0", first, address)
        wait_for(lambda: _is_booted(first), 20, name)
        with _running(folder, names[:-1], network, switch) as others:
            yield {**others, name: Machine(name, first, address)}


@contextmanager
def _holder(*command: str) -> Iterator[int]:
    """Run a process that holds namespaces until its input ends; yield its id."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: Path(f"/proc/{process.pid}/ns/net").exists(), 20, "a namespace")
        wait_for(lambda: _network(process.pid) != _network(os.getpid()), 20, "a namespace")
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


def _boot(name: str, own: Path) -> str:
    """Return the shell script of a machine's first process: mount what it sees, and wait."""
    root = own.parent / f"{name}.root"
    root.mkdir()
    lines = [f"hostname {name}", f"mount -t tmpfs -o mode=755 root {shlex.quote(str(root))}", f"cd {root}"]
    readable = [Path(sys.base_prefix), Path(sys.prefix), ROOT]
    folders = [Path(path) for path in SYSTEM_FOLDERS]
    lines += [f"ln -s {path.readlink()} .{path}" for path in folders if path.is_symlink()]
    folders = [path for path in folders if path.is_dir() and not path.is_symlink()]
    for path in readable:
        if not any(path.is_relative_to(other) for other in folders):
            folders.append(path)
    for path in folders:
        lines += [f"mkdir -p .{path}", f"mount --bind {path} .{path}", f"mount -o remount,bind,ro {path} .{path}"]
    lines += [f"mkdir -p .{own} proc dev/shm tmp run var/tmp", f"mount --bind {own} .{own}", "chmod 1777 tmp dev/shm"]
    lines += [f"touch dev/{device}; mount --bind /dev/{device} dev/{device}" for device in DEVICES]
    lines += ["mount -t proc proc proc", WAIT.format("chroot . cat")]
    return "\n".join(lines)


def _plug_in(switch: int, name: str, interface: str, pid: int, address: str) -> None:
    """Connect the network of a process with the switch."""
    inside = ("nsenter", f"--target={switch}", "--net", "ip", "link")
    _output(*inside, "add", name, "type", "veth", "peer", "name", interface, "netns", str(pid))
    _output(*inside, "set", name, "master", "switch", "up")
    here = ("nsenter", f"--target={pid}", "--net", "ip")
    _output(*here, "link", "set", "lo", "up")
    _output(*here, "address", "add", f"{address}/24", "dev", interface)
    _output(*here, "link", "set", interface, "up")


def _children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()


def _network(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")


def _is_booted(pid: int) -> bool:
    return Path(f"/proc/{pid}/root").readlink() != Path("/") and Path(f"/proc/{pid}/comm").read_text().strip() == "cat"


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout

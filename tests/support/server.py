"""The program under test as a child process that is watched closely."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from . import tree
from .wait import until

READY = re.compile(
    r"ready: generation (?P<generation>\d+), (?P<workers>\d+) workers?, "
    r"(?P<domains>\d+) domains?(?: \((?P<stale>\d+) stale\))?(?: \((?P<refused>\d+) refused\))?, "
    r"listening on (?P<listeners>[^;\"]+)(?:; metrics on (?P<metrics>[^;\"]+))?"
    r"(?:; challenges on (?P<challenges>[^\"]+))?(?:\"})?$"
)
REFUSED = re.compile(r"reload refused")

# What a run in which nothing went wrong may say. Everything else is declared by the test.
ROUTINE = [
    READY,
    re.compile(r"^mta-sts-httpd: stopped$"),
]


def port_of(listener):
    """The port of an address in the log, or the path of a Unix socket."""
    if listener.startswith("unix:"):
        return listener[len("unix:") :]
    return int(listener.rpartition(":")[2])


def free_port():
    """A port that nobody has now, for TCP and UDP. It is none of those that the kernel gives to clients
    and to who names no port, so that only another caller of this function could take it meanwhile."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10000, max(first, 20000))
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            with contextlib.suppress(OSError):
                stream.bind(("127.0.0.1", port))
                datagram.bind(("127.0.0.1", port))
                return port


def parent_of(pid):
    """The parent and the state of a process; None when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None, None
    state, parent = stat.rpartition(")")[2].split()[:2]
    return int(parent), state


def name_of(pid):
    """The name of a process, as ps(1) shows it; "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children_of(pid):
    """The living children of a process."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            parent, state = parent_of(int(entry))
            if parent == pid and state != "Z":
                found.append(int(entry))
    return sorted(found)


def workers_of(pid):
    """Those of a supervisor's children that serve clients, or will in a moment."""
    return [child for child in children_of(pid) if name_of(child) == "mta-sts-worker"]


def alive(pid):
    parent, state = parent_of(pid)
    return parent is not None and state not in ("Z", "X")


@contextlib.contextmanager
def _looking_into():
    """The supervisor and its workers cannot be traced, so that only root may look into them."""
    try:
        yield
    except PermissionError as error:
        pytest.skip(f"only root may look into a process of the server: {error}")


def descriptors_of(pid):
    with _looking_into():
        return len(os.listdir(f"/proc/{pid}/fd"))


def memory_of(pid):
    """Proportional set size in KB: shared pages count in parts."""
    with _looking_into():
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    for line in lines:
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise LookupError("Pss")


def run(*arguments, **options):
    """Runs a command of the program to its end and returns the completed process, with bytes."""
    command = [str(tree.program()), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=120, check=False, **options)


def records_of(config, *domains):
    """What the operator would publish. Standard error may tell of other domains."""
    printed = run("dns", "-c", config, *domains)
    assert printed.returncode == 0, printed.stderr.decode()
    return printed.stdout.decode()


class Server:
    """A running `serve`. Use start() or `with Server.running(…)`. command: what else starts it."""

    def __init__(
        self, config, *, arguments=(), prefix=(), environment=None, expect=(), command=None
    ):
        command = command or [*prefix, tree.program(), "serve", "-c", config, *arguments]
        self.lines = []
        self._expected = [re.compile(pattern) for pattern in expect]
        self._condition = threading.Condition()
        self._ended = False
        self.stopped = False
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment,
        )
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    @contextlib.contextmanager
    def running(cls, config, *, seconds=30.0, **options):
        """Starts, waits until ready, and at the end stops with every check of stop()."""
        server = cls(config, **options)
        try:
            server.wait_ready(1, seconds=seconds)
            yield server
            server.stop()
        finally:
            server.kill()

    def _read(self):
        for line in self.process.stderr:
            with self._condition:
                self.lines.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))
                self._condition.notify_all()
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    def log(self):
        return "\n".join(self.lines)

    def expect(self, *patterns):
        """Declares lines that this test provokes."""
        self._expected += [re.compile(pattern) for pattern in patterns]

    def unexpected(self):
        known = [*ROUTINE, *self._expected]
        return [line for line in self.lines if not any(p.search(line) for p in known)]

    def mark(self):
        """A place in the log, to search from there on."""
        return len(self.lines)

    def wait_line(self, pattern, *, since=0, seconds=10.0):
        """Waits for a line from the mark on and returns its match."""
        pattern = re.compile(pattern)
        end = time.monotonic() + seconds
        with self._condition:
            while True:
                for line in self.lines[since:]:
                    match = pattern.search(line)
                    if match:
                        return match
                left = end - time.monotonic()
                if self._ended or left <= 0:
                    why = "the program ended" if self._ended else f"{seconds:g} s went by"
                    raise AssertionError(f"{why} without /{pattern.pattern}/:\n{self.log()}")
                self._condition.wait(left)

    def wait_ready(self, generation, *, since=0, seconds=30.0):
        match = self.wait_line(READY, since=since, seconds=seconds)
        assert int(match["generation"]) == generation, match[0]
        self._note(match)
        return match

    def _note(self, match):
        self.generation = int(match["generation"])
        self.listeners = [part.strip() for part in match["listeners"].split(",")]
        self.ports = [port_of(part) for part in self.listeners]
        self.port = self.ports[0]
        self.metrics = match["metrics"] and port_of(match["metrics"])
        self.challenges = match["challenges"] and port_of(match["challenges"])

    def reload(self, *, settle=True, seconds=30.0):
        """SIGHUP, and waits for the outcome: True when the next generation is ready. settle: waits
        until the last one is gone too, which serves what it has accepted to its end."""
        since, old = self.mark(), set(self.workers())
        self.process.send_signal(signal.SIGHUP)
        match = self.wait_line(f"{READY.pattern}|{REFUSED.pattern}", since=since, seconds=seconds)
        if match["generation"] is None:
            return False
        assert int(match["generation"]) == self.generation + 1, match[0]
        self._note(match)
        if settle:
            until(lambda: not old & set(self.workers()), "the old generation to go", seconds)
        return True

    def workers(self):
        return workers_of(self.pid)

    def children(self):
        """The workers, and what else the supervisor has forked."""
        return children_of(self.pid)

    def watcher(self, but=None):
        """Waits for the watcher; not the one with this number."""
        def find():
            found = [pid for pid in self.children() if name_of(pid) == "mta-sts-watcher" and pid != but]
            return found[0] if len(found) == 1 else None
        return until(find, "the watcher", 30)

    def wait_workers(self, count, seconds=20.0):
        """Waits until exactly so many workers live: the old generation is gone."""
        return until(
            lambda: len(self.workers()) == count and self.workers(), f"{count} workers", seconds
        )

    def send(self, number):
        self.process.send_signal(number)

    def wait_exit(self, seconds=20.0):
        """Waits for the end and returns the exit status; the log is then complete."""
        status = self.process.wait(seconds)
        self._reader.join(5)
        return status

    def stop(self, number=signal.SIGTERM, status=0):
        """Ends it politely: the right status, nobody left behind, nothing unexpected said."""
        self.stopped = True
        children = self.children()
        if self.process.poll() is None:
            self.process.send_signal(number)
        ended = self.wait_exit()
        assert ended == status, f"status {ended}:\n{self.log()}"
        left = [pid for pid in children if alive(pid)]
        assert not left, f"processes that outlived the supervisor: {left}"
        assert not self.unexpected(), "on standard error:\n" + "\n".join(self.unexpected())

    def kill(self):
        """Whatever happened, nothing of this server stays. Its session is its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join(5)
        self.process.stderr.close()

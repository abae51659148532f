"""A server under measurement: starts it, reads its CPU time and memory from /proc, ends it.

Each server has a session of its own, by which its processes are known. Nothing else is ever ended.
"""

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from support.wait import until

TICKS = os.sysconf("SC_CLK_TCK")
# From asking a server to end until it is killed.
PATIENCE = 10.0


def _stat(pid):
    """The fields of /proc/PID/stat from the state on; None when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _members(session):
    """The living processes of a session."""
    found = []
    for entry in os.listdir("/proc"):
        fields = _stat(entry) if entry.isdigit() else None
        if fields and int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(entry))
    return found


def _clock_of(pid):
    """CPU seconds of a process with all its threads, those that have ended too, to the nanosecond:
    this is the clock that clock_getcpuclockid(3) names."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _dead_children_of(pid):
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) / TICKS if fields else 0.0


def _memory_of(pid):
    """Proportional set size in bytes: shared pages count in parts. Nothing of who is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(re.search(r"^Pss: +(\d+) kB$", text, re.MULTILINE)[1]) * 1024


class Process:
    """A running server, ended by `with` or stop() whatever happens. cpu pins it to one."""

    def __init__(self, command, log, *, cpu=None, environment=None):
        pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
        self._log = Path(log)
        with open(log, "ab") as output:
            self.begin = time.monotonic()
            self._process = subprocess.Popen(
                [*pin, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        self.pid = self._process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def running(self):
        return self._process.poll() is None

    def last_words(self):
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "without a word"

    def cpu_by_process(self):
        """The CPU seconds that each of its processes has used so far, with its dead children."""
        return {pid: _clock_of(pid) + _dead_children_of(pid) for pid in _members(self.pid)}

    def cpu_seconds(self):
        return sum(self.cpu_by_process().values())

    def memory(self):
        """Proportional set size of all its processes, in bytes. Who is not root may not look into
        all of them: PermissionError."""
        return sum(map(_memory_of, _members(self.pid)))

    def send(self, number):
        self._process.send_signal(number)

    def stop(self):
        if self.running:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)
        for pid in _members(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        until(lambda: not _members(self.pid), "a killed server to be gone")

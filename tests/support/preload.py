"""Small libraries that are put in front of a program with LD_PRELOAD; see their first lines."""

import mmap
import os
import struct
import subprocess
from pathlib import Path

from .tree import instrumented


def _build(name, folder):
    source = Path(__file__).with_name(f"preload_{name}.c")
    library = Path(folder) / f"{name}.so"
    compiler = os.environ.get("CC", "cc").split()
    command = [*compiler, "-std=gnu17", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC"]
    command += ["-o", library, source, "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return library


def with_name(folder, name):
    """The environment of a TLS client that has to send this name and to find it here."""
    return {**os.environ, "LD_PRELOAD": str(_build("name", folder)), "TEST_NAME": name}


def _behind_sanitizer():
    """So that the address sanitizer does not mind a library that comes before it, nor a signal that a test sends."""
    if not instrumented():
        return {}
    options = os.environ.get("ASAN_OPTIONS", "")
    return {"ASAN_OPTIONS": f"{options}:verify_asan_link_order=0:handle_segv=0".lstrip(":")}


def _before_the_server(name, folder):
    """The environment of the program under test with the library in front of it."""
    library = {"LD_PRELOAD": str(_build(name, folder))}
    return {**os.environ, **library, **_behind_sanitizer()}


def trespassing(folder, name):
    """The environment of a server whose workers do at the first client what they never may."""
    library = str(_build("trespass", folder))
    return {**os.environ, **_behind_sanitizer(), "LD_PRELOAD": library, "TEST_TRESPASS": name}


def forking(folder, count):
    """The environment of a program that may start so many processes, and then no more."""
    return {**_before_the_server("fork", folder), "TEST_FORKS": str(count)}


class Disk:
    """A disk that does not answer while hang() is in force, for a program in self.environment."""

    def __init__(self, folder):
        self._path = Path(folder) / "hang"
        self.environment = {**_before_the_server("hang", folder), "TEST_HANG": str(self._path)}

    def hang(self, *, at=""):
        """at: a file or folder of that name cannot even be opened."""
        self._path.with_suffix(".new").write_text(at)
        self._path.with_suffix(".new").rename(self._path)

    def answer(self):
        self._path.unlink(missing_ok=True)


class Clock:
    """The wall clock of a program that runs in self.environment."""

    def __init__(self, folder):
        self._path = Path(folder) / "clock"
        self._path.write_bytes(struct.pack("=q", 0))
        self.environment = {**_before_the_server("clock", folder), "TEST_CLOCK": str(self._path)}

    def jump(self, seconds):
        """From now on the clock differs by so many seconds from the true one."""
        with open(self._path, "r+b") as file:
            file.write(struct.pack("=q", seconds))


class Fault:
    """The nth allocation or system call of one process fails, or ends it; the program runs in
    self.environment."""

    KINDS = {"allocation": 1, "call": 2, "kill": 3}
    NEXT_PROCESS = -1  # and so on, downwards
    NEXT_PROCESS_BUT_ONE = -2
    _PAGE = struct.Struct("=5q")  # struct fault_page: pid, kind, countdown, fired, live

    def __init__(self, folder):
        path = Path(folder) / "fault"
        path.write_bytes(bytes(self._PAGE.size))
        self.environment = {**_before_the_server("fault", folder), "TEST_FAULT": str(path)}
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), self._PAGE.size)

    def arm(self, pid, kind, n):
        """For a process, or for the next one that begins or is forked. kind: one of KINDS, or None,
        which only counts allocations."""
        self.disarm()
        # The process must not be told before the rest is there.
        self._memory[8:] = self._PAGE.pack(0, self.KINDS.get(kind, 0), n, 0, 0)[8:]
        self._memory[:8] = struct.pack("=q", pid)

    def disarm(self):
        """Returns whether a call has failed since."""
        self._memory[:8] = bytes(8)
        return self._PAGE.unpack(self._memory[:])[3] > 0

    def live(self):
        """What the process had allocated and not freed at its last allocation."""
        return self._PAGE.unpack(self._memory[:])[4]

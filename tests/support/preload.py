"""Small libraries that are put in front of a program with LD_PRELOAD; see their first lines."""

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
    """So that the address sanitizer does not mind a library that comes before it."""
    if not instrumented():
        return {}
    options = os.environ.get("ASAN_OPTIONS", "")
    return {"ASAN_OPTIONS": f"{options}:verify_asan_link_order=0".lstrip(":")}


def trespassing(folder, name):
    """The environment of a server whose workers do at the first client what they never may."""
    library = str(_build("trespass", folder))
    return {**os.environ, **_behind_sanitizer(), "LD_PRELOAD": library, "TEST_TRESPASS": name}


class Clock:
    """The wall clock of a program that runs in self.environment."""

    def __init__(self, folder):
        self._path = Path(folder) / "clock"
        self._path.write_bytes(struct.pack("=q", 0))
        self.environment = {**os.environ, "TEST_CLOCK": str(self._path)}
        self.environment["LD_PRELOAD"] = str(_build("clock", folder))
        self.environment |= _behind_sanitizer()

    def jump(self, seconds):
        """From now on the clock differs by so many seconds from the true one."""
        with open(self._path, "r+b") as file:
            file.write(struct.pack("=q", seconds))

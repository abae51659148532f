"""System calls of a running process, listened to or made to fail, by strace."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from .wait import until

needed = pytest.mark.skipif(shutil.which("strace") is None, reason="strace (Debian) is not installed")


class Tracer:
    """with Tracer(pid, "trace=…", "inject=…") as tracer: … Afterwards tracer.lines has the calls."""

    def __init__(self, pid, *expressions):
        self._pid = pid
        self._process = None
        self._output = tempfile.NamedTemporaryFile()
        self._command = ["strace", "-qq", "-o", self._output.name, "-p", str(pid)]
        for expression in expressions:
            self._command += ["-e", expression]
        self.lines = []

    def _tracer(self):
        try:
            status = Path(f"/proc/{self._pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return 0  # It has ended.
        return int(re.search(r"^TracerPid:\s+(\d+)$", status, re.M)[1])

    def __enter__(self):
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        until(lambda: self._tracer() or self._process.poll() is not None, "strace to attach")
        if self._process.poll() is not None:
            pytest.skip(f"no tracing here: {self._process.stderr.read().decode().strip()}")
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.communicate(timeout=20)
        until(lambda: not self._tracer(), "strace to let go")
        self.lines = Path(self._output.name).read_text().splitlines()
        self._output.close()

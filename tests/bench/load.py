"""Drives the load generator (load.c) and understands what it prints."""

import json
import os
import subprocess
from pathlib import Path

from support.tree import ROOT

# More connections at a time than a server has cores, so that it never waits for this side.
THREADS = 4
GENERATOR = Path(os.environ.get("BUILD", ROOT / "build")) / "bench" / "load"


class Failed(Exception):
    """A server did not do what is to be measured; the text says why."""


def calibrate(times=20, *, cpu=None):
    """The CPU seconds of a fixed piece of work, some ten milliseconds: how slow the machine is now."""
    pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
    with _Generator([*pin, GENERATOR, "--calibrate", times]) as generator:
        return generator.next()["cpu_us"] / 1e6


class Load:
    """Fetches the hosts of a file, and expects the body of a file. cpu pins it to one."""

    def __init__(self, port, hosts, body, *, tls="1.3", group="X25519", cpu=None):
        pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
        self._command = [*pin, GENERATOR, "--address", f"127.0.0.1:{port}"]
        self._command += ["--hosts", hosts, "--body", body]
        self._command += ["--tls", tls, "--group", group]

    def _run(self, *options):
        return _Generator([*self._command, *options])

    def count(self, number, *, threads=THREADS):
        """So many fetches; all must succeed. Returns what the generator says of them."""
        with self._run("--count", number, "--threads", threads) as generator:
            said = generator.next()
        if said["failures"]:
            raise Failed(f"{said['failures']} of {number} fetches failed: {said['first_error']}")
        return said

    def waiting(self, seconds):
        """Fetches until the first success. It is at it when this returns."""
        return _Waiting(self._run("--wait", seconds))

    def steady(self, rate):
        """So many fetches a second, until end() returns what the generator says of them."""
        return self._run("--rate", rate, "--threads", THREADS)

    def hold(self, number, *, fetch=True):
        """Connections that stay open, with a fetch each or without, until end()."""
        generator = self._run("--hold" if fetch else "--greet", number)
        said = generator.next()
        if said["held"] < number:
            generator.end()
            raise Failed(f"holds {said['held']} of {number} connections: {said['first_error']}")
        return generator


class _Generator:
    """A running generator."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def next(self):
        """The next thing that it tells."""
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"the load generator: {self.process.communicate()[1].strip()}")
        return json.loads(line)

    def end(self):
        """Lets it come to its end and returns the last thing that it tells."""
        with self:
            self.process.stdin.close()
            self.process.stdin = None
            return self.next()


class _Waiting:
    def __init__(self, generator):
        self._generator = generator
        generator.next()

    def first(self, server):
        """The instant of the first success, of the monotonic clock."""
        with self._generator as generator:
            while True:
                try:
                    generator.process.wait(0.05)
                    break
                except subprocess.TimeoutExpired:
                    if not server.running:
                        raise Failed(f"it ended: {server.last_words()}") from None
            said = generator.next()
        if "at" not in said:
            raise Failed(said["first_error"])
        return said["at"]

"""Counts the instructions that processes execute, by perf: a figure that nothing else on the machine
touches. Many virtual machines have no counter for them, and many machines no perf."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile

EVENT = "instructions:u"


def _value(text):
    """What perf counted; None when it could not."""
    for line in text.splitlines():
        first = line.partition(",")[0]
        with contextlib.suppress(ValueError):
            return float(first)
    return None


def possible(event=EVENT):
    """True when this machine counts the event."""
    if shutil.which("perf") is None:
        return False
    done = subprocess.run(
        ["perf", "stat", "-x,", "-e", event, "true"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return _value(done.stderr) is not None


class Counter:
    """`with Counter(pids) as counter: …` counts what they do meanwhile; then see counter.value, which
    is None when that did not work."""

    def __init__(self, pids, event=EVENT):
        self._pids, self._event = pids, event
        self.value = None

    def __enter__(self):
        # It tells when it has begun to count, over a pipe of its own.
        take, self._order = os.pipe()
        self._said, say = os.pipe()
        self._output = tempfile.TemporaryFile("w+")
        command = ["perf", "stat", "-x,", "-e", self._event, "-D", "-1"]
        command += ["--control", f"fd:{take},{say}", "-p", ",".join(map(str, self._pids))]
        self._perf = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._output,
            pass_fds=(take, say),
        )
        os.close(take)
        os.close(say)
        self._tell("enable")
        return self

    def _tell(self, word):
        # When perf has ended, nobody listens and nothing comes, which shows in the value.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._order, word.encode() + b"\n")
            os.read(self._said, 16)

    def __exit__(self, *_):
        self._tell("disable")
        self._perf.send_signal(signal.SIGINT)
        self._perf.wait()
        os.close(self._order)
        os.close(self._said)
        self._output.seek(0)
        self.value = _value(self._output.read())
        self._output.close()

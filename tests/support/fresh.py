"""A fresh client beside whatever a test does: how long each of its fetches took."""

import threading
import time

from . import client
from .tree import instrumented


class Fresh:
    """with Fresh(…) as fresh: fetches one policy after the other, each on a new connection."""

    def __init__(self, port, host, context, *, address="127.0.0.1", timeout=15.0):
        self._fetch = lambda: client.fetch(port, host, context, address=address, timeout=timeout)
        self._stop = threading.Event()
        self._enough = threading.Condition()
        self.times = []
        self.error = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            # The pause leaves the machine to the others; it is no wait for anything.
            while not self._stop.wait(0.02):
                begin = time.monotonic()
                assert self._fetch().status == 200
                with self._enough:
                    self.times.append(time.monotonic() - begin)
                    self._enough.notify_all()
        except Exception as error:
            with self._enough:
                self.error = error
                self._enough.notify_all()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self._stop.set()
        self._thread.join(60)
        if self.error and kind is None:
            raise self.error

    def wait_fetches(self, count, seconds=60.0):
        """Waits until it was answered so many more times."""
        with self._enough:
            count += len(self.times)
            done = self._enough.wait_for(lambda: self.error or len(self.times) >= count, seconds)
        if self.error:
            raise self.error
        assert done, f"{seconds:g} s went by, and it was answered {len(self.times)} times"

    @property
    def slowest(self):
        return max(self.times)

    def quantile(self, part):
        return sorted(self.times)[min(int(len(self.times) * part), len(self.times) - 1)]

    def assert_prompt(self):
        """The promise is a second. The very slowest may meet a machine that is busy with others, and
        with the sanitizers every handshake is several times as dear; then it is only bounded."""
        within, outermost = (5.0, 10.0) if instrumented() else (1.0, 5.0)
        assert self.quantile(0.99) < within, self.summary()
        assert self.slowest < outermost, self.summary()

    def summary(self):
        return (
            f"{len(self.times)} fetches: median {self.quantile(0.5) * 1000:.0f} ms, "
            f"p99 {self.quantile(0.99) * 1000:.0f} ms, slowest {self.slowest * 1000:.0f} ms"
        )

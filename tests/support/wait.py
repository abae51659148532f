"""Waiting for a condition, never for a time."""

import faulthandler
import time


def take_long():
    """What a fixture calls that builds what takes minutes, within limits of its own: the watch over a
    test that hangs (tests/run) is off until the next test."""
    faulthandler.cancel_dump_traceback_later()


def until(condition, what, seconds=10.0, every=0.01):
    """Calls condition until it returns something true, which is returned."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(every)

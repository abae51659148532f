"""Waiting for a condition, never for a time."""

import time


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

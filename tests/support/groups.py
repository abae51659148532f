"""Control groups."""

import contextlib
from pathlib import Path

import pytest

from .wait import until


@contextlib.contextmanager
def with_memory(name, size):
    """A control group with so many bytes of memory: yields the file that takes its processes; a skip
    where there is none to be had."""
    root = Path("/sys/fs/cgroup")
    old = not (root / "cgroup.controllers").exists()
    group = (root / "memory" if old else root) / name
    limit = group / ("memory.limit_in_bytes" if old else "memory.max")
    try:
        group.mkdir()
    except OSError as reason:
        pytest.skip(f"no control group to be had here: {reason}")
    try:
        try:
            limit.write_text(str(size))
        except OSError as reason:
            pytest.skip(f"no memory to be limited here: {reason}")
        yield group / "cgroup.procs"
    finally:
        until(lambda: _removed(group), "the control group to be empty")


def _removed(group):
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()

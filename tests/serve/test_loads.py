"""A load that crashes, hangs or eats memory costs nobody anything: fetches go on, a worker that dies is
replaced, the service manager hears that the server lives, the load is refused with its reason, and
the next good one is served.
"""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from support import client, groups, limits, preload, tracer, tree
from support.manager import Manager
from support.server import Server, alive, children_of, name_of
from support.setup import DEFAULT_POLICY, body_of
from support.wait import until

HOST = "mta-sts.example.com"
KILLED = r"worker \d+ (died|is replaced)"
REFUSED = r"reload refused: (the loader [^;]+); generation 1 is still served$"
CHANGED = r"files have changed: loading again$"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the loader of root is another user")


class Place:
    """A server whose loads wait, from hang() on, when they open one of its drop-in files."""

    def __init__(self, setup, tmp_path, trusted, **settings):
        self.setup, self.trusted = setup, trusted
        self.disk = preload.Disk(tmp_path)
        self.environment = self.disk.environment
        setup.certify("example.com")
        self.drop_in = setup.root / "domains.d" / "stuck.yaml"
        self.drop_in.parent.mkdir()
        self.drop_in.write_text("domains: {}\n")
        self.config = setup.write(["example.com"], include="domains.d/*.yaml", **settings)

    def hang(self):
        self.disk.hang(at=self.drop_in.name)

    def fetch(self, running):
        response = client.fetch(running.port, HOST, self.trusted, timeout=10)
        assert (response.status, response.body) == (200, body_of(DEFAULT_POLICY))

    def goes_on(self, running):
        """While a load is under way: fetches, and a worker that dies has a successor."""
        self.fetch(running)
        victim = running.wait_workers(2)[0]
        since = running.mark()
        os.kill(victim, signal.SIGKILL)
        running.wait_line(rf"worker {victim} is replaced", since=since)
        until(lambda: len(running.workers()) == 2, "its successor")
        self.fetch(running)

    def serves_the_next(self, running):
        self.disk.answer()
        assert running.reload()
        self.fetch(running)


@pytest.fixture
def place(setup, tmp_path, trusted):
    return Place(setup, tmp_path, trusted)


def loader_of(running):
    """The loader of the load that is under way; None when there is none."""
    found = [pid for pid in children_of(running.pid) if name_of(pid) == "mta-sts-loader"]
    return found[0] if found else None


def hang(running, place):
    """From now on; the loader before this may still be about to end."""
    until(lambda: not loader_of(running), "the loader before to be gone", 30)
    place.hang()


def begin_load(running, place):
    hang(running, place)
    running.send(signal.SIGHUP)
    return until(lambda: loader_of(running), "the loader")


def until_it_waits(pid):
    """It is confined by then, and asleep in the middle of its load."""
    until(lambda: Path(f"/proc/{pid}/wchan").read_text().endswith("nanosleep")
          or "hrtimer" in Path(f"/proc/{pid}/wchan").read_text(), "the loader to wait")


DEATHS = {
    signal.SIGSEGV: "the loader died: Segmentation fault",
    signal.SIGABRT: "the loader died: Aborted",
    signal.SIGKILL: "the loader was killed, likely because memory is short",
}


@pytest.mark.parametrize("number", DEATHS, ids=[number.name for number in DEATHS])
def test_loader_that_dies(start, place, number):
    running = start(place.config, environment=place.environment, expect=[KILLED, REFUSED])
    loader = begin_load(running, place)
    place.goes_on(running)
    os.kill(loader, number)
    assert running.wait_line(REFUSED)[1] == DEATHS[number]
    assert not alive(loader)
    place.goes_on(running)
    place.serves_the_next(running)


def test_load_that_died_for_a_change_on_disk_is_tried_again(start, setup, tmp_path, trusted):
    place = Place(setup, tmp_path, trusted, watch=True)
    running = start(place.config, environment=place.environment, expect=[REFUSED, CHANGED, "fix:"])
    hang(running, place)
    place.drop_in.write_text(f"domains: {{example.org: {DEFAULT_POLICY}}}\n")
    os.kill(until(lambda: loader_of(running), "the loader", 20), signal.SIGKILL)
    running.wait_line(REFUSED)
    place.disk.answer()
    running.expect("certificate", "why:")
    running.wait_line("1 domain added .example.org.; ready: generation 2", seconds=30)


def test_renewal_passes_a_load_that_dies(start, setup, tmp_path, trusted):
    """A file that no loader survives holds up no certificate."""
    place = Place(setup, tmp_path, trusted)
    running = start(place.config, environment=place.environment, expect=[REFUSED])
    loader = begin_load(running, place)
    setup.certify("example.com")
    os.kill(loader, signal.SIGSEGV)
    running.wait_line("ready: generation 2")
    place.fetch(running)


def test_load_that_hangs(start, place, tmp_path):
    """For 30 seconds, in which the service manager hears of the server, and a signal is remembered."""
    manager = Manager(str(tmp_path / "notify"))
    environment = {**place.environment, **manager.environment(WATCHDOG_USEC="2000000")}
    environment["LD_PRELOAD"] = place.environment["LD_PRELOAD"]
    running = start(place.config, environment=environment, expect=[KILLED, REFUSED])
    loader = begin_load(running, place)
    begin = time.monotonic()
    place.goes_on(running)
    running.send(signal.SIGHUP)
    os.kill(loader, signal.SIGSTOP)
    signs = 0
    while loader_of(running) == loader and time.monotonic() - begin < 60:
        message = manager.next(but="nothing")
        signs += "WATCHDOG" in message
        assert "EXTEND_TIMEOUT_USEC" not in message
    assert running.wait_line(REFUSED)[1] == "the loader made no progress for 30 s"
    assert 28 <= time.monotonic() - begin < 60 and signs >= 25
    place.disk.answer()
    running.wait_line("ready: generation 2")
    place.fetch(running)
    manager.socket.close()


def test_stop_does_not_wait_for_a_load(start, place):
    running = start(place.config, environment=place.environment)
    loader = begin_load(running, place)
    begin = time.monotonic()
    running.stop()
    until(lambda: not alive(loader), "the loader to be gone")
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGSEGV], ids=["stop", "crash"])
def test_end_of_the_first_load(place, number):
    place.hang()
    running = Server(place.config, environment=place.environment)
    running.expect("the loader died: Segmentation fault$", "not started$")
    try:
        loader = until(lambda: loader_of(running), "the loader")
        if number == signal.SIGTERM:
            running.stop()
            assert "error" not in running.log()
        else:
            os.kill(loader, number)
            assert running.wait_exit() == 1
            assert running.log().splitlines()[-1].endswith("error: not started")
        until(lambda: not alive(loader), "the loader to be gone")
    finally:
        running.kill()


def memory_of(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmSize:\s+(\d+) kB$", status, re.M)[1]) * 1024


@as_root
@pytest.mark.skipif(tree.instrumented(), reason="the address sanitizer ends when memory does")
def test_load_that_finds_no_memory(start, place):
    """It says so and ends; the kernel would have ended it before any other process."""
    running = start(place.config, environment=place.environment, expect=[KILLED, REFUSED, "out of memory"])
    place.drop_in.write_text("domains: {}\n" + "# nothing\n" * 50000)
    loader = begin_load(running, place)
    until_it_waits(loader)
    assert Path(f"/proc/{loader}/oom_score_adj").read_text().strip() == "1000"
    limits.set_soft(loader, **{"as": memory_of(loader) + 65536})
    place.goes_on(running)
    place.disk.answer()
    assert running.wait_line(REFUSED)[1] == "the loader ran out of memory"
    place.serves_the_next(running)


@as_root
@tracer.needed
def test_load_that_cannot_fill_its_memory_file(start, place):
    """For another reason than memory, which is told."""
    said = "cannot write what is to be served to its memory file: No space left on device$"
    running = start(place.config, environment=place.environment, expect=[KILLED, "reload refused: ", said])
    loader = begin_load(running, place)
    until_it_waits(loader)
    with tracer.Tracer(loader, "trace=pwrite64", "inject=pwrite64:error=ENOSPC"):
        place.disk.answer()
        refusal = running.wait_line("reload refused: (.*)")[1]
    assert refusal == "generation 1 is still served"
    assert re.search(said, running.log(), re.M)
    assert "out of memory" not in running.log()
    place.serves_the_next(running)


@as_root
@pytest.mark.skipif(tree.instrumented(), reason="the sanitizers take memory of their own")
def test_load_that_eats_memory_in_a_control_group(start, setup, tmp_path, trusted):
    """As in a small container: the load that does not fit in is refused, and no process is killed."""
    place = Place(setup, tmp_path, trusted)
    with groups.with_memory(f"mta-sts-httpd-{os.getpid()}-load", 64 * 1024 * 1024) as processes:
        enter = ["sh", "-c", 'echo $$ >"$0"; exec "$@"', processes]
        running = start(place.config, prefix=enter, expect=[REFUSED, "out of memory", "fix:", "why:"])
        workers = running.workers()
        setup.write({f"d{i}.example": {**DEFAULT_POLICY, "mx": [f"mail.d{i}.example"]}
                     for i in range(100000)})
        assert not running.reload()
        assert running.wait_line(REFUSED)[1] == "the loader ran out of memory"
        assert running.workers() == workers
        place.fetch(running)
        setup.write(["example.com"])
        assert running.reload()
        place.fetch(running)
        running.stop()


# What the supervisor itself opens in its life: where it may write, and what the kernel tells.
ITS_OWN = re.compile(r'"(/proc/|/sys/fs/cgroup|/dev/null|/etc/ld\.so|/lib|/usr/lib)')


@tracer.needed
def test_supervisor_opens_no_file_to_read(start, setup):
    """Not at a load, a renewal, a refused load or a change that is noticed, nor for a challenge; it
    forks those that do."""
    for name in ("state", "domains.d", "alpn"):
        (setup.root / name).mkdir()
    setup.certify("example.com")
    running = start(setup.write(["example.com"], state="state", include="domains.d/*.yaml", watch=True,
                                metrics="127.0.0.3:0", acme={"alpn": "alpn"}),
                    expect=["reload refused", r"(fix|why|error): ", "have changed", "ready: generation"])
    calls = "trace=open,openat,openat2,readlink,readlinkat,getdents64,stat,newfstatat"
    with tracer.Tracer(running.pid, calls) as traced:
        assert running.reload()
        since = running.mark()
        setup.certify("example.com")
        running.wait_line("ready: generation 3", since=since, seconds=30)
        good = setup.config.read_text()
        setup.config.write_text("domains: [\n")
        running.wait_line("reload refused", since=since, seconds=30)
        setup.config.write_text(good)
        running.wait_line("ready: generation 4", since=since, seconds=30)
    opened = [line for line in traced.lines
              if re.match(r"\w+\(", line) and "AT_EMPTY_PATH" not in line and not ITS_OWN.search(line)]
    assert not opened, opened

"""What is served is recorded before anybody can fetch it, and is never forgotten or dated too early."""

import contextlib
import itertools
import json
import random
import signal
import threading
import time

import pytest

from support import client, history, monitor, preload, tree
from support.server import Server, run
from support.setup import DEFAULT_POLICY
from support.wait import until

NAME = "example.com"
HOST = f"mta-sts.{NAME}"
FINDINGS = r"warning: |^    (why|fix): "
FOREVER = "9999"


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Place:
    def __init__(self, setup):
        self.setup = setup
        self.state = setup.root / "state"
        self.file = self.state / "served-policies.txt"
        self.state.mkdir(mode=0o777)
        self.state.chmod(0o777)
        setup.certify(NAME, "example.net")

    def write(self, max_age="2w", names=(NAME,), metrics=None, watch=None, **more):
        policy = {**DEFAULT_POLICY, "max_age": max_age, **more}
        return self.setup.write(
            names, policies={"default": policy}, state="state", workers=1, metrics=metrics, watch=watch)

    def held(self, *names, at=None):
        """The policies of the domain by max_age: from, until, and how it is held."""
        when = () if at is None else ("--at", at)
        done = run("list", "--held", "--json", "-c", self.setup.config, *when, *(names or (NAME,)))
        (domain,) = json.loads(done.stdout)["domains"]
        return {one["max_age"]: (one["served_from"], one["served_until"], one["held"]["kind"]) for one in domain["policies"]}

    def ends(self):
        """By max_age until when the file says that it was served, or FOREVER; read without our reader."""
        policies, found = [], {}
        for line in self.file.read_text().splitlines():
            words = line.split()
            if words[0] == "policy":
                policies.append(int(words[2]))
            elif words[0] in ("served", "held"):
                found[policies[int(words[2])]] = FOREVER if words[0] == "served" else words[4]
        return found

    def open_ages(self):
        return {age for age, end in self.ends().items() if end == FOREVER}


@pytest.fixture
def place(setup):
    return Place(setup)


def test_what_is_served_is_recorded(place, start):
    server = start(place.write())
    first = place.held()
    assert list(first) == [1209600] and first[1209600][1:] == (None, "served")
    written = place.file.stat()
    assert server.reload()
    assert (place.file.stat().st_ino, place.file.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    place.write("3w")
    place.file.chmod(0o660)
    assert server.reload()
    until(lambda: place.open_ages() == {1814400}, "the former policy to be closed")
    assert place.file.stat().st_mode & 0o777 == 0o660
    both = place.held()
    assert both[1814400][1:] == (None, "served")
    assert both[1209600][0] == first[1209600][0] and both[1209600][2] == "unknown"
    assert both[1209600][1] >= both[1814400][0]


def test_restart_goes_on_with_the_record(place, start):
    start(place.write()).stop()
    first = place.held()
    server = start(place.write("3w"), expect=[FINDINGS])
    assert place.open_ages() == {1814400}
    assert place.held()[1209600][0] == first[1209600][0]
    server.stop()
    start(place.write(), expect=[FINDINGS])
    assert place.held()[1209600][:2] == (first[1209600][0], None)


def test_removed_domain_is_remembered_and_warned_of(place, start):
    server = start(place.write(names=(NAME, "example.net")), expect=[FINDINGS])
    place.write()
    assert server.reload()
    server.wait_line('domain "example.net" is gone, and senders may still hold its enforced policy')
    until(lambda: place.held("example.net")[1209600][1] is not None, "its policy to be closed")


def test_findings_are_in_the_log_of_a_reload(place, start, trusted):
    """An id that names other bytes keeps the last valid policy; an mx that senders refuse is a warning."""
    server = start(place.write(id="7"), expect=[FINDINGS, "error: ", r"\(1 stale\)"])
    before = client.fetch(server.port, HOST, trusted).body
    place.write("3w", id="7")
    assert server.reload()
    server.wait_line('id "7" of domain "example.com" has named another policy before')
    assert client.fetch(server.port, HOST, trusted).body == before
    place.write(mx=["other.example.com"])
    assert server.reload()
    server.wait_line("senders may refuse mail to other.example.com until .* at the earliest")
    assert b"other.example.com" in client.fetch(server.port, HOST, trusted).body


def test_metrics_count_the_domains_that_need_a_look(place, start):
    old = "testing 1209600 1 mail.example.com"
    history.write_served(place.state, "2024-01-01", (NAME, old, "2024-01-02", None), ("example.net", old, "2024-01-02", None))
    place.write(mode="testing", names=(NAME, "example.net"), metrics=monitor.ADDRESS)
    server = start(place.setup.config, expect=[FINDINGS])
    assert monitor.samples(server)["domains_tested_long"] == 2
    assert monitor.samples(server)["domains_held_against"] == 0
    place.write(metrics=monitor.ADDRESS)
    assert server.reload()
    assert monitor.samples(server)["domains_tested_long"] == 0
    place.write(mx=["other.example.com"], metrics=monitor.ADDRESS)
    assert server.reload()
    assert monitor.samples(server)["domains_held_against"] == 1


def test_folder_of_an_earlier_version_is_taken(place, start):
    start(place.write()).stop()
    place.file.unlink()
    assert (place.state / "last-valid-policies.yaml").exists()
    start(place.write())
    assert place.open_ages() == {1209600}


def test_file_that_cannot_be_read_is_not_replaced(place, start):
    start(place.write()).stop()
    place.file.rename(place.state / "elsewhere")
    place.file.symlink_to("elsewhere")
    server = start(place.write("3w"), expect=[FINDINGS])
    server.wait_line("served-policies.txt cannot be read: it is a link")
    assert place.file.is_symlink() and "1814400" not in place.file.read_text()


def test_damaged_file_begins_anew(place, start):
    start(place.write()).stop()
    place.file.write_bytes(place.file.read_bytes()[:-10])
    server = start(place.write(), expect=[FINDINGS])
    server.wait_line("served-policies.txt is damaged or of another program, and is ignored")
    assert place.open_ages() == {1209600}


LATE = "not saved yet: the disk of the state folder does not answer"


def test_disk_that_hangs_is_waited_for_and_then_served_without(place, start, trusted, tmp_path):
    disk = preload.Disk(tmp_path)
    disk.hang()
    begin = time.monotonic()
    server = start(place.write(), environment=disk.environment, expect=[LATE, "saved after all"])
    assert time.monotonic() - begin >= 2
    server.wait_line(LATE)
    assert client.fetch(server.port, HOST, trusted).status == 200 and not place.file.exists()
    disk.answer()
    until(lambda: place.file.exists() and place.open_ages() == {1209600}, "the promise to be on the disk")


def test_clock_that_jumps_shortens_nothing(place, start, tmp_path):
    clock = preload.Clock(tmp_path)
    server = start(place.write(), environment=clock.environment, expect=[FINDINGS, "error: .*expired"])
    clock.jump(-86400)
    place.write("3w")
    assert server.reload()
    until(lambda: place.open_ages() == {1814400}, "the former policy to be closed")
    back = place.held()
    assert back[1209600][1] >= back[1814400][0] >= back[1209600][0]
    clock.jump(366 * 86400)
    place.write("4w")
    assert server.reload()
    until(lambda: place.open_ages() == {2419200}, "the former policy to be closed")
    ahead = place.held()
    assert ahead[1209600][0] == back[1209600][0] and ahead[1209600][1] >= back[1209600][1]
    assert set(ahead) == {1209600, 1814400, 2419200}
    clock.jump(0)
    assert server.reload()
    assert place.held()[1814400][1] >= ahead[1814400][1]


class Sender(threading.Thread):
    """Fetches all the time, and looks at once whether what it has is recorded."""

    def __init__(self, place, port, trusted):
        super().__init__(daemon=True)
        self._place, self._port, self._trusted = place, port, trusted
        self.seen, self.forgotten, self.ended = {}, [], threading.Event()

    def run(self):
        while not self.ended.is_set():
            with contextlib.suppress(Exception):  # whatever the end of the server does to a client
                begin = now()
                body = client.fetch(self._port, HOST, self._trusted).body.decode()
                age = int(body.split("max_age: ")[1])
                self.seen[age] = begin
                if self._place.ends().get(age, "") < begin:
                    self.forgotten.append(age)


# In the order in which a reload forks them; between them is the worker, and there is no watcher.
PROCESSES = {"loader": -1, "promises": -2, "policies": -4, "promises afterwards": -5}


@pytest.mark.parametrize("process", PROCESSES)
def test_killed_child_forgets_no_promise(place, trusted, tmp_path, process):
    """The loader or a saver is killed in front of each call that it makes (SCAN=all), or of some: what
    a sender has is in the file until then, and a saver is replaced."""
    fault, ages, n = preload.Fault(tmp_path), itertools.count(86400 * 14, 60), 1
    server = Server(place.write(str(next(ages)), watch=False), environment=fault.environment, expect=[
        FINDINGS, "error: cannot (save|record)", "reload refused: the loader", "the process died: Killed"])

    def reload(age, *fault_at):
        """Whether it is not refused. If not, it has come to its end: all is saved, and nothing runs."""
        place.write(str(age), watch=False)
        since = server.mark()
        if fault_at:
            fault.arm(PROCESSES[process], "kill", *fault_at)
        server.send(signal.SIGHUP)
        done = server.wait_line(r"reload refused|ready: generation", since=since, seconds=60)
        if "refused" in done[0]:
            return False
        until(lambda: place.open_ages() == {age}, "the former policy to be closed", 60)
        until(lambda: age in sender.seen, "a fetch of the new policy", 60)
        until(lambda: len(server.children()) == 1, "the worker to be alone", 60)
        return True

    try:
        server.wait_ready(1)
        sender = Sender(place, server.port, trusted)
        sender.start()
        fired, killed = True, 0
        while fired:
            since = server.mark()
            loaded = reload(next(ages), n)
            fired = fault.disarm()
            assert loaded or fired
            if fired and process != "loader":
                server.wait_line("the process died: Killed; trying again", since=since)
            assert not fired or reload(next(ages))  # behind which no saver of the one before is left
            killed += fired
            n += 1 if tree.is_long() else max(2, n // 4)
        assert killed >= 5
        sender.ended.set()
        sender.join(60)
        server.stop()
        assert sender.forgotten == []
        ends = place.ends()
        assert all(ends[age] >= last for age, last in sender.seen.items())
    finally:
        server.kill()


@pytest.mark.parametrize("seed", range(3))
def test_kill_forgets_no_promise(place, trusted, seed):
    """The supervisor is killed at any moment of a reload: what a sender has is in the file until then."""
    chance, age = random.Random(seed), 86400 * 14
    for _ in range(4):
        server = Server(place.write(str(age)), expect=[FINDINGS])
        server.wait_ready(1)
        sender = Sender(place, server.port, trusted)
        sender.start()
        until(lambda: sender.seen, "a fetch")
        age += 60
        place.write(str(age))
        server.send(signal.SIGHUP)
        time.sleep(chance.random() * 0.3)  # which moment is met is left to chance
        server.kill()
        sender.ended.set()
        sender.join(60)
        assert sender.forgotten == []
        ends = place.ends()
        assert all(ends[age] >= last for age, last in sender.seen.items())

"""The state folder: a domain that is broken at a restart is served as it was before."""

import os
import signal
import time
from pathlib import Path

import pytest

from support import client, preload, tracer
from support.server import alive, name_of, run
from support.wait import until

CONFIG = """\
listen: "127.0.0.1:0"
certificates: certs
state: state
include: drop-in.yaml
policies:
  default: {mode: enforce, max_age: 2w, mx: [mail.example.com]}
domains:
  kept.example: {mode: testing, max_age: 3w, mx: mail.kept.example}
  other.example:
"""
DROP_IN = """\
domains:
  dropped.example: {mode: testing, max_age: 4w, mx: mail.dropped.example}
"""
NAMES = ["kept.example", "other.example", "dropped.example"]
UNSAVED = "cannot (save the last valid policies|record what is served)"
RECORD = "served-policies.txt"
SAID = r"error: |warning: |note: |^    (why|fix): "


class Place:
    def __init__(self, folder):
        self.folder = folder
        self.config = folder / "config.yaml"
        self.drop_in = folder / "drop-in.yaml"
        self.file = folder / "state" / "last-valid-policies.yaml"

    def break_all(self):
        self.config.write_text(CONFIG.replace("3w", "3 weeks").replace("enforce", "on"))
        self.drop_in.write_text("domains: [\n")

    def policies(self):
        return {name: run("policy", "-c", self.config, name).stdout for name in NAMES}


@pytest.fixture
def place(tmp_path, authority):
    place = Place(tmp_path)
    place.config.write_text(CONFIG)
    place.drop_in.write_text(DROP_IN)
    (tmp_path / "state").mkdir()
    authority.issue(*["mta-sts." + name for name in NAMES]).write(tmp_path / "certs")
    return place


def score_of(pid):
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def policy_recorded(place, max_age):
    return f" {max_age} " in (place.folder / "state" / RECORD).read_text()


def served(server, trusted):
    answers = {name: client.fetch(server.port, "mta-sts." + name, trusted) for name in NAMES}
    return {name: answer.body for name, answer in answers.items() if answer.status == 200}


def test_broken_domains_survive_a_restart(place, start, trusted):
    first = start(place.config)
    before = served(first, trusted)
    assert before == place.policies() and len(before) == 3
    first.stop()
    place.break_all()
    second = start(place.config, expect=[SAID, r"\(3 stale\)"])
    assert served(second, trusted) == before == place.policies()
    checked = run("check", "-c", place.config)
    assert b"3 domains served, 0 refused; 3 of them stale; " in checked.stdout
    listed = run("list", "-c", place.config).stdout.decode().splitlines()
    assert [line.split()[1] for line in listed[1:]] == ["stale"] * 3


def test_mended_domains_are_served_anew(place, start, trusted):
    start(place.config).stop()
    place.break_all()
    server = start(place.config, expect=[SAID])
    place.config.write_text(CONFIG.replace("3w", "5w"))
    place.drop_in.write_text(DROP_IN)
    assert server.reload()
    assert b"max_age: 3024000\r\n" in served(server, trusted)["kept.example"]
    assert b"max_age: 3024000" in run("policy", "-c", place.config, "kept.example").stdout


def test_removed_domain_does_not_come_back(place, start, trusted):
    start(place.config).stop()
    place.config.write_text(CONFIG.replace("  other.example:\n", ""))
    server = start(place.config, expect=[SAID])
    assert sorted(run("list", "-c", place.config).stdout.decode().split("\n")[1:3])[0].startswith(
        "dropped.example"
    )
    assert b"other.example" not in place.file.read_bytes()
    with pytest.raises(Exception, match="(?i)unrecognized.name"):
        client.fetch(server.port, "mta-sts.other.example", trusted)


@pytest.mark.parametrize("how", ["torn", "foreign", "empty", "changed", "other version"])
def test_file_that_cannot_be_trusted_is_ignored(place, start, trusted, how):
    start(place.config).stop()
    whole = place.file.read_bytes()
    spoiled = {
        "torn": whole[: len(whole) // 2],
        "foreign": b"domains: {}\n",
        "empty": b"",
        "changed": whole.replace(b"mail.kept.example", b"evil.kept.example"),
        "other version": whole.replace(b"policies:", b"things:"),
    }
    place.file.write_bytes(spoiled[how])
    place.break_all()
    place.drop_in.write_text(DROP_IN)
    server = start(place.config, expect=[SAID, r"\(2 refused\)"])
    server.wait_line(r"config.yaml:3:8: warning: .*last-valid-policies.yaml is damaged or of another program")
    assert list(served(server, trusted)) == ["dropped.example"]


def test_state_is_not_written_when_nothing_changed(place, start):
    server = start(place.config)
    written = place.file.stat()
    assert server.reload()
    server.stop()
    assert place.file.stat().st_mtime_ns == written.st_mtime_ns
    assert place.file.stat().st_ino == written.st_ino


def test_folder_that_cannot_be_written_stops_nothing(place, start, trusted):
    (place.folder / "state").rmdir()
    server = start(place.config, expect=[UNSAVED])
    server.wait_line("cannot save the last valid policies in .*: No such file or directory")
    assert len(served(server, trusted)) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_full_disk_stops_nothing_and_keeps_the_old_file(place, start, trusted):
    """A file system of three pages, which the second state does not fit into beside the first."""
    mount = f"mount -t tmpfs -o size=12k,mode=755 none {place.folder / 'state'} && exec \"$@\""
    prefix = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    server = start(place.config, prefix=prefix, expect=[UNSAVED, SAID])
    saved = Path(f"/proc/{server.pid}/root{place.file}")
    first = saved.read_bytes()
    assert b"mail.kept.example" in first
    mx = [f"mx{number}.a-rather-long-name-of-a-host.example" for number in range(150)]
    place.drop_in.write_text(DROP_IN.replace("mail.dropped.example", "[" + ", ".join(mx) + "]"))
    assert server.reload()
    server.wait_line("cannot save the last valid policies in .*: No space left on device")
    assert saved.read_bytes() == first
    assert sorted(path.name for path in saved.parent.iterdir()) == [saved.name, RECORD]
    assert mx[0].encode() in served(server, trusted)["dropped.example"]
    place.drop_in.write_text(DROP_IN.replace("4w", "5w"))
    assert server.reload()
    assert b"max_age: 3024000" in saved.read_bytes()


SECRET = b"a file that belongs to somebody else\n"


def lay_trap(path, kind, victim):
    """What the owner of the folder may have put there."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(victim)
    elif kind == "dangling link":
        path.symlink_to(victim.with_name("not-there"))
    elif kind == "hard link":
        os.link(victim, path)
    else:
        path.mkdir()


KINDS = ["pipe", "link", "dangling link", "hard link", "folder"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["last-valid-policies.yaml.new", "last-valid-policies.yaml"])
def test_trap_in_the_folder_catches_nobody(place, start, trusted, kind, name):
    """Neither the supervisor, which goes on and ends when it is told to, nor another's file."""
    victim = place.folder / "victim"
    victim.write_bytes(SECRET)
    trap = place.file.with_name(name)
    lay_trap(trap, kind, victim)
    server = start(place.config, expect=[UNSAVED, SAID])
    assert len(served(server, trusted)) == 3
    place.drop_in.write_text(DROP_IN.replace("4w", "5w"))
    assert server.reload()
    assert victim.read_bytes() == SECRET and victim.stat().st_nlink == 1
    assert sorted(path.name for path in place.folder.glob("not-there")) == []
    if kind == "folder":
        server.wait_line(f"{UNSAVED} in .*: Is a directory")
    else:
        assert b"max_age: 3024000" in place.file.read_bytes()
        assert place.file.is_file() and not place.file.is_symlink()
    server.stop()
    if kind != "folder":
        assert sorted(path.name for path in place.file.parent.iterdir()) == [place.file.name, RECORD]


def test_link_is_not_read(place, start):
    start(place.config).stop()
    place.file.rename(place.folder / "elsewhere")
    place.file.symlink_to(place.folder / "elsewhere")
    place.break_all()
    server = start(place.config, expect=[SAID, r"\(3 refused\)"])
    server.wait_line("warning: .*last-valid-policies.yaml cannot be read: it is a link")


@tracer.needed
def test_saver_that_cannot_be_forked_is_forked_later(place, start, trusted):
    """A new policy is recorded before it is served, also when there is no process for it at once."""
    server = start(place.config, expect=[r"cannot record what is served in .*; trying again$"])
    place.drop_in.write_text(DROP_IN.replace("4w", "5w"))
    since = server.mark()
    # The first one is the loader.
    forks = "clone,clone3,fork,vfork"
    with tracer.Tracer(server.pid, f"trace={forks}", f"inject={forks}:error=EAGAIN:when=2"):
        server.send(signal.SIGHUP)
        server.wait_line("cannot record what is served", since=since)
        until(lambda: policy_recorded(place, 3024000), "the new policy to be recorded")
        server.wait_ready(2, since=since)
    assert b"max_age: 3024000\r\n" in served(server, trusted)["dropped.example"]
    assert len(server.lines) == 3


LATE = "the last valid policies are not saved yet: the disk of the state folder does not answer"
SAVED = "the last valid policies are saved after all"


def test_disk_that_cannot_be_read_delays_the_start_once(place, start, trusted, tmp_path):
    """The time for reading and that for saving are the same two seconds."""
    start(place.config).stop()
    place.drop_in.write_text("domains: [\n")
    disk = preload.Disk(tmp_path)
    disk.hang(at=place.file.name)
    server = start(place.config, environment=disk.environment, expect=[LATE, SAVED, SAID])
    server.wait_line("last-valid-policies.yaml cannot be read: its disk does not answer")
    server.wait_line(LATE)
    for name in ("kept.example", "other.example"):
        assert client.fetch(server.port, "mta-sts." + name, trusted).status == 200
    disk.answer()
    server.wait_line(SAVED)


def test_disk_that_hangs_stops_nothing(place, start, trusted, tmp_path):
    """Not the start, not a reload, not the end; and when it answers, the newest policies are saved."""
    disk = preload.Disk(tmp_path)
    disk.hang()
    begin = time.monotonic()
    server = start(place.config, environment=disk.environment, expect=[LATE, SAVED])
    assert time.monotonic() - begin >= 2
    server.wait_line(LATE)
    assert len(served(server, trusted)) == 3 and not place.file.exists()
    # When memory is short, the kernel ends what can be done again before what clients wait for.
    scores = {name_of(pid): score_of(pid) for pid in server.children()}
    assert scores.pop("mta-sts-worker") == score_of(server.pid)
    assert "mta-sts-saver" in scores and set(scores.values()) == {1000}, scores
    place.drop_in.write_text(DROP_IN.replace("4w", "5w"))
    since = server.mark()
    server.send(signal.SIGHUP)
    server.wait_ready(2, since=since)
    assert b"max_age: 3024000\r\n" in served(server, trusted)["dropped.example"]
    disk.answer()
    server.wait_line(SAVED)
    until(lambda: b"max_age: 3024000" in place.file.read_bytes(), "the newest policies to be saved")


@pytest.mark.parametrize("moment", ["before it is ready", "later"])
def test_disk_that_hangs_does_not_hold_up_the_end(place, start, tmp_path, moment):
    disk = preload.Disk(tmp_path)
    server = start(place.config, environment=disk.environment, expect=[LATE, UNSAVED])
    disk.hang()
    place.drop_in.write_text(DROP_IN.replace("4w", "5w"))
    since = server.mark()
    server.send(signal.SIGHUP)
    if moment == "later":
        server.wait_ready(2, since=since)
    else:
        until(lambda: "mta-sts-saver" in map(name_of, server.children()), "somebody to save")
    children = server.children()
    server.stop()
    until(lambda: not any(alive(pid) for pid in children), "the child to be gone")
    assert client.refuses(server.port)
    assert b"max_age: 3024000" not in place.file.read_bytes()

"""How long a real sender holds a policy: Debian's postfix-mta-sts-resolver, which looks at the record before
each message, and once a day if it is told to, with libfaketime. It does what our tools have said of each
mistake before it did harm, and holds a policy until the date that `list --held` tells, but no longer."""

import datetime
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.play import NEW, OLD, playing
from support.wait import until

# Asks the resolver as Postfix does: a socketmap, netstrings (socketmap_table(5)).
ASK = """
import socket, sys
for port in sys.argv[1:]:
    with socket.create_connection(("127.0.0.1", int(port)), 30) as connection:
        connection.sendall(b"16:test example.com,")
        answer = b""
        while not answer.endswith(b","):
            answer += connection.recv(4096)
    print(answer.partition(b":")[2][:-1].decode())
"""
CONFIG = """
host: 127.0.0.1
port: {port}
cache: {{type: internal}}
default_zone: {{timeout: 4}}
proactive_policy_fetching: {{enabled: {proactive}, interval: 86400}}
"""
DAEMONS = {8461: "false", 8462: "true"}
SLEEPS = re.compile(r"^(\S+ \S+) DEBUG .*Sleeping for (\d+)s until next fetch", re.M)
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
WEEK = "1w"
MINUTE, HOUR = datetime.timedelta(minutes=1), datetime.timedelta(hours=1)
LATER = ["b.example.com", "c.example.com"]

pytestmark = pytest.mark.skipif(not FAKETIME, reason="libfaketime is not there: server/dependencies.sh install test brings it")


class Sender:
    """One that fetches proactively and one that does not, which are to agree."""

    def __init__(self, play):
        daemon = shutil.which("mta-sts-daemon")
        assert daemon, "mta-sts-daemon is not there: server/dependencies.sh install test brings it"
        self._play, self._folder, self._time = play, play.setup.root, play.setup.root / "faketime"
        self._set_time()
        environment = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(play.setup.authority.root_file), "TZ": "UTC"}
        environment |= {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME_TIMESTAMP_FILE": str(self._time), "FAKETIME_NO_CACHE": "1"}
        for port, proactive in DAEMONS.items():
            config = self._folder / f"{port}.yml"
            config.write_text(CONFIG.format(port=port, proactive=proactive))
            with open(config.with_suffix(".log"), "wb") as log:
                command = [*play.namespace.prefix, daemon, "-v", "debug", "-c", str(config)]
                process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=log)
            play.stack.callback(lambda process=process: (process.kill(), process.wait()))
        until(lambda: self._ask() is not None, "the resolvers to answer", 60)

    def _set_time(self):
        ahead = (self._play.now - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
        self._time.with_suffix(".new").write_text(f"{ahead:+.0f}\n")
        self._time.with_suffix(".new").rename(self._time)

    def _is_settled(self):
        """The daily fetch that was due has been."""
        when, seconds = SLEEPS.findall((self._folder / "8462.log").read_text())[-1]
        due = datetime.datetime.fromisoformat(f"{when}+00:00") + datetime.timedelta(seconds=int(seconds))
        return due + datetime.timedelta(seconds=1) >= self._play.now

    def _ask(self):
        command = [*self._play.namespace.prefix, sys.executable, "-c", ASK, *map(str, DAEMONS)]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        return done.stdout.decode().splitlines() if done.returncode == 0 else None

    def hosts(self):
        """The hosts that they would accept; None without a policy that they enforce."""
        self._set_time()
        until(self._is_settled, "the daily fetch", 60)
        one, other = map(self._hosts_of, self._ask())
        assert one == other
        return one

    @staticmethod
    def _hosts_of(answer):
        if answer.startswith("NOTFOUND"):
            return None
        assert answer.startswith("OK secure match="), answer
        return sorted(answer.split()[2].partition("=")[2].split(":"))


@pytest.fixture
def play(program, authority, tmp_path):
    del program
    with playing(tmp_path, authority) as play:
        play.at(-1)
        play.serve(mx=OLD, max_age=WEEK)
        play.publish()
        yield play


def begin(play, hosts=OLD):
    sender = Sender(play)
    assert sender.hosts() == hosts
    return sender


def pass_days(play, sender, first, last):
    """Mail goes out every fifth day. What the sender applies in the end."""
    for day in range(first, last + 1, 5):
        play.at(day, 12)
        hosts = sender.hosts()
    return hosts


def right_order(play):
    sender = begin(play)
    play.at(0, 9)
    play.serve(mx=NEW, max_age=WEEK)
    play.at(0, 9, 29)
    assert sender.hosts() == OLD
    play.at(0, 9, 30)
    return sender, OLD, NEW


def begin_with_the_old_id(play):
    """The policy changes and its id does not, which our commands report."""
    sender = begin(play)
    play.at(0, 9)
    play.serve(mx=NEW, max_age=WEEK)
    assert "record-id" in play.probe()
    assert play.alone("b.example.com")[0] == "renewed"
    return sender


def record_late(play):
    """Until it is changed, nothing begins to expire."""
    sender = begin_with_the_old_id(play)
    assert pass_days(play, sender, 5, 20) == OLD
    play.at(23, 9, 30)
    return sender, OLD, NEW


def record_first(play):
    """`dns --served` withholds it; whoever publishes it all the same is told by the probe. The old policy is
    held under the new id, until that changes, too."""
    sender = begin(play)
    play.at(0, 9)
    play.write(mx=NEW, max_age=WEEK)
    assert b"publish no TXT record" in play.run("dns", "--served", status=3).stdout
    printed = play.run("dns", status=0).stdout.decode()
    play.answer(printed + "example.com. IN MX 10 a.example.com.\n")
    assert "policy-differs" in play.probe()
    play.at(0, 9, 5)
    assert sender.hosts() == OLD
    play.serve(mx=NEW, max_age=WEEK)
    play.at(0, 9, 30)
    play.probe()
    assert play.alone("b.example.com")[0] == "renewed"
    assert pass_days(play, sender, 1, 31) == OLD
    play.at(32, 9)
    play.serve(mx=LATER, max_age=WEEK)
    play.at(32, 9, 30)
    return sender, OLD, LATER


def rollback(play):
    """A sender that fetched under the former id keeps what was served for an hour only. `check` tells it
    before, and which id heals it."""
    play.at(0, 9)
    play.serve(mx=NEW, max_age=WEEK)
    sender = begin(play, NEW)
    play.at(0, 10)
    play.write(mx=OLD, max_age=WEEK)
    found = json.loads(play.run("check", "--json").stdout)["diagnostics"]
    (hint,) = [one["hint"] for one in found if "again, and its id" in one["message"]]
    play.serve(mx=OLD, max_age=WEEK)
    assert pass_days(play, sender, 1, 31) == NEW
    name = hint.removeprefix('write id: "').removesuffix('"')
    text = play.setup.config.read_text()
    play.at(32, 9)
    play.setup.config.write_text(text.replace('"mode": "enforce"', f'"mode": "enforce", "id": "{name}"'))
    play.reload()
    play.at(32, 9, 30)
    return sender, NEW, OLD


@pytest.mark.parametrize("order", [right_order, record_late, record_first, rollback])
def test_policy_is_held_until_the_date_and_no_longer(play, order):
    """Nobody sees the record before its time to live has passed; and who then can neither look nor fetch any
    more, holds the policy until an hour before the date, which is for clocks that differ."""
    sender, held, new = order(play)
    zone = play.zone
    play.publish(new)
    changed = play.zone
    kind, instant = play.alone(new[0])
    date = datetime.datetime.fromisoformat(instant.replace("Z", "+00:00"))
    assert (kind, date) == ("date", play.now + 2 * HOUR + datetime.timedelta(days=7))
    play.answer(zone)
    play.jump(play.now + HOUR - MINUTE)
    assert sender.hosts() == held
    play.answer("nothing.example. IN A 127.0.0.1\n")
    play.jump(date - HOUR - 2 * MINUTE)
    assert sender.hosts() == held
    play.jump(date)
    assert sender.hosts() is None
    assert play.alone(new[0])[0] == "free"
    play.answer(changed)
    play.jump(date + 2 * MINUTE)
    assert sender.hosts() == new and play.probe() == set()


def test_id_that_is_never_changed_keeps_the_policy_for_good(play):
    sender = begin_with_the_old_id(play)
    assert pass_days(play, sender, 1, 31) == OLD


def test_record_without_a_server_keeps_the_policy_for_good(play):
    sender = begin(play)
    play.at(0, 9)
    play.stop()
    assert "refused" in play.probe()
    assert pass_days(play, sender, 1, 31) == OLD

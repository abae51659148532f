"""How long a real sender holds a policy: Debian's postfix-mta-sts-resolver, with a clock that jumps. What it
does with the mistakes that operators make, and that our tools have told of each before it did harm."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from support.play import NEW, OLD, playing
from support.wait import until

# Asks the resolver as Postfix does: a socketmap, netstrings (socketmap_table(5)).
ASK = """
import socket
with socket.create_connection(("127.0.0.1", 8461), 30) as connection:
    connection.sendall(b"16:test example.com,")
    answer = b""
    while not answer.endswith(b","):
        answer += connection.recv(4096)
print(answer.partition(b":")[2][:-1].decode())
"""
WEEK = "1w"


class Sender:
    def __init__(self, play):
        daemon = shutil.which("mta-sts-daemon")
        assert daemon, "mta-sts-daemon is not there: server/dependencies.sh install test brings it"
        config = play.setup.root / "resolver.yml"
        config.write_text("host: 127.0.0.1\nport: 8461\ncache: {type: internal}\ndefault_zone: {timeout: 4}\n")
        self._play = play
        environment = {**play.clock.environment, "PATH": os.environ["PATH"], "SSL_CERT_FILE": str(play.setup.authority.root_file)}
        self._process = subprocess.Popen(
            [*play.namespace.prefix, daemon, "-c", str(config)], env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        play.stack.callback(self._end)
        until(lambda: self._ask() is not None, "the resolver to answer", 60)

    def _end(self):
        self._process.kill()
        self._process.communicate()

    def _ask(self):
        done = subprocess.run([*self._play.namespace.prefix, sys.executable, "-c", ASK], capture_output=True, timeout=60, check=False)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def hosts(self):
        """The hosts that it would accept; None without a policy that it enforces."""
        answer = self._ask()
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


@pytest.fixture
def sender(play):
    sender = Sender(play)
    assert sender.hosts() == OLD
    return sender


def pass_days(play, sender, first, last):
    """Mail goes out every fifth day. What the sender applies in the end."""
    for day in range(first, last + 1, 5):
        play.at(day, 12)
        hosts = sender.hosts()
    return hosts


def test_policy_is_held_until_the_date_and_no_longer(play, sender):
    """The right order; but this sender can neither fetch nor look at the record any more. It has no cache of
    records, so it forgets the policy two hours before the date, which counts both."""
    play.at(0, 9)
    play.serve(mx=NEW, max_age=WEEK)
    play.at(0, 9, 29)
    assert sender.hosts() == OLD
    play.at(0, 9, 30)
    play.publish(NEW)
    assert play.alone("b.example.com") == ("date", play.day(7, 11, 30))
    play.answer("nothing.example. IN A 127.0.0.1\n")
    play.at(7, 9, 28)
    assert sender.hosts() == OLD
    play.at(7, 11, 30)
    assert sender.hosts() is None
    assert play.alone("b.example.com")[0] == "free"


def test_new_policy_is_applied_at_once_in_the_right_order(play, sender):
    play.at(0, 9)
    play.serve(mx=NEW, max_age=WEEK)
    play.at(0, 9, 30)
    play.publish(NEW)
    play.at(0, 9, 32)
    assert sender.hosts() == NEW


def test_id_that_is_never_changed_keeps_the_policy_for_good(play, sender):
    play.at(0, 9)
    play.serve(mx=NEW, max_age=WEEK)
    assert "record-id" in play.probe()
    assert play.alone("b.example.com")[0] == "renewed"
    assert pass_days(play, sender, 1, 31) == OLD


def test_record_without_a_server_keeps_the_policy_for_good(play, sender):
    play.at(0, 9)
    play.stop()
    assert "refused" in play.probe()
    assert pass_days(play, sender, 1, 31) == OLD


def test_record_before_the_policy_keeps_the_old_one_for_good(play, sender):
    """`dns --served` withholds it; whoever publishes it all the same is told by the probe."""
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


def test_policy_that_was_served_for_an_hour_is_kept_for_good(play):
    """For a sender that fetched it under the former id. `check` tells which id heals it, and it does."""
    play.at(0, 9)
    play.serve(mx=NEW, max_age=WEEK)
    sender = Sender(play)
    assert sender.hosts() == NEW
    play.at(0, 10)
    play.write(mx=OLD, max_age=WEEK)
    found = json.loads(play.run("check", "--json").stdout)["diagnostics"]
    (hint,) = [one["hint"] for one in found if "again, and its id" in one["message"]]
    play.serve(mx=OLD, max_age=WEEK)
    assert pass_days(play, sender, 1, 31) == NEW
    name = hint.removeprefix('write id: "').removesuffix('"')
    text = play.setup.config.read_text()
    play.setup.config.write_text(text.replace('"mode": "enforce"', f'"mode": "enforce", "id": "{name}"'))
    play.reload()
    play.at(32, 13)
    play.publish(OLD)
    play.at(32, 14)
    assert sender.hosts() == OLD

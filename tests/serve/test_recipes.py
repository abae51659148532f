"""The recipes of mta-sts-life(7), played with a clock that jumps: at each step the tools say what the page says."""

import contextlib
import datetime
import json
import os
import subprocess

import pytest

from support import nameserver, preload, tree
from support.namespace import entered
from support.server import Server
from support.setup import Setup
from support.wait import until

DAY = datetime.timedelta(days=1)
SAID = r"warning: |^    (why|fix): "
ADDRESS = "mta-sts.example.com. IN A 127.0.0.1\n"
OLD, BOTH, NEW = ["a.example.com"], ["a.example.com", "b.example.com"], ["b.example.com"]


class Play:
    """A server, a name server and the commands, all of which believe that it is self.now."""

    def __init__(self, folder, authority, namespace, stack):
        self._setup = Setup(folder, authority)
        self._setup.certify("example.com")
        (folder / "state").mkdir(mode=0o777)
        (folder / "state").chmod(0o777)
        self._namespace, self._stack, self._zone = namespace, stack, folder / "zone"
        self._clock, self._names, self._server = preload.Clock(folder), None, None
        self.first = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) + DAY

    def at(self, days, hour=0, minute=0):
        """From now on it is that time of the day, counted from the first one."""
        self.now = self.first + days * DAY + datetime.timedelta(hours=hour, minutes=minute)
        self._clock.jump(int((self.now - datetime.datetime.now(datetime.timezone.utc)).total_seconds()))

    def day(self, days, hour=0, minute=0):
        when = self.first + days * DAY + datetime.timedelta(hours=hour, minutes=minute)
        return when.strftime("%Y-%m-%dT%H:%M:%SZ")

    def write(self, mode="enforce", mx=OLD, max_age="2w"):  # noqa: B006
        domains = {} if mode is None else ["example.com"]
        policies = {"default": {"mode": mode or "enforce", "max_age": max_age, "mx": mx}}
        self._setup.write(
            domains, policies=policies, listen="127.0.0.1:443", workers=1, state="state", dns={"addresses": ["127.0.0.1"], "ttl": "1h"}
        )

    def serve(self, *policy, **more):
        self.write(*policy, **more)
        if self._server is not None:
            assert self._server.reload()
            served = self._setup.root / "state" / "served-policies.txt"
            until(lambda: served.read_text().count("\nserved ") == 1, "the former policy to be closed")
            return
        running = Server.running(
            self._setup.config, prefix=self._namespace.prefix, environment=self._clock.environment, expect=[SAID]
        )
        self._server = self._stack.enter_context(running)

    def run(self, *words, status=None):
        command = [*self._namespace.prefix, tree.program(), words[0], "-c", self._setup.config, *words[1:]]
        if words[0] != "policy":
            command += ["--at", self.now.strftime("%Y-%m-%dT%H:%M:%SZ")]
        environment = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": self._setup.authority.root_file}
        done = subprocess.run(list(map(str, command)), capture_output=True, timeout=60, check=False, env=environment)
        assert status is None or done.returncode == status, (done.stdout, done.stderr)
        return done

    def publish(self, hosts=("a.example.com",), *, record=True):
        """What `dns --served` prints, with the MX records; and a look at it."""
        if self._names is None:
            self.answer(ADDRESS)
        now, self.now = self.now, self.now - datetime.timedelta(seconds=30)
        printed = self.run("dns", "--served", "--record", status=0).stdout.decode() if record else ADDRESS
        self.now = now
        self.answer(printed + "".join(f"example.com. IN MX 10 {host}.\n" for host in hosts))
        return self.probe()

    def answer(self, zone):
        self._zone.write_text(zone)
        if self._names is not None:
            self._names.close()
        self._names = self._stack.enter_context(contextlib.ExitStack())
        self._names.enter_context(nameserver.running(self._namespace, self._zone))

    def probe(self):
        (report,) = json.loads(self.run("probe", "--json", "--record", "example.com").stdout)
        return {one["code"] for one in report["findings"] if one["level"] != "note"}

    def alone(self, host):
        """From when on the host may be the only MX: how sure it is, and the instant."""
        (domain,) = json.loads(self.run("list", "--held", "--json", "example.com").stdout)["domains"]
        (found,) = [one["alone"] for one in domain["mx"] if one["host"] == host]
        return found["kind"], found["not_before"]

    def free(self):
        (domain,) = json.loads(self.run("list", "--held", "--json", "example.com").stdout)["domains"]
        return domain["free"]["kind"], domain["free"]["not_before"]

    def findings(self, *policy, **more):
        """What `check` would say of another policy."""
        kept = self._setup.config.read_text()
        self.write(*policy, **more)
        found = json.loads(self.run("check", "--json").stdout)["diagnostics"]
        self._setup.config.write_text(kept)
        return [one["message"] for one in found]


@pytest.fixture
def play(program, authority, tmp_path):
    del program
    with entered(tmp_path) as namespace, contextlib.ExitStack() as stack:
        yield Play(tmp_path, authority, namespace, stack)


def test_first_publication(play):
    """The record waits for the server."""
    play.at(0, 9)
    play.write("testing")
    play.answer(ADDRESS)
    assert b"publish no TXT record" in play.run("dns", "--served", status=3).stdout
    play.serve("testing")
    assert b"_mta-sts.example.com.\t3600\tIN\tTXT" in play.run("dns", "--served", status=0).stdout
    assert play.publish() == set()
    assert play.free() == ("free", None)


def test_testing_to_enforce(play):
    """A month is long enough; and what was enforced once is held on after a step back."""
    play.at(0, 9)
    play.serve("testing")
    play.publish()
    play.at(29)
    assert play.findings("testing") == []
    play.at(31)
    (said,) = play.findings("testing")
    assert said.startswith('domain "example.com" is in testing since ')
    play.serve("enforce")
    assert play.publish() == set()
    play.at(31, 9)
    said = play.findings("testing")
    assert said[-1] == f'domain "example.com" is not enforced any more, but by senders until {play.day(45, 11)} at the earliest'


def test_move_of_the_mx(play):
    play.at(-1)
    play.serve(mx=OLD)
    play.publish()
    play.at(0, 9)
    play.serve(mx=BOTH)
    play.at(0, 9, 30)
    assert play.publish() == set()
    assert play.alone("b.example.com") == ("date", play.day(14, 11, 30))
    (said,) = play.findings(mx=NEW)
    assert said == f'domain "example.com": senders may refuse mail to b.example.com until {play.day(14, 11, 30)}'
    play.at(14, 11, 29)
    assert play.publish(NEW) == {"mx-held-all"}  # too early by a minute
    play.publish(OLD)
    play.at(14, 11, 31)
    assert play.alone("b.example.com") == ("free", None)
    assert play.findings(mx=NEW) == []
    assert play.publish(NEW) == set()
    play.at(20)
    play.serve(mx=NEW)
    assert play.publish(NEW) == set()


@pytest.mark.parametrize("days", [10, None])
def test_move_whose_record_is_forgotten(play, days):
    """Until the tenth day: ten days later; for good: never."""
    play.at(-1)
    play.serve(mx=OLD)
    play.publish()
    play.at(0, 9)
    play.serve(mx=BOTH)
    play.at(days or 20, 9, 29)
    assert play.probe() == {"record-id"}
    assert play.alone("b.example.com")[0] == "renewed"
    if days is not None:
        play.at(days, 9, 30)
        play.publish()
        assert play.alone("b.example.com") == ("date", play.day(24, 11, 30))


def test_shorter_max_age(play):
    """What was fetched before is held for its own max_age."""
    play.at(-1)
    play.serve(max_age="4w")
    play.publish()
    play.at(0, 9)
    play.serve(max_age="1w")
    play.at(0, 9, 30)
    assert play.publish() == set()
    assert play.alone("a.example.com") == ("free", None)
    play.at(8)
    play.serve(mx=BOTH, max_age="1w")
    play.at(8, 1)
    play.publish()
    assert play.alone("b.example.com") == ("date", play.day(28, 11, 30))


def test_removal(play):
    play.at(-1)
    play.serve()
    play.publish()
    play.at(0, 9)
    play.serve("none", max_age="1d")
    play.at(0, 9, 30)
    play.publish()
    assert play.free() == ("date", play.day(14, 11, 30))
    assert 'domain "example.com" is gone, and senders may still hold its enforced policy' in play.findings(None)
    play.at(14, 11, 31)
    assert play.free() == ("free", None)
    assert "record-missing" in play.publish(record=False)
    play.at(14, 13)
    assert [said for said in play.findings(None) if "gone" in said] == []

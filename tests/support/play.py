"""A server, a name server and the commands of a domain in a namespace, with a clock that jumps."""

import contextlib
import datetime
import json
import os
import subprocess

from . import nameserver, preload, tree
from .namespace import entered
from .server import Server
from .setup import Setup
from .wait import until

DAY = datetime.timedelta(days=1)
SAID = r"warning: |^    (why|fix): "
ADDRESS = "mta-sts.example.com. IN A 127.0.0.1\n"
OLD, BOTH, NEW = ["a.example.com"], ["a.example.com", "b.example.com"], ["b.example.com"]


class Play:
    """A server, a name server and the commands, all of which believe that it is self.now."""

    def __init__(self, folder, authority, namespace, stack):
        self.setup = Setup(folder, authority)
        self.setup.certify("example.com")
        (folder / "state").mkdir(mode=0o777)
        (folder / "state").chmod(0o777)
        self.namespace, self.stack, self._zone = namespace, stack, folder / "zone"
        self.clock, self._names, self._server = preload.Clock(folder), None, None
        self.first = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0) + DAY

    def at(self, days, hour=0, minute=0):
        """From now on it is that time of the day, counted from the first one."""
        self.jump(self.first + days * DAY + datetime.timedelta(hours=hour, minutes=minute))

    def jump(self, now):
        self.now = now
        self.clock.jump(int((self.now - datetime.datetime.now(datetime.timezone.utc)).total_seconds()))

    def day(self, days, hour=0, minute=0):
        when = self.first + days * DAY + datetime.timedelta(hours=hour, minutes=minute)
        return when.strftime("%Y-%m-%dT%H:%M:%SZ")

    def write(self, mode="enforce", mx=OLD, max_age="2w"):  # noqa: B006
        domains = {} if mode is None else ["example.com"]
        policies = {"default": {"mode": mode or "enforce", "max_age": max_age, "mx": mx}}
        self.setup.write(
            domains, policies=policies, listen="127.0.0.1:443", workers=1, state="state", dns={"addresses": ["127.0.0.1"], "ttl": "1h"}
        )

    def serve(self, *policy, **more):
        self.write(*policy, **more)
        if self._server is not None:
            self.reload()
            return
        running = Server.running(
            self.setup.config, prefix=self.namespace.prefix, environment=self.clock.environment, expect=[SAID]
        )
        self._server = self.stack.enter_context(running)

    def reload(self):
        served = self.setup.root / "state" / "served-policies.txt"
        assert self._server.reload()
        until(lambda: served.read_text().count("\nserved ") == 1, "the former policy to be closed")

    def run(self, *words, status=None):
        command = [*self.namespace.prefix, tree.program(), words[0], "-c", self.setup.config, *words[1:]]
        if words[0] != "policy":
            command += ["--at", self.now.strftime("%Y-%m-%dT%H:%M:%SZ")]
        environment = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": self.setup.authority.root_file}
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
        self.zone = zone
        self._zone.write_text(zone)
        if self._names is not None:
            self._names.close()
        self._names = self.stack.enter_context(contextlib.ExitStack())
        self._names.enter_context(nameserver.running(self.namespace, self._zone))

    def probe(self):
        (report,) = json.loads(self.run("probe", "--json", "--record", "example.com").stdout)
        return {one["code"] for one in report["findings"] if one["level"] != "note"}

    def alone(self, host):
        """From when on the host may be the only MX: how sure it is, and the instant."""
        (domain,) = json.loads(self.run("list", "--held", "--json", "example.com").stdout)["domains"]
        (found,) = [one["alone"] for one in domain["mx"] if one["host"] == host]
        return found["kind"], found["not_before"]

    def stop(self):
        """The server is taken away."""
        self._server.stop()
        self._server = None

    def free(self):
        (domain,) = json.loads(self.run("list", "--held", "--json", "example.com").stdout)["domains"]
        return domain["free"]["kind"], domain["free"]["not_before"]

    def findings(self, *policy, **more):
        """What `check` would say of another policy."""
        kept = self.setup.config.read_text()
        self.write(*policy, **more)
        found = json.loads(self.run("check", "--json").stdout)["diagnostics"]
        self.setup.config.write_text(kept)
        return [one["message"] for one in found]


@contextlib.contextmanager
def playing(folder, authority):
    with entered(folder) as namespace, contextlib.ExitStack() as stack:
        yield Play(folder, authority, namespace, stack)

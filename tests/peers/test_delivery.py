"""Real mail: Postfix with postfix-mta-sts-resolver delivers under our policies, and refuses to; and
chasquid's smtp-check, a sender's code in another language, judges the same domains.

All of it is in a namespace of its own: name server, our server on port 443, mail servers on port 25,
and a Postfix with a configuration and a queue of its own, which no other Postfix knows of.
"""

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from support import nameserver, server
from support.authority import Authority
from support.namespace import entered
from support.server import Server
from support.setup import Setup
from support.sink import Sink
from support.wait import until


@dataclasses.dataclass
class Case:
    """A domain, its policy, and the one mail server that its MX record names. certificate: good,
    foreign (of an authority nobody trusts), expired, wrong (for another name), none (no TLS)."""

    mx: str  # of the policy
    host: str  # of the MX record
    address: str
    certificate: str = "good"
    mode: str = "enforce"
    delivered: bool = False
    why: str = ""  # what Postfix says when it does not deliver


UNVERIFIED = "Server certificate not (verified|trusted)"
NO_TLS = "TLS is required, but was not offered"
EVIL, CLEAR = ("mail.evil.example", "127.0.0.12"), ("mail.clear.example", "127.0.0.13")
CASES = {
    "good.example": Case("mail.good.example", "mail.good.example", "127.0.0.14", delivered=True),
    "wild.example": Case("*.wild.example", "mx7.wild.example", "127.0.0.15", delivered=True),
    # The certificate is good for the host that DNS names, but the policy knows nothing of this host.
    "hijacked.example": Case("mail.hijacked.example", *EVIL, why=UNVERIFIED),
    "wildly.example": Case("*.wildly.example", *EVIL, why=UNVERIFIED),
    "foreign.example": Case(
        "mail.foreign.example", "mail.foreign.example", "127.0.0.16", "foreign", why=UNVERIFIED
    ),
    "expired.example": Case(
        "mail.expired.example", "mail.expired.example", "127.0.0.17", "expired", why=UNVERIFIED
    ),
    "wrong.example": Case(
        "mail.wrong.example", "mail.wrong.example", "127.0.0.18", "wrong", why=UNVERIFIED
    ),
    "clear.example": Case("mail.clear.example", *CLEAR, "none", why=NO_TLS),
    # Policies that do not enforce change nothing: what is refused above, is delivered.
    "testing.example": Case("mail.testing.example", *EVIL, mode="testing", delivered=True),
    "none.example": Case("mail.none.example", *CLEAR, "none", mode="none", delivered=True),
}

MAIN = """
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
maillog_file = {base}/log
maillog_file_prefixes = {base}
myhostname = sender.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
smtp_connect_timeout = 10s
smtp_tls_security_level = may
smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8461:postfix
smtp_tls_CAfile = {base}/root.pem
smtp_tls_loglevel = 1
"""
MASTER = """
pickup    unix  n - n 60    1 pickup
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 300   1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -     - proxymap
smtp      unix  - - n -     - smtp
error     unix  - - n -     - error
retry     unix  - - n -     - error
postlog   unix-dgram n - n - 1 postlogd
"""
RESOLVER = """
host: 127.0.0.1
port: 8461
cache: {type: internal, options: {cache_size: 100}}
default_zone: {timeout: 10, strict_testing: false}
"""


@dataclasses.dataclass
class World:
    namespace: object
    sink: object
    environment: dict


@pytest.fixture(scope="module")
def world(program, authority, tmp_path_factory):
    """Everything but the sender: names, policies and mail servers."""
    del program
    folder = tmp_path_factory.mktemp("world")
    setup = Setup(folder, authority)
    for domain in CASES:
        setup.certify(domain)
    policies = {
        domain: {"mode": case.mode, "max_age": "2w", "mx": [case.mx]}
        for domain, case in CASES.items()
    }
    config = setup.write(policies, listen="127.0.0.1:443", dns={"target": "www.example"})
    zone = folder / "zone"
    zone.write_text(zone_of(config))
    environment = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(authority.root_file)}
    with entered(tmp_path_factory.mktemp("namespace")) as namespace:
        with nameserver.running(namespace, zone):
            with Sink(namespace, folder, listeners(folder, authority)) as sink:
                with Server.running(config, prefix=namespace.prefix):
                    yield World(namespace, sink, environment)


def zone_of(config):
    lines = {f"{case.host}. IN A {case.address}" for case in CASES.values()}
    for domain, case in CASES.items():
        lines.add(f"{domain}. IN MX 10 {case.host}.")
        lines.add(f'{domain}. IN TXT "v=spf1 ip4:127.0.0.0/8 -all"')
    return server.records_of(config) + "\n".join(["www.example. IN A 127.0.0.1", *lines]) + "\n"


def listeners(folder, authority):
    """A mail server for each address."""
    (folder / "elsewhere").mkdir()
    elsewhere = Authority(folder / "elsewhere")
    found = {}
    for case in CASES.values():
        made = {
            "good": lambda name: authority.issue(name),
            "foreign": lambda name: elsewhere.issue(name),
            "expired": lambda name: authority.issue(name, begin=-20, end=-1),
            "wrong": lambda name: authority.issue("another.example"),
        }.get(case.certificate)
        found[case.address] = {"address": case.address, "port": 25}
        if made:
            at = made(case.host).write(folder / case.address)
            pair = {"certificate": str(at / "fullchain.pem"), "key": str(at / "privkey.pem")}
            found[case.address] |= pair
    return list(found.values())


@pytest.fixture(scope="module")
def postfix(world, authority):
    """A Postfix with its resolver. Its folder is not pytest's, which its user may not enter."""
    if os.geteuid() != 0:
        pytest.skip("Postfix runs for root only")
    if not shutil.which("postfix"):
        pytest.skip("there is no Postfix here, perhaps because there is another mail server")
    with tempfile.TemporaryDirectory(prefix="mta-sts-postfix-") as name:
        base = Path(name)
        base.chmod(0o755)
        prepare(base, authority)
        command = [*world.namespace.prefix, "mta-sts-daemon", "-c", str(base / "resolver.yml")]
        with running(command, base / "resolver.log", world.environment):
            until(lambda: "8461" in sockets(world.namespace), "mta-sts-daemon to listen")
            # Not by `postfix start-fg`, which leaves its daemon behind when it is ended. That one
            # ends its process group, which has to be its own.
            command = [*world.namespace.prefix, daemon(base), "-d", "-c", str(base)]
            with running(command, base / "start.log", {"PATH": os.environ["PATH"]}):
                until(lambda: "daemon started" in log_of(base), "Postfix to start", 20)
                yield base


class running:
    """A program in a session of its own, which ends as a whole."""

    def __init__(self, command, log, environment):
        self._options = {"env": environment, "stdin": subprocess.DEVNULL, "start_new_session": True}
        self._command, self._log = command, log

    def __enter__(self):
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=subprocess.STDOUT, **self._options
            )

    def __exit__(self, *_):
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def prepare(base, authority):
    (base / "main.cf").write_text(MAIN.format(base=base))
    (base / "master.cf").write_text(MASTER)
    (base / "resolver.yml").write_text(RESOLVER)
    shutil.copy(authority.root_file, base / "root.pem")
    for name in ("queue", "data"):
        (base / name).mkdir()
    shutil.chown(base / "data", "postfix")


def daemon(base):
    """Has the queue laid out, and returns the path of master(8)."""
    subprocess.run(["postfix", "-c", str(base), "check"], check=True, timeout=60)
    command = ["postconf", "-c", str(base), "-h", "daemon_directory"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return f"{done.stdout.decode().strip()}/master"


def sockets(namespace):
    command = [*namespace.prefix, "ss", "-Hltn", "sport = :8461"]
    return subprocess.run(command, capture_output=True, check=True, timeout=20).stdout.decode()


def log_of(base):
    """Postfix's log, or why there is none."""
    log = base / "log"
    return log.read_text() if log.exists() else (base / "start.log").read_text()


def send(world, base, recipient):
    """Hands a message over, as a program on the machine would, and waits for what is said of it."""
    command = ["sendmail", "-C", str(base), "-f", "user@sender.example", recipient]
    message = f"Subject: a test\nTo: {recipient}\n\nHello {recipient}\n".encode()
    subprocess.run([*world.namespace.prefix, *command], input=message, check=True, timeout=60)
    pattern = re.compile(rf"to=<{re.escape(recipient)}>, .*\bstatus=(\w+) \((.*)\)$", re.M)
    return until(lambda: pattern.search(log_of(base)), f"a word about {recipient}", 40, 0.1)


@pytest.mark.parametrize("domain", CASES)
def test_postfix_obeys_the_policy(world, postfix, domain):
    case, recipient = CASES[domain], f"someone@{domain}"
    said = send(world, postfix, recipient)
    came = [message for message in world.sink.messages if message["recipients"] == [recipient]]
    if not case.delivered:
        assert said[1] == "deferred" and re.search(case.why, said[2]), said[0]
        assert not came, "it came nevertheless"
        return
    assert said[1] == "sent", said[0]
    assert len(came) == 1 and f"Hello {recipient}" in came[0]["lines"]
    assert came[0]["tls"] == (None if case.certificate == "none" else "TLSv1.3")
    if case.mode == "enforce":
        established = f"Verified TLS connection established to {case.host}[{case.address}]"
        assert established in log_of(postfix)


@pytest.mark.skipif(not shutil.which("smtp-check"), reason="chasquid is not installed")
@pytest.mark.parametrize("domain", CASES)
def test_smtp_check_of_chasquid(world, domain):
    """It gets the policy, asks for the MX, and looks whether the policy allows it and at its TLS,
    which it wants to be good whatever the mode."""
    case = CASES[domain]
    done = subprocess.run(
        [*world.namespace.prefix, "smtp-check", domain],
        env=world.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    said = done.stderr.decode()
    policy = f"Version:STSv1 Mode:{case.mode} MXs:[{case.mx}] MaxAge:336h0m0s"
    assert policy in said and "=== MX: 10  " + case.host in said, said
    faults = set()
    if case.certificate != "good":
        faults.add("TLS")
    elif not case.delivered:
        faults.add("STS")
    assert set(re.findall(r": (\w+) failed", said)) == faults, said
    assert done.returncode == (1 if faults else 0), said

"""Real mail: Postfix with postfix-mta-sts-resolver delivers under our policies, and refuses to; and
chasquid's smtp-check, a sender's code in another language, judges the same domains.

All of it is in a namespace of its own: name server, our server on port 443, mail servers on port 25,
and a Postfix with a configuration and a queue of its own, which no other Postfix knows of.
"""

import dataclasses
import json
import os
import re
import shutil
import subprocess

import pytest

from support import nameserver, postfix, server, tree
from support.authority import Authority
from support.namespace import entered
from support.server import Server
from support.setup import Setup
from support.sink import Sink


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
smtp_connect_timeout = 10s
smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8461:postfix
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
    config: object
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
                    yield World(namespace, sink, config, environment)


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
def sender(world, authority):
    """A Postfix with its resolver."""
    with postfix.folder(authority) as base:
        (base / "resolver.yml").write_text(RESOLVER)
        with postfix.resolving(world.namespace, base / "resolver.yml", world.environment):
            with postfix.Postfix(world.namespace, base, MAIN) as sender:
                yield sender


@pytest.mark.parametrize("domain", CASES)
def test_postfix_obeys_the_policy(world, sender, domain):
    case, recipient = CASES[domain], f"someone@{domain}"
    said = sender.send(recipient)
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
        assert established in sender.log()


@pytest.mark.parametrize("domain", CASES)
def test_probe_says_what_postfix_does(world, domain):
    """Before a message is sent: an error where it would be refused, and nowhere else."""
    case = CASES[domain]
    done = subprocess.run(
        [*world.namespace.prefix, tree.program(), "probe", "--smtp", "--json", "-c", world.config, domain],
        env=world.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == (0 if case.delivered else 1), done.stdout
    reports = {report.get("mx"): report["state"] for report in json.loads(done.stdout)}
    good = case.certificate == "good"
    assert reports[case.host] == ("good" if good or case.mode == "none" else "warning" if case.delivered else "error")


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

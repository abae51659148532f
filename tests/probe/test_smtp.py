"""`probe --smtp` against mail servers that are wrong in every way, in a namespace of its own: what senders
would refuse is found, what only this machine cannot know is no verdict, and nothing is printed raw."""

import json
import os
import re
import subprocess
import time

import pytest

from support import history, mx, nameserver, preload, tree
from support.authority import PEM, Authority
from support.mx import GOOD, GREETING, OFFER, READY
from support.namespace import entered
from support.server import Server
from support.setup import Setup

# What is old is here on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")

UNKNOWN = "nothing is known about the certificate of this host"
ENFORCED = "senders that enforce the policy of the domain do not deliver to this host"
TESTED = "senders would not deliver to this host if the policy of the domain were enforced"
BEFORE_TLS = [GREETING, "<", OFFER, "<"]
EVIL = "\x1b[2J\0\r\x9b"
SHOWN = "\\x1b[2J\\x00\\x0d\\x9b"


def refused(code, message):
    return (code, "error", message)


def unknown(code, message):
    return (code, "warning", message)


# label: the script, the kind of certificate, and what is found.
CASES = {
    "good": (GOOD, "good", None),
    "wildcard": (GOOD, "wildcard", None),
    "lines": (["220-one\r\n220-two\r\n220 three\r\n", "<", "250-mx\n250-starttls \n250 HELP\n", "<", "220\r\n", "tls", "<"], "good", None),
    "keyword": ([GREETING, "<", "250-mx\r\n250-STARTTLS REQUIRED\r\n250 HELP\r\n", "<", READY, "tls", "<"], "good", None),
    "greets-421": (["421 4.3.2 later\r\n", "<"], "good", unknown("smtp-refused", 'the server refuses with its greeting: "421 4.3.2 later"')),
    "greets-554": (
        [f"554-no\r\n554 {EVIL}\r\n", "<"],
        "good",
        unknown("smtp-refused", f'the server refuses with its greeting: "554 {SHOWN}"'),
    ),
    "greets-nobody": ([], "good", unknown("smtp-refused", "the server closes the connection instead of its greeting")),
    "greets-never": (["wait"], "good", unknown("smtp-silent", "the server is too slow with its greeting")),
    "greets-slowly": (
        [["again", "220-x\r\n", 0.3]],
        "good",
        unknown("smtp-silent", 'the server is too slow with its greeting: "220-x'),
    ),
    "greets-endlessly": (
        [["again", "220-and so on\r\n" * 100, 0]],
        "good",
        refused("smtp-malformed", 'the server does not end its greeting: "220-and so on'),
    ),
    "endless-line": ([["again", EVIL[:-2] * 1000, 0]], "good", refused("smtp-malformed", f'the server does not end its greeting: "{SHOWN[:-8]}')),
    "ssh": (["SSH-2.0-OpenSSH_9.2\r\n", "wait"], "good", refused("smtp-malformed", 'there is no SMTP in the server\'s greeting: "SSH-2.0-OpenSSH_9.2"')),
    "nul": (["220\0hello\r\n", "wait"], "good", refused("smtp-malformed", 'there is no SMTP in the server\'s greeting: "220\\x00hello"')),
    "code": (["99 x\r\n", "wait"], "good", refused("smtp-malformed", 'there is no SMTP in the server\'s greeting: "99 x"')),
    "ahead": ([GREETING + OFFER, "wait"], "good", refused("smtp-ahead", 'the server sends more than its greeting: "250-mx.example')),
    "ehlo-550": ([GREETING, "<", "550 no\r\n", "<"], "good", unknown("smtp-refused", 'the server refuses with its reply to EHLO: "550 no"')),
    "ehlo-closed": ([GREETING, "<"], "good", unknown("smtp-refused", "the server closes the connection instead of its reply to EHLO")),
    "ehlo-502": (
        [GREETING, "<", "502 what?\r\n", "<"],
        "good",
        refused("starttls-missing", 'STARTTLS is not offered in the server\'s reply to EHLO: "502 what?"'),
    ),
    "clear": (
        [GREETING, "<", "250-mx\r\n250-XSTARTTLS\r\n250 STARTTLSX\r\n", "<"],
        "good",
        refused("starttls-missing", "STARTTLS is not offered in the server's reply to EHLO"),
    ),
    "tls-454": (
        [*BEFORE_TLS, "454 4.7.0 not now\r\n", "<"],
        "good",
        refused("starttls-refused", 'the server refuses with its reply to STARTTLS: "454 4.7.0 not now"'),
    ),
    "tls-closed": (BEFORE_TLS, "good", refused("starttls-refused", "the server closes the connection instead of its reply to STARTTLS")),
    "injected": (
        [*BEFORE_TLS, READY + "250 injected\r\n", "tls"],
        "good",
        refused("smtp-ahead", 'the server sends more than its reply to STARTTLS: "250 injected\\x0d\\x0a"'),
    ),
    "tls-never": ([*BEFORE_TLS, READY, "wait"], "good", unknown("tls-timeout", "the TLS handshake does not end within 2 s")),
    "tls-not": ([*BEFORE_TLS, READY, "<", "500 what?\r\n", "wait"], "good", refused("not-tls", "the port does not speak TLS")),
    "tls-1.2": (GOOD, "TLSv1_2", None),
    "tls-old": (GOOD, "TLSv1_1", refused("tls-old", "the server supports neither TLS 1.2 nor 1.3")),
    "expired": (GOOD, "expired", refused("certificate-expired", "the certificate expired on ")),
    "ends-soon": (GOOD, "ends-soon", unknown("certificate-ends-soon", "the certificate expires on ")),
    "other-name": (GOOD, "other-name", refused("certificate-name", "the certificate is for www.example.com, not for other-name.mx.example")),
    "self-signed": (GOOD, "self-signed", refused("certificate-self-signed", "the certificate is self-signed")),
    "incomplete": (GOOD, "incomplete", refused("certificate-incomplete", "the chain is incomplete: ")),
    "unknown-root": (GOOD, "unknown-root", refused("certificate-unknown-root", "the chain ends at an authority that is not trusted (CN=Other Root)")),
    "huge": (GOOD, "huge", unknown("certificate-large", "the server sends certificates of more than 16 KB")),
}
LEAVES = {"expired": {"begin": -30, "end": -1}, "ends-soon": {"begin": -29.5, "end": 5.5}, "self-signed": {"self_signed": True}}
HALF = len(CASES) // 2
HALVES = {"one.example": list(CASES)[:HALF], "two.example": list(CASES)[HALF:]}


def chain_of(authority, other, label, kind):
    host = f"{label}.mx.example"
    if kind == "unknown-root":
        leaf = other.issue(host)
    elif kind in ("other-name", "wildcard"):
        leaf = authority.issue("www.example.com" if kind == "other-name" else "*.mx.example")
    else:
        leaf = authority.issue(host, **LEAVES.get(kind, {}))
    if kind == "incomplete":
        return leaf, leaf.leaf_pem()
    if kind == "huge":
        return leaf, leaf.chain_pem() + authority.intermediate.public_bytes(PEM) * 60
    return leaf, leaf.chain_pem()


class World:
    def __init__(self, namespace, setup, config, heard):
        self._namespace, self._setup, self.config, self.heard = namespace, setup, config, heard

    def probe(self, *arguments, status=None, environment=None):
        variables = [f"{name}={value}" for name, value in (environment or {}).items()]
        done = subprocess.run(
            [*self._namespace.prefix, "env", *variables, tree.program(), "probe", "-c", self.config, "--timeout", "2s", *arguments],
            capture_output=True,
            timeout=60,
            check=False,
            env={"PATH": os.environ["PATH"], "SSL_CERT_FILE": self._setup.authority.root_file},
        )
        assert status is None or done.returncode == status, (done.stdout, done.stderr)
        return done

    def hosts(self, *arguments, status=None):
        printed = json.loads(self.probe("--json", "--smtp", *arguments, status=status).stdout)
        return {report["mx"]: report for report in printed if "mx" in report}


@pytest.fixture(scope="module")
def world(program, authority, tmp_path_factory):
    del program
    folder = tmp_path_factory.mktemp("world")
    (folder / "other").mkdir()
    other = Authority(folder / "other", name="Other")
    setup = Setup(folder, authority)
    entries, zone = [], ["refuses.mx.example. IN A 127.0.1.250", "dual.mx.example. IN A 127.0.1.1", "dual.mx.example. IN AAAA ::1"]
    for number, (label, (script, kind, _)) in enumerate(CASES.items(), start=1):
        leaf, chain = chain_of(authority, other, label, kind)
        at = leaf.write(folder / "mx" / label)
        (at / "chain.pem").write_bytes(chain)
        entry = {"chain": str(at / "chain.pem"), "key": str(at / "privkey.pem"), "version": kind if kind.startswith("TLS") else None, "script": script}
        entries.append(entry | {"address": f"127.0.1.{number}"})
        zone.append(f"{label}.mx.example. IN A 127.0.1.{number}")
    of = dict(zip(CASES, entries))
    of["good"] |= {"chain": of["wildcard"]["chain"], "key": of["wildcard"]["key"]}
    entries.append(of["clear"] | {"address": "::1"})
    hosts = HALVES | {
        "testing.example": ["clear", "expired", "greets-554"],
        "none.example": ["clear"],
        "bare.example": ["clear"],
        "both.example": ["clear", "good"],
        "good.example": ["good"],
        "reach.example": ["refuses", "nowhere", "good"],
        "dual.example": ["dual"],
    }
    modes = {"testing.example": "testing", "none.example": "none", "both.example": "testing"}
    domains = {domain: {"mode": modes.get(domain, "enforce"), "max_age": "2w", "mx": ["*.mx.example"]} for domain in hosts}
    del domains["bare.example"]
    setup.certify(*hosts)
    config = setup.write(domains, policies={}, listen="127.0.0.1:443", dns={"addresses": ["127.0.0.1"]})
    for domain, labels in hosts.items():
        zone += [f"{domain}. IN MX 10 {label}.mx.example." for label in labels]
    records = subprocess.run([tree.program(), "dns", "-c", config], capture_output=True, check=True, timeout=60)
    (folder / "zone").write_text(records.stdout.decode() + "\n".join(zone) + "\n")
    with entered(folder) as namespace, nameserver.running(namespace, folder / "zone"):
        with mx.running(namespace, folder, entries) as heard, Server.running(config, prefix=namespace.prefix):
            yield World(namespace, setup, config, heard)


@pytest.fixture(scope="module")
def hosts(world):
    begin = time.monotonic()
    found = world.hosts(*HALVES, status=1)
    assert time.monotonic() - begin < 30
    return found


def found(report):
    return [(one["code"], one["level"], one["message"]) for one in report["findings"]]


@pytest.mark.parametrize("label", CASES)
def test_mx_is_judged(hosts, label):
    report, wanted = hosts[f"{label}.mx.example"], CASES[label][2]
    if wanted is None:
        assert not report["findings"] and report["state"] == "good"
        (server,) = report["servers"]
        assert server["reached"] == "certificate" and server["status"] == 220 and server["tls"] == ("1.2" if label == "tls-1.2" else "1.3")
        assert server["certificate"]["days_left"] > 30
        return
    ((code, level, message),) = found(report)
    assert (code, level) == wanted[:2] and message.startswith(wanted[2]) and len(message) < 500
    assert report["state"] == level
    if code != "certificate-ends-soon":
        assert report["findings"][0]["reason"] == (ENFORCED if level == "error" else UNKNOWN)


def test_every_mx_is_asked_once(world, hosts):
    """Whatever the number of its domains; and it is addressed by its own name, and left politely."""
    assert len(hosts) == len(CASES)
    before = len(world.heard)
    world.hosts("good.example", "both.example", "reach.example")
    said = [one for one in world.heard[before:] if one["address"] == "127.0.1.1"]
    assert [one["name"] for one in said] == ["good.mx.example"]
    assert said[0]["lines"] == ["EHLO [127.0.0.1]\r\n", "STARTTLS\r\n", "QUIT\r\n"]


def test_mode_decides_how_grave_it_is(world):
    tested = world.hosts("testing.example", status=0)
    assert {host.partition(".")[0]: report["state"] for host, report in tested.items()} == {
        "clear": "warning",
        "expired": "warning",
        "greets-554": "warning",
    }
    assert tested["expired.mx.example"]["findings"][0]["reason"] == TESTED
    assert [one["level"] for one in world.hosts("none.example", status=0)["clear.mx.example"]["findings"]] == ["note"]
    # Of a domain without a policy, which may be to come.
    assert world.hosts("bare.example", status=1)["clear.mx.example"]["state"] == "warning"
    assert world.hosts("none.example", "testing.example", "two.example", status=1)["clear.mx.example"]["state"] == "error"


def test_policy_that_senders_still_enforce_decides(world, tmp_path):
    config = tmp_path / "mta-sts.yaml"
    config.write_text(world.config.read_text().replace('["certs"]', f'["{world.config.parent}/certs"]') + f"state: {tmp_path}\n")
    policy = "enforce 31536000 9 *.mx.example"
    history.write_served(tmp_path, "2026-01-01", ("testing.example", policy, "2126-01-01", "2126-01-02"))
    words = ("-c", config, "testing.example")
    assert world.hosts(*words, "--at", "2126-01-03", status=1)["clear.mx.example"]["state"] == "error"
    history.write_served(tmp_path, "2026-01-01", ("testing.example", policy, "2020-01-01", "2020-01-02"))
    history.write_seen(tmp_path, ("testing.example", "9", "2020-01-01", "2020-01-02", 60), ("testing.example", "8", "2020-01-02", "2020-01-03", 60))
    assert world.hosts(*words)["clear.mx.example"]["state"] == "warning"


def test_what_cannot_be_connected_to_is_no_verdict(world):
    reach = world.hosts("reach.example", status=0)
    assert found(reach["refuses.mx.example"]) == [("refused", "warning", "the connection is refused")]
    assert "port 25" in reach["refuses.mx.example"]["findings"][0]["hint"]
    assert found(reach["nowhere.mx.example"]) == [("no-address", "warning", "nowhere.mx.example has no address")]
    assert reach["good.mx.example"]["state"] == "good"


def test_both_families_are_asked(world):
    (report,) = world.hosts("dual.example", status=1).values()
    assert [server["address"] for server in report["servers"]] == ["127.0.1.1:25", "[::1]:25"]
    assert [server["reached"] for server in report["servers"]] == ["certificate", "tls"]
    assert [(one["code"], one["addresses"]) for one in report["findings"]] == [("starttls-missing", ["[::1]:25"])]


def test_table_for_people(world):
    done = world.probe("--smtp", *HALVES, "good.example", status=1)
    text = done.stdout.decode()
    assert re.search(r"^good\.mx\.example +127\.0\.1\.1:25 .* 1\.3 ", text, re.M)
    assert re.search(r"^clear\.mx\.example +127\.0\.1\.\d+:25 .* no STARTTLS +- +- +-", text, re.M)
    assert f'greets-554.mx.example: warning: the server refuses with its greeting: "554 {SHOWN}"' in text
    assert re.search(rf"^{len(CASES)} MX: 5 good, ", text, re.M)
    assert not re.search(r"[^\n -~]", text)


def test_without_the_option_no_mx_is_asked(world):
    before = len(world.heard)
    assert b" MX" not in world.probe("good.example", status=0).stdout
    assert len(world.heard) == before


def test_wants_the_dns(world):
    assert b"no MX for --smtp" in world.probe("--smtp", "--connect", "127.0.0.1", "good.example", status=2).stderr


@pytest.mark.parametrize("forks", [0, 1])
def test_without_processes_for_the_second_round_the_first_is_shown(world, tmp_path, forks):
    """The kernel has no process for the probe of the MX; or for that of the domain, and then nothing is known."""
    inherited = {**os.environ}
    environment = {name: value for name, value in preload.forking(tmp_path, forks).items() if inherited.get(name) != value}
    config = tmp_path / "mta-sts.yaml"
    config.write_text(world.config.read_text().replace('["certs"]', f'["{world.config.parent}/certs"]') + f"state: {tmp_path}\n")
    words = ("-c", config, "--smtp", "--record", "good.example")
    done = world.probe(*words, status=1, environment=environment)
    assert b"cannot start processes to probe: Resource temporarily unavailable" in done.stderr
    if forks == 0:
        assert done.stdout == b"" and not (tmp_path / "seen-records.txt").exists()
        return
    text = done.stdout.decode()
    assert re.search(r"^good\.example +127\.0\.0\.1:443 .* enforce ", text, re.M)
    assert text.endswith("\n1 domain: 1 good, 0 with warnings, 0 with errors\n") and " MX" not in text
    assert (tmp_path / "seen-records.txt").read_bytes()
    (report,) = json.loads(world.probe("--json", *words, status=1, environment=environment).stdout)
    assert (report["domain"], report["state"]) == ("good.example", "good")

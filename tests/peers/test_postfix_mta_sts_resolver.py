"""A real sender's client gets our policies: Debian's postfix-mta-sts-resolver, its mta-sts-query.

It runs in a namespace of its own with a name server that answers what `mta-sts-httpd dns` prints,
an authority that it trusts, and our server on port 443, so that nothing in it is told otherwise.
"""

import ast
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support import nameserver, server, tree
from support.namespace import entered
from support.server import Server
from support.setup import DEFAULT_POLICY, Setup, replace_file, seconds

# The samples of the public guides are among them: what operators were told to write.
SAMPLES = {
    "example.com": DEFAULT_POLICY,
    "testing.example": {"mode": "testing", "max_age": "1d", "mx": ["mail.testing.example"]},
    "none.example": {"mode": "none", "max_age": 86400, "mx": ["mail.none.example"]},
    "longest.example": {"mode": "enforce", "max_age": 31557600, "mx": ["*.longest.example"]},
    "google.example": {
        "mode": "testing",
        "max_age": 604800,
        "mx": ["mail.google.example", "*.google.example", "backup.google.example"],
    },
    "wiki.example": {
        "mode": "enforce",
        "max_age": "1w",
        "mx": ["mx1.wiki.example", "*.wiki.example", "mx1.other.example", "*.other.example"],
    },
    "many.example": {
        "mode": "enforce",
        "max_age": "30d",
        "mx": [f"mx{number}.many.example" for number in range(150)],
    },
    "xn--mller-kva.example": {
        "mode": "enforce",
        "max_age": "2w",
        "mx": ["mx.xn--mller-kva.example"],
    },
    "a.b.c.deep.example": {"mode": "enforce", "max_age": "2w", "mx": ["mx.deep.example"]},
}
BROKEN = {"mode": "enforce", "max_age": "2w", "mx": ["mail_1.broken.example"]}
EXTRA_RECORDS = """
mail.provider.example.       IN A   127.0.0.1
_mta-sts.broken.example.     IN TXT "v=STSv1; id=1;"
mta-sts.broken.example.      IN A   127.0.0.1
_mta-sts.unknown.example.    IN TXT "v=STSv1; id=1;"
mta-sts.unknown.example.     IN A   127.0.0.1
_mta-sts.uncertified.example. IN TXT "v=STSv1; id=1;"
mta-sts.uncertified.example. IN A   127.0.0.1
"""
RESULT = re.compile(r"^\(<STSFetchResult\.(\w+): \d+>, (.*)\)$", re.M | re.S)


class Sender:
    """Asks as a mail server would. The environment is its own: no proxy, our authority."""

    def __init__(self, namespace, root_file):
        query = shutil.which("mta-sts-query")
        assert query, "mta-sts-query is not there: server/dependencies.sh install test brings it"
        self._command = [*namespace.prefix, query]
        self._environment = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(root_file)}

    def query(self, domain):
        """What came of it, the id of the record and the parsed policy."""
        done = subprocess.run(
            [*self._command, domain],
            env=self._environment,
            capture_output=True,
            timeout=60,
            check=False,
        )
        match = RESULT.search(done.stdout.decode())
        assert match, (done.stdout, done.stderr)
        value = ast.literal_eval(match[2])
        return (match[1], *(value or (None, None)))


@pytest.fixture(scope="module")
def namespace(tmp_path_factory):
    with entered(tmp_path_factory.mktemp("namespace")) as namespace:
        yield namespace


@pytest.fixture(scope="module")
def sender(namespace, authority):
    return Sender(namespace, authority.root_file)


@pytest.fixture(scope="module")
def samples(program, namespace, authority, tmp_path_factory):
    """The server and the name server with all of SAMPLES, a broken domain and one uncertified."""
    del program
    setup = Setup(tmp_path_factory.mktemp("samples"), authority)
    for domain in (*SAMPLES, "broken.example"):
        setup.certify(domain)
    authority.issue("uncertified.example").write(setup.certs / "uncertified.example")
    domains = {**SAMPLES, "broken.example": BROKEN}
    domains |= {"example.com": None, "uncertified.example": None}
    config = setup.write(domains, listen="127.0.0.1:443", dns={"target": "mail.provider.example"})
    zone = setup.root / "zone"
    zone.write_text(server.records_of(config, *SAMPLES) + EXTRA_RECORDS)
    expect = [r"\b(broken|uncertified)\.example", r"mta-sts\.yaml:\d+:\d+: ", r"^\s+(why|fix): "]
    with nameserver.running(namespace, zone):
        with Server.running(config, prefix=namespace.prefix, expect=expect):
            yield zone.read_text()


def parsed(policy):
    """What a parser makes of the policy: text, but for max_age."""
    return {
        "version": "STSv1",
        "mode": policy["mode"],
        "mx": policy["mx"],
        "max_age": seconds(policy["max_age"]),
    }


@pytest.mark.parametrize("domain", SAMPLES)
def test_sender_gets_the_policy(samples, sender, domain):
    result, identity, policy = sender.query(domain)
    assert result == "VALID"
    assert policy == parsed(SAMPLES[domain])
    assert f'_mta-sts.{domain}.\tIN\tTXT\t"v=STSv1; id={identity};"\n' in samples
    assert re.fullmatch(r"[1-9][0-9]{17}", identity)


@pytest.mark.parametrize("domain", ["broken.example", "unknown.example", "uncertified.example"])
def test_sender_gets_no_policy(samples, sender, domain):
    """Quarantined; not ours; ours without a certificate for its policy host."""
    del samples
    result, _, policy = sender.query(domain)
    assert (result, policy) == ("FETCH_ERROR", None)


def test_sender_without_a_record_asks_nobody(samples, sender):
    del samples
    assert sender.query("nothing.example") == ("NONE", None, None)


def test_sample_configuration_works_with_a_sender(program, authority, tmp_path):
    """config/mta-sts.yaml as it is, with certificates in ../certs, for each of its domains."""
    del program
    with entered(tmp_path) as namespace:
        sender = Sender(namespace, authority.root_file)
        check_sample_configuration(namespace, sender, authority, tmp_path)


def check_sample_configuration(namespace, sender, authority, tmp_path):
    shutil.copytree(tree.ROOT / "config", tmp_path / "config")
    config = tmp_path / "config" / "mta-sts.yaml"
    listed = json.loads(server.run("list", "--json", "-c", config).stdout)
    assert len(listed) >= 3
    hosts = {entry["domain"]: f"mta-sts.{entry['domain']}" for entry in listed}
    for domain, host in hosts.items():
        authority.issue(host).write(tmp_path / "certs" / domain)
    zone = tmp_path / "zone"
    records = server.records_of(config)
    targets = sorted(set(re.findall(r"\tCNAME\t(\S+)\n", records)))
    replace_file(zone, records + "".join(f"{name} IN A 127.0.0.1\n" for name in targets))
    with nameserver.running(namespace, zone):
        with Server.running(config, prefix=namespace.prefix):
            for entry in listed:
                result, identity, policy = sender.query(entry["domain"])
                assert (result, identity) == ("VALID", entry["id"])
                assert policy == parsed(entry)


def test_machine_is_left_as_it_was(namespace):
    """The namespace's resolv.conf is its own."""
    inside = subprocess.run(
        [*namespace.prefix, "cat", "/etc/resolv.conf"], capture_output=True, check=True
    ).stdout
    assert b"nameserver 127.0.0.1\n" in inside
    assert Path("/etc/resolv.conf").read_bytes() != inside

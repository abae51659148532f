"""`probe` as a whole, in a namespace of its own: what the DNS says, our own server on port 443, and
an authority that stands for the public ones."""

import json
import os
import subprocess

import pytest

from support import nameserver, server, tree
from support.namespace import entered
from support.server import Server
from support.setup import DEFAULT_POLICY, Setup

SOUND = "v=STSv1; id=123;"

# domain: its records but for the address of the policy host, and what is found of stage DNS.
RECORDS = {
    "cname.example": (["_mta-sts.cname.example. IN CNAME _mta-sts.example.com."], []),
    "strings.example": (['_mta-sts.strings.example. IN TXT "v=STSv1; " "id=123;"'], []),
    "missing.example": (
        [],
        [("record-missing", "error", "there is no TXT record at _mta-sts.missing.example")],
    ),
    "other.example": (
        ['_mta-sts.other.example. IN TXT "v=spf1 -all"'],
        [
            (
                "record-missing",
                "error",
                "the TXT record at _mta-sts.other.example is not one of MTA-STS",
            )
        ],
    ),
    "several.example": (
        [
            f'_mta-sts.several.example. IN TXT "{SOUND}"',
            '_mta-sts.several.example. IN TXT "v=STSv1; id=124;"',
        ],
        [
            (
                "record-several",
                "error",
                "there are 2 MTA-STS records at _mta-sts.several.example",
            )
        ],
    ),
    "disturbed.example": (
        [
            f'_mta-sts.disturbed.example. IN TXT "{SOUND}"',
            '_mta-sts.disturbed.example. IN TXT "v=spf1 -all"',
        ],
        [
            (
                "record-others",
                "warning",
                "there are other TXT records at _mta-sts.disturbed.example",
            )
        ],
    ),
    "form.example": (
        ['_mta-sts.form.example. IN TXT "v=STSv1; id=2024-01-01;"'],
        [
            (
                "record-form",
                "error",
                "the record _mta-sts.form.example has an id that is not 1 to 32 letters and digits: "
                '"v=STSv1; id=2024-01-01;"',
            )
        ],
    ),
    "space.example": (
        ['_mta-sts.space.example. IN TXT "v=STSv1 ; id=123;"'],
        [
            (
                "record-space-before",
                "error",
                'the record _mta-sts.space.example has space before a semicolon: "v=STSv1 ; id=123;"',
            )
        ],
    ),
    "letters.example": (
        ['_mta-sts.letters.example. IN TXT "v=STSv1; id=20240101T00Z;"'],
        [
            (
                "record-id-number",
                "warning",
                "the id of the record is not a number of at most 18 digits: 20240101T00Z",
            )
        ],
    ),
    "failed.servfail.example": (
        [],
        [
            (
                "dns-failed",
                "error",
                "the look-up of the address of mta-sts.failed.servfail.example fails with SERVFAIL",
            ),
            (
                "dns-failed",
                "error",
                "the look-up of the TXT record at _mta-sts.failed.servfail.example fails with "
                "SERVFAIL",
            ),
        ],
    ),
    "nowhere.example": (
        [f'_mta-sts.nowhere.example. IN TXT "{SOUND}"'],
        [("no-address", "error", "mta-sts.nowhere.example has no address")],
    ),
}
NOT_REACHED = ("nowhere.example", "failed.servfail.example")
CONFIGURED = ("example.com", "old.example")
DUAL = "dual.example"


def zone_of(printed):
    lines = [printed, f'_mta-sts.{DUAL}. IN TXT "{SOUND}"']
    for address in ("127.0.0.1", "127.0.0.2"):
        lines.append(f"mta-sts.{DUAL}. IN A {address}")
    lines.append(f"mta-sts.{DUAL}. IN AAAA 2001:db8::1")
    lines += ['_mta-sts.old.example. IN TXT "v=STSv1; id=1;"', "mta-sts.old.example. IN A 127.0.0.1"]
    for domain, (records, _) in RECORDS.items():
        lines += records
        if domain not in NOT_REACHED:
            lines.append(f"mta-sts.{domain}. IN A 127.0.0.1")
    return "\n".join(lines) + "\n"


class World:
    """Where `probe` runs: the namespace, and a server with every domain."""

    def __init__(self, namespace, setup, config):
        self._namespace = namespace
        self._setup = setup
        self.config = config

    def probe(self, *arguments, status=None):
        done = subprocess.run(
            [*self._namespace.prefix, tree.program(), "probe", *map(str, arguments)],
            capture_output=True,
            timeout=60,
            check=False,
            env={"PATH": os.environ["PATH"], "SSL_CERT_FILE": self._setup.authority.root_file},
        )
        assert status is None or done.returncode == status, (done.stdout, done.stderr)
        return done

    def json(self, *arguments, status=None):
        printed = self.probe("--json", *arguments, status=status)
        return {report["domain"]: report for report in json.loads(printed.stdout)}


@pytest.fixture(scope="module")
def world(program, authority, tmp_path_factory):
    del program
    folder = tmp_path_factory.mktemp("world")
    setup = Setup(folder, authority)
    names = [*CONFIGURED, DUAL, *RECORDS]
    setup.certify(*names)
    config = setup.write(
        names, listen="127.0.0.1:443", dns={"addresses": ["127.0.0.1"]}, policies={"default": DEFAULT_POLICY}
    )
    printed = server.run("dns", "-c", config, "example.com").stdout.decode()
    zone = folder / "zone"
    zone.write_text(zone_of(printed))
    with entered(folder) as namespace:
        with nameserver.running(namespace, zone):
            with Server.running(config, prefix=namespace.prefix):
                yield World(namespace, setup, config)


@pytest.fixture(scope="module")
def reports(world):
    return world.json(*RECORDS, status=1)


def found(report):
    return [(item["code"], item["level"], item["message"]) for item in report["findings"]]


@pytest.mark.parametrize("domain", RECORDS)
def test_record_is_judged(reports, domain):
    report = reports[domain]
    assert found(report) == RECORDS[domain][1]
    assert {item["stage"] for item in report["findings"]} <= {"dns"}
    reached = [visit["reached"] for visit in report["servers"]]
    assert reached == ([] if domain in NOT_REACHED else ["policy"])
    assert report["dns"]["ms"] >= 0


def test_id_is_told(reports):
    assert reports["strings.example"]["dns"]["id"] == "123"
    assert reports["missing.example"]["dns"]["id"] is None


def test_our_own_server_and_records_are_without_a_finding(world):
    """Compared with the configuration, with what `dns` prints in the DNS: nothing to object to."""
    (report,) = world.json("-c", world.config, "example.com", status=0).values()
    assert (report["state"], report["findings"]) == ("good", [])
    (visit,) = report["servers"]
    assert (visit["address"], visit["reached"]) == ("127.0.0.1:443", "policy")
    assert visit["policy"]["as_configured"] is True
    done = world.probe("-c", world.config, "example.com", status=0)
    assert done.stderr == b""
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 3 and lines[2] == "1 domain: 1 good, 0 with warnings, 0 with errors"


def test_id_is_compared_with_the_configured_one(world):
    (report,) = world.json("-c", world.config, "old.example", status=1).values()
    (finding,) = report["findings"]
    assert finding["code"] == "record-id"
    assert finding["message"].startswith("the id of the record is 1, that of the configured policy ")


def test_all_of_the_configuration_is_asked_by_default(world):
    reports = world.json("-c", world.config, status=1)
    assert set(reports) == {*CONFIGURED, DUAL, *RECORDS}


def test_every_address_is_asked(world):
    """One serves, one refuses, and to the third this machine has no way, which is no fault of it."""
    (report,) = world.json(DUAL, status=1).values()
    reached = {visit["address"]: visit["reached"] for visit in report["servers"]}
    assert reached == {
        "127.0.0.1:443": "policy",
        "127.0.0.2:443": "connect",
        "[2001:db8::1]:443": "connect",
    }
    by_code = {item["code"]: item for item in report["findings"]}
    assert set(by_code) == {"refused", "no-route"}
    assert by_code["refused"]["addresses"] == ["127.0.0.2:443"]
    assert (by_code["no-route"]["level"], by_code["refused"]["level"]) == ("note", "error")
    text = world.probe(DUAL, status=1).stdout.decode()
    assert f"{DUAL}: error: at 127.0.0.2:443: the connection is refused\n" in text
    rows = [line.split() for line in text.splitlines()[1:4]]
    assert {row[1]: row[row.index("ms") + 1 :][0] for row in rows}["127.0.0.2:443"] == "refused"

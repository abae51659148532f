"""What "dns --format nsupdate" prints, published: nsupdate brings it to a name server (BIND), dig
and a sender's client (mta-sts-query) see it there. All of it in a namespace of its own."""

import json
import os
import re
import shutil
import subprocess

import pytest

from support import tree
from support.bind import Bind
from support.namespace import entered
from support.server import Server, run
from support.setup import DEFAULT_POLICY, Setup

ZONES = ("one.example", "two.example", "xn--bcher-kva.example")


@pytest.fixture
def bind(request, tmp_path):
    # An alias that leads to another zone is followed for who may ask for recursion.
    names = getattr(request, "param", ZONES)
    with entered(tmp_path) as namespace:
        with Bind.running(namespace, tmp_path / "named", names, "no" if names is ZONES else "yes") as bind:
            yield bind


@pytest.fixture
def setup(program, authority, tmp_path):
    del program
    setup = Setup(tmp_path / "setup", authority)
    for name in ZONES:
        setup.certify(name)
    return setup


def published(setup, bind):
    """Every record of the JSON is what dig sees, and no other is at its name."""
    records = json.loads(run("dns", "-c", setup.config, "-f", "json").stdout)["records"]
    assert records
    for record in records:
        same = [
            other["value"]
            for other in records
            if (other["name"], other["type"]) == (record["name"], record["type"])
        ]
        assert bind.dig(record["name"], record["type"]) == sorted(same)
    return records


def print_dns(setup, *arguments, status=0):
    done = run("dns", "-c", setup.config, *arguments)
    assert done.returncode == status, done.stderr.decode()
    return done.stdout.decode()


def test_publish_change_and_remove(setup, bind):
    reports = [f"mailto:a;b,c{number}@example.com" for number in range(12)]
    setup.write(ZONES, dns={"target": "mail.one.example", "ttl": "5m"}, tls_rpt=reports)
    whole = print_dns(setup, "-f", "nsupdate")
    bind.update(whole)
    records = published(setup, bind)
    assert {record["type"] for record in records} == {"CNAME", "TXT"}
    assert any(len(record["value"]) > 255 for record in records)
    # Once more changes nothing.
    bind.update(whole)
    assert published(setup, bind) == records

    # A CNAME gives way to addresses, one domain gets another policy, one goes.
    earlier = setup.root / "earlier.json"
    earlier.write_text(print_dns(setup, "-f", "json"))
    serial = bind.dig("xn--bcher-kva.example", "SOA")
    setup.write(
        {"one.example": {"policy": "default", "mode": "testing"}, "xn--bcher-kva.example": None},
        dns={"addresses": ["192.0.2.1", "192.0.2.2", "2001:db8::1"], "ttl": "5m"},
        tls_rpt=reports,
    )
    bind.update(print_dns(setup, "-f", "nsupdate", "--since", earlier))
    assert published(setup, bind) != records
    assert bind.dig("mta-sts.one.example", "CNAME") == []
    assert bind.dig("xn--bcher-kva.example", "SOA") != serial
    for label in ("mta-sts", "_mta-sts", "_smtp._tls"):
        assert bind.dig(f"{label}.two.example", "ANY") == []
    assert bind.dig("mail.two.example", "A") == ["127.0.0.1"]

    # And back: addresses give way to a CNAME.
    earlier.write_text(print_dns(setup, "-f", "json"))
    setup.write(ZONES, dns={"target": "mail.one.example", "ttl": "5m"}, tls_rpt=reports)
    bind.update(print_dns(setup, "-f", "nsupdate", "--since", earlier))
    assert published(setup, bind) == records
    assert bind.dig("mta-sts.one.example", "A") == ["127.0.0.1", "mail.one.example."]


def test_sender_sees_what_was_published(setup, bind, authority):
    """The whole way: our records in a real name server, our server, a real sender's client."""
    config = setup.write(
        ZONES, dns={"target": "mail.one.example"}, listen="127.0.0.1:443", tls_rpt=None
    )
    bind.update(print_dns(setup, "-f", "nsupdate"))
    record = bind.dig("_mta-sts.one.example", "TXT")
    identity = re.fullmatch(r"v=STSv1; id=([1-9][0-9]{17});", record[0])[1]
    query = shutil.which("mta-sts-query")
    assert query, "server/dependencies.sh install test brings mta-sts-query"
    with Server.running(config, prefix=bind.namespace.prefix):
        done = subprocess.run(
            [*bind.namespace.prefix, query, "one.example"],
            env={"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(authority.root_file)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert "STSFetchResult.VALID" in done.stdout, (done.stdout, done.stderr)
    assert f"'{identity}'" in done.stdout and "'mail.example.com'" in done.stdout


def test_withheld_record_stays_as_it_is(setup, bind):
    """Of a domain without a good certificate nothing that senders act on is published or removed."""
    bind.update('update add _mta-sts.one.example. 60 TXT "v=STSv1; id=1;"\nsend\n')
    shutil.rmtree(setup.certs / "one.example")
    setup.write(ZONES, dns={"target": "mail.one.example"})
    bind.update(print_dns(setup, "-f", "nsupdate", status=3))
    published(setup, bind)
    assert bind.dig("_mta-sts.one.example", "TXT") == ["v=STSv1; id=1;"]
    assert bind.dig("mta-sts.one.example", "CNAME") == ["mail.one.example."]


def cron(setup, bind, status):
    """What an operator has in a timer: one command that may fail at any time and loses nothing."""
    update = " ".join(map(str, [*bind.namespace.prefix, "nsupdate"]))
    command = f"{{ echo server 127.0.0.1 53; cat; }} | {update}"
    published = setup.root / "published.json"
    done = run(
        *("dns", "-c", setup.config, "-f", "nsupdate"),
        *("--published", published, "--commit-with", command),
    )
    assert done.returncode == status, (done.stdout, done.stderr)
    return done.stdout.decode()


def ids(setup, bind):
    """Of each zone: the id that is published, and the one that is configured."""
    configured = {}
    for entry in json.loads(run("list", "--json", "-c", setup.config).stdout or "[]"):
        configured[entry["domain"]] = [f"v=STSv1; id={entry['id']};"]
    return {zone: bind.dig(f"_mta-sts.{zone}", "TXT") for zone in ZONES}, configured


def test_three_days(setup, bind):
    """A typo on the first day, changes on each, and nothing is lost or removed by mistake."""
    settings = {"dns": {"target": "mail.one.example"}, "include": "d/*.yaml"}
    (setup.root / "d").mkdir()
    drop_in = setup.root / "d" / "three.yaml"
    third = ZONES[2]
    drop_in.write_text(f"domains: {{{third}: }}\n")
    good = setup.write(ZONES[:2], **settings).read_text()
    assert "6 records added" in cron(setup, bind, 0)
    before, configured = ids(setup, bind)
    assert before == configured

    # Day 1: one policy is changed, and the file has a typo. Nothing is sent, nothing is forgotten.
    changed = good.replace("two.example:", 'two.example: {"policy": "default", "mode": "testing"}')
    setup.config.write_text(changed.replace("domains:", "domians:"))
    cron(setup, bind, 1)
    assert ids(setup, bind)[0] == before
    # In the evening a customer's file is broken too; the others are published.
    setup.config.write_text(changed)
    drop_in.write_text(f"domains: {{{third}: \n")
    assert cron(setup, bind, 1).startswith("0 records added, 1 changed, 0 removed; 2 kept")
    after, configured = ids(setup, bind)
    assert after["two.example"] == configured["two.example"] != before["two.example"]
    assert after[third] == before[third]

    # Day 2: the name server is away, and the change is taken back before it returns.
    drop_in.write_text(f"domains: {{{third}: {{policy: default, max_age: 3w}}}}\n")
    update = bind.namespace.prefix
    bind.namespace.prefix = [*update, "env", "PATH=/nowhere"]
    cron(setup, bind, 1)
    bind.namespace.prefix = update
    drop_in.write_text(f"domains: {{{third}: }}\n")
    assert "1 changed" in cron(setup, bind, 0)
    assert ids(setup, bind)[0][third] == before[third]

    # Day 3: one domain has lost its certificate and keeps its record, one goes.
    shutil.rmtree(setup.certs / "one.example")
    drop_in.unlink()
    setup.config.write_text(changed.replace("one.example:", 'one.example: {"policy": "default", "max_age": "5w"}'))
    assert cron(setup, bind, 3).startswith("0 records added, 0 changed, 2 removed; 1 kept")
    last, configured = ids(setup, bind)
    assert last["one.example"] == before["one.example"] != configured["one.example"]
    assert last["two.example"] == configured["two.example"] and last[third] == []
    assert bind.dig(f"mta-sts.{third}", "CNAME") == []
    # With the certificate it follows.
    setup.certify("one.example")
    assert "1 changed" in cron(setup, bind, 0)
    last, configured = ids(setup, bind)
    assert last["one.example"] == configured["one.example"]
    assert cron(setup, bind, 0) == "0 records added, 0 changed, 0 removed\n"


def test_one_refused_zone_is_sent_again(setup, bind):
    """nsupdate ends at a zone that is not there; the others are published all the same."""
    setup.certify("nowhere.example")
    setup.write([*ZONES, "nowhere.example"])
    cron(setup, bind, 1)
    found, configured = ids(setup, bind)
    assert found == {zone: configured[zone] for zone in ZONES}
    setup.write({**dict.fromkeys(ZONES), "two.example": {"policy": "default", "mode": "testing"}})
    # The record of nowhere.example may be there, and cannot be removed.
    assert cron(setup, bind, 1).startswith("0 records added, 1 changed, 0 removed")
    found, configured = ids(setup, bind)
    assert found == configured


HOSTER = "sts.hoster.example"
CUSTOMERS = ("a.example", "b.example", "own.example")
OWN = {"mode": "testing", "max_age": "2w", "mx": ["mail.own.example"]}


class Delegation:
    """A hoster with the zone of the shared records; each customer has a zone of its own."""

    def __init__(self, setup, bind):
        self.setup = setup
        self.bind = bind
        self.domains = {"a.example": None, "b.example": "default", "own.example": OWN}
        setup.certify(*CUSTOMERS, folder="all")

    def write(self, name="mta-sts.yaml", policy=None, **options):
        options = {"listen": "127.0.0.1:443", "state": str(self.setup.root / "state"), **options}
        text = self.setup.text(
            self.domains,
            policies={"default": policy or DEFAULT_POLICY},
            dns={"addresses": "127.0.0.1", "delegate": HOSTER, "ttl": "1h"},
            **options,
        )
        path = self.setup.root / name
        path.write_text(text)
        return path

    def run(self, *arguments, status=0):
        done = subprocess.run(
            [*self.bind.namespace.prefix, tree.program(), *map(str, arguments), "-c", self.setup.config],
            env={"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(self.setup.authority.root_file)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == status, (done.stdout, done.stderr)
        return done.stdout

    def publish(self, status):
        """What the hoster has in a timer."""
        command = "{ echo server 127.0.0.1 53; cat; } | nsupdate"
        published = self.setup.root / "published.json"
        arguments = ("--served", "-f", "nsupdate", "--published", published, "--commit-with", command)
        return self.run("dns", *arguments, HOSTER, status=status)

    def probe(self, *domains, status=0):
        return {
            report["domain"]: (report["dns"]["alias"], [item["code"] for item in report["findings"] if item["level"] != "note"])
            for report in json.loads(self.run("probe", "--json", "--record", *domains, status=status))
        }

    def id_of(self, domain):
        (record,) = [line for line in self.bind.dig(f"_mta-sts.{domain}", "TXT") if line]
        return record


@pytest.fixture
def delegation(program, authority, bind, tmp_path):
    del program
    delegation = Delegation(Setup(tmp_path / "setup", authority), bind)
    (tmp_path / "setup" / "state").mkdir()
    (tmp_path / "setup" / "state").chmod(0o777)
    for name in CUSTOMERS:
        host = "mail.own.example" if name == "own.example" else "mail.example.com"
        bind.update(f"update add {name}. 60 MX 1 {host}.\nupdate add mta-sts.{name}. 60 A 127.0.0.1\nsend\n")
    return delegation


@pytest.mark.parametrize("bind", [(HOSTER, *CUSTOMERS)], indirect=True)
def test_customers_change_their_zone_once(delegation):
    """RFC 8461 section 8.2: TXT records in the hoster's zone alone, which tools and senders follow."""
    bind, config = delegation.bind, delegation.write()
    shared = f"default._mta-sts.{HOSTER}"
    # Before the server runs nothing is published.
    assert "0 records added" in delegation.publish(3) and bind.dig(shared, "TXT") == []
    with Server.running(config, prefix=bind.namespace.prefix) as server:
        assert delegation.publish(0).startswith("2 records added")
        assert len(bind.dig(shared, "TXT")) == 1 and bind.dig("_mta-sts.a.example", "ANY") == []
        for name in CUSTOMERS:
            printed = print_dns(delegation.setup, "-f", "nsupdate", name).split("send\n")
            bind.update(printed[1] + "send\n")  # without the hoster's record
            assert HOSTER not in printed[1].replace(f"._mta-sts.{HOSTER}", "")
        assert delegation.probe() == {
            "a.example": (shared, []), "b.example": (shared, []), "own.example": (f"own.example._mta-sts.{HOSTER}", []),
        }  # fmt: skip
        first = delegation.id_of("a.example")
        assert first == delegation.id_of("b.example") != delegation.id_of("own.example")
        query = shutil.which("mta-sts-query")
        done = subprocess.run(
            [*bind.namespace.prefix, query, "a.example"],
            env={"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(delegation.setup.authority.root_file)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "STSFetchResult.VALID" in done.stdout and re.search(r"\d{18}", first)[0] in done.stdout

        # A policy of many is changed with one record, and not before it is served.
        delegation.write(policy={**DEFAULT_POLICY, "max_age": "3w"})
        assert delegation.publish(3).startswith("0 records added, 0 changed, 0 removed")
        assert delegation.id_of("a.example") == first
        assert server.reload()
        # One address of one customer answers with the former policy still.
        bind.update("update add mta-sts.b.example. 60 A 127.0.0.2\nsend\n")
        old = delegation.write("old.yaml", listen="127.0.0.2:443", state=None)
        with Server.running(old, prefix=bind.namespace.prefix) as late:
            assert delegation.publish(3).startswith("0 records added, 0 changed, 0 removed")
            (withheld,) = json.loads(delegation.run("dns", "--served", "-f", "json", "a.example", status=3))["withheld"]
            assert withheld["name"] == f"{shared}." and "b.example: its policy is not served yet: 127.0.0.2:443: " in withheld["reason"]
            assert delegation.id_of("a.example") == first
            # A customer whose record does not lead there hinders no other.
            bind.update("update delete _mta-sts.b.example. CNAME\nsend\n")
            assert delegation.publish(0).startswith("0 records added, 1 changed, 0 removed")
            del late
        second = delegation.id_of("a.example")
        assert second != first and bind.dig("_mta-sts.a.example", "CNAME") == [f"{shared}."]
        bind.update("update delete mta-sts.b.example. A 127.0.0.2\nsend\n")

        # What is held follows from what was seen through the alias.
        assert delegation.probe("a.example") == {"a.example": (shared, [])}
        (held,) = json.loads(delegation.run("list", "--held", "--json", "a.example"))["domains"]
        assert sorted(entry["held"]["kind"] for entry in held["policies"]) == ["date", "served"]

        # What a customer can do to its zone.
        assert delegation.probe("b.example", status=1) == {"b.example": (None, ["record-missing"])}
        for record, status, wanted in (
            (f"TXT \"{second}\"", 0, (None, ["record-alias"])),
            (f"TXT \"{first}\"", 1, (None, ["record-id", "record-alias"])),
            (f"CNAME own.example._mta-sts.{HOSTER}.", 1, (f"own.example._mta-sts.{HOSTER}", ["record-id", "record-alias"])),
            (f"CNAME gone._mta-sts.{HOSTER}.", 1, (f"gone._mta-sts.{HOSTER}", ["record-missing", "record-alias"])),
            ("CNAME _mta-sts.a.example.", 0, (shared, [])),
            ("CNAME DEFAULT._MTA-STS.STS.hoster.example.", 0, (shared.upper().replace(".HOSTER.EXAMPLE", ".hoster.example"), [])),
        ):  # fmt: skip
            bind.update(f"update delete _mta-sts.b.example.\nsend\nupdate add _mta-sts.b.example. 60 {record}\nsend\n")
            code, found = delegation.probe("b.example", status=status)["b.example"]
            assert (code, sorted(found)) == (wanted[0], sorted(wanted[1])), record

        # T1: an id that named other bytes is refused for all who share it.
        number = re.search(r"\d{18}", first)[0]
        delegation.write(policy={**DEFAULT_POLICY, "max_age": "4w", "id": number})
        done = run("check", "-c", delegation.setup.config)
        assert done.returncode == 1 and done.stderr.decode().count(f'id "{number}" of domain') == 2

        # A customer who leaves takes away nothing from the others, the last one the record.
        delegation.write(policy={**DEFAULT_POLICY, "max_age": "3w"})
        del delegation.domains["own.example"]
        delegation.write(policy={**DEFAULT_POLICY, "max_age": "3w"})
        assert delegation.publish(0).startswith("0 records added, 0 changed, 1 removed")
        assert bind.dig(f"own.example._mta-sts.{HOSTER}", "TXT") == [] and delegation.id_of("a.example") == second

"""`probe` as a whole, in a namespace of its own: what the DNS says, our own server on port 443, and
an authority that stands for the public ones."""

import fcntl
import json
import os
import subprocess
import time

import pytest

from support import history, nameserver, server, tree
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
    "quoted.example": (
        [r'_mta-sts.quoted.example. IN TXT "\"v=STSv1; id=123;\""'],
        [
            (
                "record-quoted",
                "error",
                "the value of the record _mta-sts.quoted.example begins with a quotation mark: "
                '"\\x22v=STSv1; id=123;\\x22"',
            )
        ],
    ),
    "bare.example": (
        ['_mta-sts.bare.example. IN TXT "v=STSv1"'],
        [
            (
                "record-form",
                "error",
                'the record _mta-sts.bare.example does not begin with v=STSv1;: "v=STSv1"',
            )
        ],
    ),
    # RFC 8461 section 3.1: what does not begin with "v=STSv1;" is discarded.
    "discarded.example": (
        [
            '_mta-sts.discarded.example. IN TXT "v=STSv1"',
            f'_mta-sts.discarded.example. IN TXT "{SOUND}"',
        ],
        [
            (
                "record-others",
                "warning",
                "there are other TXT records at _mta-sts.discarded.example",
            )
        ],
    ),
    "many.example": (
        [f'_mta-sts.many.example. IN TXT "other {number}"' for number in range(24)]
        + [f'_mta-sts.many.example. IN TXT "{SOUND}"'],
        [("record-others", "warning", "there are other TXT records at _mta-sts.many.example")],
    ),
    "cut.example": ([f'_mta-sts.cut.example. IN TXT "{SOUND}"'], []),
    "other-owner.example": (
        [],
        [("record-missing", "error", "there is no TXT record at _mta-sts.other-owner.example")],
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
    "failed.refused.example": (
        [],
        [
            (
                "dns-failed",
                "error",
                "the look-up of the address of mta-sts.failed.refused.example fails with REFUSED",
            ),
            (
                "dns-failed",
                "error",
                "the look-up of the TXT record at _mta-sts.failed.refused.example fails with REFUSED",
            ),
        ],
    ),
    "nowhere.example": (
        [f'_mta-sts.nowhere.example. IN TXT "{SOUND}"'],
        [("no-address", "error", "mta-sts.nowhere.example has no address")],
    ),
}
NOT_REACHED = ("nowhere.example", "failed.servfail.example", "failed.refused.example")
CONFIGURED = ("example.com", "old.example")
# domain: the hosts of its MX records, and what is found of them. The policy names mail.example.com and
# *.mx.example.com.
MX = {
    "mx-good.example": (["Mail.Example.com.", "b.mx.example.com."], []),
    "mx-some.example": (
        ["mail.example.com.", "other.example.", "a.b.mx.example.com."],
        [
            ("mx-refused", "error", "the policy does not name other.example, an MX of the domain"),
            ("mx-refused", "error", "the policy does not name a.b.mx.example.com, an MX of the domain"),
            ("mx-unused", "note", 'no MX of the domain is "*.mx.example.com"'),
        ],
    ),
    "mx-none.example": (
        [],
        [
            ("mx-none", "warning", "mx-none.example has no MX record, so its mail goes to its own address, which the policy does not name"),
            ("mx-unused", "note", 'no MX of the domain is "mail.example.com"'),
            ("mx-unused", "note", 'no MX of the domain is "*.mx.example.com"'),
        ],
    ),
    "mx-null.example": (["."], [("mx-null", "note", "mx-null.example has a null MX record")]),
    "mx-null-among.example": (
        ["mail.example.com.", ".", "a.mx.example.com."],
        [("mx-null-among", "warning", "mx-null-among.example has a null MX record beside others")],
    ),
    # RFC 2181 section 10.3; one alias leads to another.
    "mx-alias.example": (
        ["a.mx.example.com.", "alias.mx.example.com.", "mail.example.com.", "circle.mx.example.com."],
        [("mx-alias", "warning", "the MX alias.mx.example.com is an alias (CNAME) of far.example.net")],
    ),
    "mx-many.example": (
        [f"m{number}.mx.example.com." for number in range(33)],
        [("mx-more", "warning", "mx-many.example has more than 32 MX hosts, of which no more are checked")],
    ),
    "servfail-mx.example": (
        [],
        [("mx-unknown", "warning", "the look-up of the MX of servfail-mx.example fails with SERVFAIL")],
    ),
    "mx-itself.example": (
        None,
        [
            ("mx-alias", "warning", "the MX mx-itself.example is an alias (CNAME) of far.example.net"),
            ("mx-none", "warning", "mx-itself.example has no MX record, so its mail goes to its own address, which the policy does not name"),
            ("mx-unused", "note", 'no MX of the domain is "mail.example.com"'),
            ("mx-unused", "note", 'no MX of the domain is "*.mx.example.com"'),
        ],
    ),
    "mx-testing.example": (
        ["mail.example.com.", "a.mx.example.com.", "other.example."],
        [("mx-uncovered", "warning", "the policy does not name other.example, an MX of the domain")],
    ),
}
DUAL = "dual.example"
# Domains whose name servers are silent in one way or another; each is served all the same.
SILENT = {
    "mute": ["no question about the domain is answered by 127.0.0.1 within 2 s"],
    "no-aaaa": ["the look-up of the IPv6 address (AAAA) of mta-sts.x.no-aaaa gets no answer within 2 s"],
    "cut-silent": [
        "the look-up of the address of mta-sts.x.cut-silent gets an answer that is too long for UDP, "
        "and none over TCP",
        "the look-up of the TXT record at _mta-sts.x.cut-silent gets an answer that is too long for "
        "UDP, and none over TCP",
    ],
}
SILENT |= {
    label: [message.replace("cut-silent", label) for message in SILENT["cut-silent"]]
    for label in ("cut-drip", "cut-close")
}


def zone_of(printed):
    lines = [printed, f'_mta-sts.{DUAL}. IN TXT "{SOUND}"']
    for address in ("127.0.0.1", "127.0.0.2"):
        lines.append(f"mta-sts.{DUAL}. IN A {address}")
    lines.append(f"mta-sts.{DUAL}. IN AAAA 2001:db8::1")
    for label in SILENT:
        lines.append(f'_mta-sts.x.{label}. IN TXT "{SOUND}"')
        lines.append(f"mta-sts.x.{label}. IN A 127.0.0.1")
    for address in nameserver.SILENT_ADDRESSES:
        lines.append(f"mta-sts.slow.example. IN A {address}")
    lines += ["alias.mx.example.com. IN CNAME near.example.net.", "near.example.net. IN CNAME far.example.net."]
    lines += ["mx-itself.example. IN CNAME far.example.net.", "far.example.net. IN A 127.0.0.1"]
    lines += ['_mta-sts.old.example. IN TXT "v=STSv1; id=1;"', "mta-sts.old.example. IN A 127.0.0.1"]
    for domain in ("example.com", DUAL, "old.example", "slow.example", *RECORDS, *(f"x.{label}" for label in SILENT)):
        lines += [f"{domain}. IN MX {number} {host}." for number, host in enumerate(("mail.example.com", "a.mx.example.com"))]
    for domain, (hosts, _) in MX.items():
        lines += [f"mta-sts.{domain}. IN A 127.0.0.1", f'_mta-sts.{domain}. IN TXT "{SOUND}"']
        lines += [f"{domain}. IN MX 10 {host}" for host in hosts or ()]
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

    @property
    def prefix(self):
        return self._namespace.prefix

    @property
    def environment(self):
        return {"PATH": os.environ["PATH"], "SSL_CERT_FILE": self._setup.authority.root_file}

    def command(self, *arguments, inside=False):
        words = [tree.program(), "probe", *map(str, arguments)]
        return words if inside else [*self.prefix, *words]

    def probe(self, *arguments, status=None):
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            timeout=60,
            check=False,
            env=self.environment,
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
    names = [*CONFIGURED, DUAL, *RECORDS, *MX, *(f"x.{label}" for label in SILENT)]
    setup.certify(*names)
    domains = {**dict.fromkeys(names), "mx-testing.example": {"policy": "default", "mode": "testing"}}
    config = setup.write(
        domains, listen="127.0.0.1:443", dns={"addresses": ["127.0.0.1"]}, policies={"default": DEFAULT_POLICY}
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


def test_hosts_of_mail_are_compared_with_the_policy(world):
    reports = world.json(*MX, status=1)
    for domain, (hosts, wanted) in MX.items():
        assert found(reports[domain]) == wanted, domain
        if domain not in ("mx-none.example", "mx-null.example", "mx-null-among.example", "mx-itself.example", "servfail-mx.example"):
            assert reports[domain]["dns"]["mx"] == [host[:-1] for host in hosts[:32]]
    assert reports["mx-none.example"]["dns"]["mx"] == ["mx-none.example"]
    assert reports["mx-null-among.example"]["dns"]["mx"] == ["mail.example.com", "a.mx.example.com"]


@pytest.fixture
def remembering(world, tmp_path):
    """The configuration with a state folder, in which a.mx.example.com was served alone before."""
    config = world.config.with_name("remembering.yaml")
    config.write_text(world.config.read_text() + f"state: {tmp_path}\n")
    return config, tmp_path


def test_what_the_dns_says_is_recorded(world, remembering):
    config, folder = remembering
    file = folder / "seen-records.txt"
    domains = ["example.com", "missing.example", "several.example", "x.mute", "mx-good.example"]
    world.json("-c", config, "--timeout", "1s", "--record", *domains)
    first = {line.split()[1]: line.split()[2:] for line in file.read_text().splitlines() if line.startswith("seen")}
    printed = server.run("dns", "-c", world.config, "example.com").stdout.decode()
    assert first.keys() == {"example.com", "missing.example", "several.example", "mx-good.example"}
    assert f"id={first['example.com'][0]};" in printed
    assert first["missing.example"][0] == first["several.example"][0] == "-"
    assert first["mx-good.example"][0] == "123"
    world.json("-c", config, "--record", "--at", "2126-01-01", "example.com")
    lines = [line.split() for line in file.read_text().splitlines() if line.startswith("seen")]
    assert [line[1:3] for line in lines] == [[domain, first[domain][0]] for domain in sorted(first)]
    (example,) = [line for line in lines if line[1] == "example.com"]
    assert example[3] == first["example.com"][1] and example[4] == "2126-01-01T00:00:00Z"


def test_policy_of_a_server_before_ours_is_recorded(world, remembering):
    """Before a move: senders hold what the other server serves, until it is gone and its time has passed."""
    config, folder = remembering

    def record(day, domain="mx-good.example"):
        return world.json("-c", config, "--record", "--at", f"2126-01-{day}", domain)

    def held(day, *arguments):
        done = server.run("list", "--held", "--json", "-c", config, "--at", f"2126-{day}", *arguments, "mx-good.example")
        assert done.returncode == 0, done.stderr
        (entry,) = json.loads(done.stdout)["domains"]
        return [(one["id"], one["mode"], one["mx"], one["served_until"], one["held"]["kind"]) for one in entry["policies"]], entry["free"]

    policy = ["mail.example.com", "*.mx.example.com"]
    record("02")
    assert held("01-03") == (
        [("123", "enforce", policy, None, "served")],
        {"kind": "served", "until": None, "not_before": "2126-01-17T01:01:00Z"},
    )
    assert b"still" in server.run("list", "--held", "-c", config, "--at", "2126-01-03", "mx-good.example").stdout
    # T1 and T3 know it: its id must not name other bytes, and its mx are those that senders use.
    good = config.read_text()
    config.write_text(good.replace("mx-good.example:", "mx-good.example: {mode: enforce, max_age: 2w, mx: new.example, id: '123'}"))
    done = server.run("check", "-c", config, "--at", "2126-01-03", "mx-good.example")
    assert done.returncode == 1 and b'id "123" of domain "mx-good.example" has named another policy before' in done.stderr
    config.write_text(good.replace("mx-good.example:", "mx-good.example: {mode: enforce, max_age: 2w, mx: new.example}"))
    done = server.run("check", "-c", config, "--at", "2126-01-03", "mx-good.example")
    assert b"senders may refuse mail to new.example until 2126-01-17" in done.stderr
    config.write_text(good)
    # The server is away at one look, which says nothing; then ours serves another policy.
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.9 mta-sts.mx-good.example\n")
    before = (folder / "seen-records.txt").read_text().count("\nserved ")
    bind = f"mount --bind {hosts} /etc/hosts; exec \"$@\""
    done = subprocess.run(
        [*world.prefix, "unshare", "--mount", "sh", "-c", bind, "sh"]
        + world.command("-c", config, "--record", "--at", "2126-01-04", "mx-good.example", inside=True),
        capture_output=True, timeout=60, check=False, env=world.environment,
    )  # fmt: skip
    assert b"the connection is refused" in done.stdout, (done.stdout, done.stderr)
    assert (folder / "seen-records.txt").read_text().count("\nserved ") == before == 1
    # What our own server is recorded to serve is not what was before it.
    rows = [("mx-good.example", f"enforce 1209600 7 {' '.join(policy)}", "2126-01-05", None)]
    history.write_served(folder, "2126-01-05", *rows)
    record("06")
    assert "\nserved " not in (folder / "seen-records.txt").read_text()
    assert held("01-07")[0] == [
        ("7", "enforce", policy, None, "served"),
        ("123", "enforce", policy, "2126-01-06T00:00:00Z", "renewed"),
    ]
    # A replica that serves the former one still is seen, too.
    history.write_served(folder, "2126-01-05", rows[0][:3] + ("2126-01-07",))
    record("08")
    assert held("01-09")[0][1][3] is None
    # The folder of another machine makes no difference in any order.
    other = folder / "other"
    history.write_served(other, "2126-01-05", *rows)
    assert held("01-09", "--state", folder, "--state", other) == held("01-09", "--state", other, "--state", folder)
    # Nothing is recorded for a domain that is not configured.
    record("09", "slow.example")
    assert "slow.example 0" not in (folder / "seen-records.txt").read_text()


def test_policy_that_senders_hold_is_compared_with_the_hosts_of_mail(world, remembering):
    config, folder = remembering
    rows = [
        ("mx-good.example", "enforce 31536000 9 other.example.com", "2126-01-01", "2126-01-02"),
        ("mx-some.example", "enforce 31536000 9 other.example", "2126-01-01", "2126-01-02"),
        ("mx-testing.example", "testing 31536000 9 nothing.example", "2126-01-01", "2126-01-02"),
        ("mx-null.example", "enforce 31536000 9 nothing.example", "2126-01-01", "2126-01-02"),
        ("example.com", "enforce 86400 9 nothing.example", "2125-01-01", "2125-01-02"),
    ]
    history.write_served(folder, "2125-01-01", *rows)
    history.write_seen(folder, ("example.com", "9", "2125-01-01", "2125-01-02", 60), ("example.com", "123", "2125-01-03", "2126-01-02", 60))
    reports = world.json("-c", config, "--at", "2126-01-03", *(row[0] for row in rows), status=1)
    held = {
        domain: [one for one in found(report) if one[0].startswith("mx-held")] for domain, report in reports.items()
    }
    until = "until 2127-01-02T01:01:00Z at the earliest, and it does not name the MX"
    assert held["mx-good.example"] == [
        ("mx-held-all", "error", f"senders may hold the enforced policy with id 9 {until} Mail.Example.com")
    ]
    assert held["mx-some.example"] == [
        ("mx-held", "warning", f"senders may hold the enforced policy with id 9 {until} mail.example.com")
    ]
    assert held["mx-testing.example"] == held["mx-null.example"] == held["example.com"] == []


def test_since_when_the_record_has_its_id_is_told(world, remembering):
    config, folder = remembering
    history.write_seen(folder, ("old.example", "1", "2026-01-01", "2026-01-02", 60))
    (report,) = world.json("-c", config, "old.example", status=1).values()
    assert report["findings"][0]["message"].endswith("; it was seen first at 2026-01-01T00:00:00Z")


def test_record_needs_a_folder_and_the_dns(world, remembering):
    config, folder = remembering
    assert b"--record writes into the folder" in world.probe("-c", world.config, "--record", status=1).stderr
    assert world.probe("-c", config, "--record", "--connect", "127.0.0.1", status=2).stdout == b""
    folder.rmdir()
    done = world.probe("-c", config, "--record", "example.com", status=1)
    assert b"seen-records.txt cannot be written: No such file" in done.stderr


def test_commands_that_record_at_once_forget_nothing_of_each_other(world, remembering):
    """The first waits for a name server that does not answer, while the others record."""
    config, folder = remembering
    domains = ["x.mute", "mx-good.example", "missing.example", "example.com"]
    running = []
    for domain in domains:
        running.append(subprocess.Popen(
            world.command("-c", config, "--timeout", "2s", "--record", domain),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=world.environment,
        ))  # fmt: skip
    for process in running:
        assert b"cannot be written" not in process.communicate(timeout=60)[1]
    world.json("-c", config, "--timeout", "1s", "--record", "several.example")
    lines = (folder / "seen-records.txt").read_text().splitlines()
    assert [line.split()[1] for line in lines if line.startswith("seen ")] == sorted([*domains[1:], "several.example"])


def test_what_cannot_be_replaced_stays(world, remembering):
    config, folder = remembering
    file = folder / "seen-records.txt"
    lock = os.open(folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    done = world.probe("-c", config, "--record", "example.com", status=1)
    assert b"seen-records.txt cannot be written: another command has locked the folder" in done.stderr
    os.close(lock)
    assert not file.exists()
    file.symlink_to("elsewhere")
    done = world.probe("-c", config, "--record", "example.com", status=1)
    assert b"--record would replace a file that could not be read" in done.stderr
    assert file.is_symlink() and done.stdout == b""


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


def test_record_waits_until_every_address_serves_the_policy(world):
    """For `dns --served` it is no matter what the record says today, or whether it is there at all."""
    domains = ["example.com", "missing.example", "other.example", DUAL, "failed.servfail.example"]
    done = subprocess.run(
        [*world.prefix, tree.program(), "dns", "--served", "-f", "json", "-c", world.config, *domains],
        capture_output=True,
        timeout=60,
        check=False,
        env=world.environment,
    )
    printed = json.loads(done.stdout)
    published = [record["domain"] for record in printed["records"] if record["name"].startswith("_mta-sts.")]
    withheld = {record["domain"]: record["reason"] for record in printed["withheld"]}
    assert done.returncode == 3 and published == ["example.com", "missing.example", "other.example"]
    assert withheld[DUAL] == "its policy is not served yet: 127.0.0.2:443: the connection is refused"
    assert "fails with SERVFAIL" in withheld["failed.servfail.example"]
    assert withheld.keys() == {DUAL, "failed.servfail.example"}


def test_all_of_the_configuration_is_asked_by_default(world):
    reports = world.json("-c", world.config, "--timeout", "1s", status=1)
    assert set(reports) == {*CONFIGURED, DUAL, *RECORDS, *MX, *(f"x.{label}" for label in SILENT)}


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


@pytest.mark.parametrize("label", SILENT)
def test_silence_of_name_servers_has_an_end(world, label):
    """Over UDP or TCP, and what is found is about them, not about the web server."""
    begin = time.monotonic()
    (report,) = world.json("--timeout", "2s", f"x.{label}", status=1).values()
    took = time.monotonic() - begin
    dns = [item for item in report["findings"] if item["stage"] == "dns"]
    assert [item["message"] for item in dns] == SILENT[label]
    assert report["findings"] == dns
    reached = [visit["reached"] for visit in report["servers"]]
    assert reached == (["policy"] if label == "no-aaaa" else [])
    assert took < 2 * tree.LIMITS["LIMIT_PROBE_TIMEOUTS"] + 20, took  # on a busy machine


def test_many_silent_servers_have_one_deadline(world):
    """The first ones take all the time, and the others are not asked."""
    begin = time.monotonic()
    (report,) = world.json("--timeout", "1s", "slow.example", status=1).values()
    took = time.monotonic() - begin
    found = {item["code"]: item for item in report["findings"] if item["stage"] != "dns"}
    assert set(found) == {"tls-timeout", "not-asked"}
    assert len(report["servers"]) == len(nameserver.SILENT_ADDRESSES)
    not_asked = len(found["not-asked"]["addresses"])
    assert not_asked >= len(report["servers"]) - tree.LIMITS["LIMIT_PROBE_TIMEOUTS"] - 1
    assert took < tree.LIMITS["LIMIT_PROBE_TIMEOUTS"] + 20, took  # on a busy machine


def test_dnssec_is_thought_of(reports):
    hints = {item["hint"] for item in reports["failed.servfail.example"]["findings"]}
    assert len(hints) == 1 and "DNSSEC" in hints.pop()


def test_results_do_not_wait_for_a_slow_domain(world):
    """The table begins with what is there, and the slow one comes at its end."""
    domains = ["x.mute", *CONFIGURED, "strings.example"]
    process = subprocess.Popen(
        world.command("--timeout", "30s", *domains),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=world.environment,
    )
    try:
        lines = [process.stdout.readline().decode().split() for _ in range(4)]
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    assert [line[0] for line in lines] == ["DOMAIN", *domains[1:]]


def probe_with(world, path, place, *arguments):
    """With the file in the place of another, which only this process sees."""
    mount = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', path, place]
    done = subprocess.run(
        [*map(str, [*world.prefix, *mount, *world.command("--json", *arguments, inside=True)])],
        capture_output=True,
        timeout=60,
        check=False,
        env=world.environment,
    )
    (report,) = json.loads(done.stdout)
    return done.returncode, report


def test_missing_resolver_of_this_machine(world, tmp_path):
    """Nothing is said of the domain or of what senders do."""
    path = tmp_path / "resolv.conf"
    path.write_text("# nobody is there\nnameserver 127.0.0.77\n")
    status, report = probe_with(world, path, "/etc/resolv.conf", "example.com")
    (finding,) = report["findings"]
    assert status == 1 and finding["code"] == "dns-here"
    assert finding["message"] == "no name server of this machine (127.0.0.77) can be reached"
    assert finding["reason"] == "nothing is known about this domain"


def test_hosts_file_comes_first(world, tmp_path):
    """As for senders on this machine."""
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1 localhost # here\n127.0.0.1\tother MTA-STS.nowhere.example\n")
    status, report = probe_with(world, path, "/etc/hosts", "nowhere.example")
    assert (status, report["findings"]) == (0, [])
    assert [visit["address"] for visit in report["servers"]] == ["127.0.0.1:443"]

"""The records that "dns" prints, byte for byte, in each of its formats.

dns/NAME.yaml      every domain gets a certificate, which its name may say something about
dns/NAME.zone      what "dns" prints, and likewise .nsupdate and .json; dates are written DATE

"REGENERATE=1 pytest tests/golden" writes them anew; read the difference before you commit.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.authority import Authority
from support.server import run

HERE = Path(__file__).parent / "dns"
DAY = re.compile(rb"\b\d{4}-\d{2}-\d{2}\b")
ROOT_ZONE = """$TTL 60
@ 3600 IN SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 3600
@ 3600 IN NS ns.invalid.
ns.invalid. 3600 IN A 192.0.2.53
"""
NAMES = sorted(path.stem for path in HERE.glob("*.yaml"))
FORMATS = ("zone", "nsupdate", "json")


def certify(authority, domain, folder):
    """A good certificate, or what the first label of the domain says."""
    kind, host = domain.partition(".")[0], f"mta-sts.{domain}"
    if kind in ("none", "refused"):
        return
    days = {"expired": {"begin": -9, "end": -1}, "future": {"begin": 1, "end": 9}}.get(kind, {})
    if kind == "incomplete":
        # The intermediate of the others lies beside it; this one's lies nowhere.
        authority = Authority(folder.parent)
    leaf = authority.issue(host, **days)
    if kind == "incomplete":
        leaf.intermediates = []
    leaf.write(folder / domain)
    if kind == "self-signed":
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        command += ["-nodes", "-subj", "/CN=x", "-addext", f"subjectAltName=DNS:{host}"]
        command += ["-keyout", folder / domain / "privkey.pem"]
        command += ["-out", folder / domain / "fullchain.pem"]
        subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module", params=NAMES)
def case(request, program, authority, tmp_path_factory):
    """A configuration beside certificates that are as its domains say."""
    del program
    root = tmp_path_factory.mktemp(request.param)
    config = root / "mta-sts.yaml"
    text = (HERE / f"{request.param}.yaml").read_text()
    config.write_text(f"certificates: certs\n{text}")
    (root / "certs").mkdir()
    for entry in json.loads(run("list", "--json", "-c", config).stdout):
        certify(authority, entry["domain"], root / "certs")
    return request.param, config


@pytest.mark.parametrize("form", FORMATS)
def test_exact_bytes(case, form):
    name, config = case
    done = run("dns", "-c", config, "--format", form)
    path = HERE / f"{name}.{form}"
    output = DAY.sub(b"DATE", done.stdout)
    if os.environ.get("REGENERATE"):
        path.write_bytes(output)
    assert output.decode() == path.read_bytes().decode()
    assert run("dns", "-c", config, "--format", form).stdout == done.stdout
    withheld = json.loads(run("dns", "-c", config, "-f", "json").stdout)["withheld"]
    assert done.returncode == (1 if done.stderr else 3 if withheld else 0)


def test_named_checkzone_accepts_the_zone(case, tmp_path):
    """It reads the records as they were meant: what it writes out has the values of the JSON."""
    _, config = case
    checker = shutil.which("named-checkzone")
    assert checker, "server/dependencies.sh install test brings named-checkzone"
    zone = tmp_path / "zone"
    zone.write_text(ROOT_ZONE + run("dns", "-c", config).stdout.decode())
    command = [checker, "-i", "none", "-k", "fail", "-r", "fail", "-D", "-s", "full", ".", zone]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    read = set()
    for line in done.stdout.decode().splitlines():
        name, _, _, kind, value = line.split(None, 4)
        if kind == "TXT":
            value = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', value))
            value = re.sub(r"\\(.)", r"\1", value)
        read.add((name, kind, value))
    wanted = json.loads(run("dns", "-c", config, "-f", "json").stdout)["records"]
    assert {row for row in read if row[0] not in (".", "ns.invalid.")} == {
        (record["name"], record["type"], record["value"]) for record in wanted
    }


def changes(folder, authority):
    """Two configurations, before and after."""
    (folder / "certs").mkdir()
    for domain in ("same", "other", "gone", "moved", "broken"):
        certify(authority, f"{domain}.example", folder / "certs")
    policies = "policies:\n  default: {mode: enforce, max_age: 2w, mx: [mail.example.com]}\n"
    head = "certificates: certs\n" + policies
    before, after = folder / "before.yaml", folder / "after.yaml"
    before.write_text(
        head + "dns: {target: mail.example.com, ttl: 1h}\ndomains:\n"
        "  broken.example:\n  gone.example: {policy: default, tls_rpt: 'mailto:a@gone.example'}\n"
        "  none.example:\n  other.example:\n  same.example:\n"
    )
    after.write_text(
        head + "dns: {target: mail.example.com, ttl: 1h}\ndomains:\n"
        "  none.example:\n  new.example:\n  other.example: {policy: default, mode: testing}\n"
        "  same.example: {policy: default, tls_rpt: 'mailto:a@same.example'}\n"
    )
    certify(authority, "new.example", folder / "certs")
    return before, after


def since(config, earlier, form):
    return run("dns", "-c", config, "--since", earlier, "--format", form)


def triples(records):
    return [(record["name"], record["type"], record["value"]) for record in records]


@pytest.fixture
def two(program, authority, tmp_path):
    del program
    before, after = changes(tmp_path, authority)
    earlier = tmp_path / "earlier.json"
    earlier.write_bytes(run("dns", "-c", before, "-f", "json").stdout)
    return before, after, earlier


def identity(config, domain):
    listed = json.loads(run("list", "--json", "-c", config).stdout)
    return next(entry["id"] for entry in listed if entry["domain"] == domain)


def test_since_tells_only_what_has_changed(two):
    before, after, earlier = two
    changed = json.loads(since(after, earlier, "json").stdout)
    new = f"v=STSv1; id={identity(after, 'new.example')};"
    assert triples(changed["added"]) == [
        ("mta-sts.new.example.", "CNAME", "mail.example.com."),
        ("_mta-sts.new.example.", "TXT", new),
        ("_smtp._tls.same.example.", "TXT", "v=TLSRPTv1; rua=mailto:a@same.example"),
    ]
    was, now = (f"v=STSv1; id={identity(file, 'other.example')};" for file in (before, after))
    assert triples(changed["was"]) == [("_mta-sts.other.example.", "TXT", was)]
    assert triples(changed["changed"]) == [("_mta-sts.other.example.", "TXT", now)]
    assert {name for name, _, _ in triples(changed["removed"])} == {
        f"{label}.{domain}.example."
        for domain in ("gone", "broken")
        for label in ("mta-sts", "_mta-sts")
    } | {"_smtp._tls.gone.example."}
    assert [record["domain"] for record in changed["withheld"]] == ["none.example"]


def test_since_as_zone_and_nsupdate(two):
    _, after, earlier = two
    zone = since(after, earlier, "zone").stdout.decode()
    assert "; gone: _smtp._tls.gone.example.\t3600\tIN\tTXT\t" in zone
    assert "; was: _mta-sts.other.example.\t3600\tIN\tTXT\t" in zone
    assert "\n_mta-sts.other.example.\t3600\tIN\tTXT\t" in zone
    assert "mta-sts.same.example." not in zone
    update = since(after, earlier, "nsupdate").stdout.decode()
    assert "update delete _smtp._tls.gone.example. TXT\n" in update
    assert "update delete _mta-sts.other.example. TXT\nupdate delete _mta-sts.other.example. CNAME\nupdate add _mta-sts.other.example. 3600 TXT " in update
    assert "mta-sts.same.example." not in update
    # Each message is about one domain, and each ends.
    for message in update.split("send\n"):
        names = re.findall(r"^update \w+ (?:_?mta-sts|_smtp\._tls)\.(\S+)", message, re.M)
        assert len(set(names)) <= 1, message
    assert update.endswith("send\n")


def test_since_the_same_nothing_has_changed(two):
    before, _, earlier = two
    changed = json.loads(since(before, earlier, "json").stdout)
    assert [key for key, records in changed.items() if records] == ["withheld"]
    assert b"update " not in since(before, earlier, "nsupdate").stdout


def test_what_was_withheld_is_added_when_its_certificate_is_there(two, authority):
    before, _, earlier = two
    authority.issue("mta-sts.none.example").write(before.parent / "certs" / "none")
    changed = json.loads(since(before, earlier, "json").stdout)
    assert [record["name"] for record in changed["added"]] == ["_mta-sts.none.example."]
    assert not changed["withheld"] and not changed["was"] and not changed["removed"]


def test_a_mistake_takes_nothing_away(two):
    """A refused domain keeps its records, and so does one that is only out of sight."""
    before, after, earlier = two
    after.write_text(after.read_text() + "  broken.example: {policy: default, mode: on}\n")
    changed = json.loads(since(after, earlier, "json").stdout)
    assert not changed["removed"]
    assert changed["added"]
    asked = run("dns", "-c", before, "--since", earlier, "-f", "json", "same.example")
    assert not json.loads(asked.stdout)["removed"]


def test_a_domain_that_is_named_in_two_ways_is_printed_once(two):
    named = run("dns", "-c", two[0], "same.example", "SAME.example.", "same.example")
    assert (named.returncode, named.stderr) == (0, b"")
    assert named.stdout == run("dns", "-c", two[0], "same.example").stdout != b""


def test_records_may_come_in_any_order(two):
    before, _, earlier = two
    records = json.loads(earlier.read_text())
    records["records"].reverse()
    earlier.write_text(json.dumps(records, indent=1))
    changed = json.loads(since(before, earlier, "json").stdout)
    assert [key for key, value in changed.items() if value] == ["withheld"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("", b"this is not what"),
        ("[]", b"this is not what"),
        ('{"records": []}', b"this is not what"),
        ('{"records": [{"name": "x"}], "withheld": []}', b":1:14: error: this is not what"),
        ('{"records": [', b"error: "),
    ],
)
def test_since_something_else(two, text, words):
    before, _, earlier = two
    earlier.write_text(text)
    done = since(before, earlier, "zone")
    assert (done.returncode, done.stdout) == (1, b"")
    assert words in done.stderr and str(earlier).encode() in done.stderr


def test_since_a_missing_file(two):
    done = since(two[0], two[2].with_name("nothing"), "zone")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"cannot be read: No such file" in done.stderr


def test_unknown_format(two):
    done = run("dns", "-c", two[0], "--format", "bind")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b'unknown format "bind"; use zone, nsupdate or json' in done.stderr

"""The list of domains: what is told of each, in which order, and which of them."""

import json

import pytest

from support.server import run
from support.setup import Setup

POLICIES = {
    "default": {"mode": "enforce", "max_age": "2w", "mx": ["mail.example.com", "b.example.com"]},
    "short": {"mode": "testing", "max_age": "1d", "mx": ["mail.example.com"]},
}
DOMAINS = {
    "b.example.com": None,
    "a.example.com": "short",
    "example.net": {"policy": "default", "mode": "on"},
    "example.org": {"policy": "default", "max_age": "5w", "id": "7"},
}


@pytest.fixture(scope="module")
def config(program, authority, tmp_path_factory):
    """Two certificates, one of which ends soon; one domain refused, one without certificate."""
    del program
    setup = Setup(tmp_path_factory.mktemp("list"), authority)
    setup.certify("b.example.com", end=30.5)
    setup.certify("b.example.com", kind="RSA 2048", folder="rsa", end=40.5)
    setup.certify("a.example.com", end=80.5)
    setup.certify("example.net", end=50.5)
    return setup.write(DOMAINS, policies=POLICIES)


def table(config, *arguments, status=1):
    """The rows as lists of words. The refused domain makes the status 1."""
    done = run("list", "-c", config, *arguments)
    assert done.returncode == status, done.stderr.decode()
    return [line.split() for line in done.stdout.decode().splitlines()]


def names(config, *arguments, status=1):
    done = run("list", "-c", config, "--json", *arguments)
    assert done.returncode == status, done.stderr.decode()
    return [entry["domain"] for entry in json.loads(done.stdout)]


def test_table(config):
    rows = table(config)
    assert rows[0] == "DOMAIN STATE MODE MAX_AGE MX ID CERTIFICATE EXPIRES DAYS".split()
    assert [row[0] for row in rows[1:]] == sorted(DOMAINS)
    assert rows[1][1:5] == ["served", "testing", "86400", "mail.example.com"]
    assert rows[2][1:6] == ["served", "enforce", "1209600", "mail.example.com", "+1"]
    # Of two certificates the one that ends first is told.
    assert rows[2][7:10] == ["ECDSA", "P-256", "+1"] and rows[2][-1] == "30"
    assert rows[3][1:] == ["refused", "-", "-", "-", "-", "ECDSA", "P-256", rows[3][-2], "50"]
    assert rows[4][1:] == ["no-certificate", "enforce", "3024000", "mail.example.com", "+1", "7"] + [
        "-"
    ] * 3


def test_days_left_as_of_another_day(config):
    soon = json.loads(run("list", "-c", config, "--json", "--at", "2020-01-01").stdout)
    assert soon[0]["certificates"][0]["days_left"] > 365
    late = json.loads(run("list", "-c", config, "--json", "--at", "2199-01-01").stdout)
    assert late[0]["certificates"][0]["days_left"] < -365


@pytest.mark.parametrize(
    "column, order",
    [
        ("domain", ["a.example.com", "b.example.com", "example.net", "example.org"]),
        ("state", ["example.net", "example.org", "a.example.com", "b.example.com"]),
        ("mode", ["example.net", "b.example.com", "example.org", "a.example.com"]),
        ("max_age", ["example.net", "a.example.com", "b.example.com", "example.org"]),
        ("expires", ["b.example.com", "example.net", "a.example.com", "example.org"]),
    ],
)
def test_sorted(config, column, order):
    assert names(config, "--sort", column) == order
    assert [row[0] for row in table(config, "--sort", column)[1:]] == order


def test_sorted_by_id(config):
    listed = json.loads(run("list", "-c", config, "--json", "--sort", "id").stdout)
    assert [entry["id"] or "" for entry in listed] == sorted(entry["id"] or "" for entry in listed)


def test_filtered(config):
    assert names(config, "--state", "served") == ["a.example.com", "b.example.com"]
    assert names(config, "--state", "refused") == ["example.net"]
    assert names(config, "--state", "no-certificate") == ["example.org"]
    assert names(config, "--state", "stale") == []
    assert names(config, "*.example.com", status=0) == ["a.example.com", "b.example.com"]
    assert names(config, "*.Example.com", "EXAMPLE.org.", status=0) == [
        "a.example.com",
        "b.example.com",
        "example.org",
    ]
    assert names(config, "--state", "served", "[b-d]*", status=0) == ["b.example.com"]
    # Among these is one with an error.
    assert names(config, "--state", "served", "[b-z]*") == ["b.example.com"]


def test_a_name_that_is_not_there_is_told(config):
    done = run("list", "-c", config, "exampel.org", "*.nowhere")
    assert done.returncode == 1
    assert b'domain "exampel.org" is not configured; did you mean "example.org"?\n' in done.stderr
    assert b'no configured domain matches "*.nowhere"\n' in done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    "option, words",
    [(("--sort", "name"), b'cannot sort by "name"; use domain,'), (("--state", "good"), b'unknown state "good"; use served,')],
)
def test_wrong_words(config, option, words):
    done = run("list", "-c", config, *option)
    assert (done.returncode, done.stdout) == (2, b"")
    assert words in done.stderr


def test_good_configuration(program, authority, tmp_path):
    del program
    setup = Setup(tmp_path, authority)
    setup.certify("example.com")
    assert names(setup.write(["example.com"]), status=0) == ["example.com"]

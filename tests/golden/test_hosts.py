"""The names that need a certificate: all of them, those without a good one, and in groups."""

import pytest

from support.server import run
from support.setup import Setup

DOMAINS = ["a.example.com", "b.example.com", "c.example.com", "d.example.com", "e.example.com"]


@pytest.fixture(scope="module")
def config(program, authority, tmp_path_factory):
    """a has a good one and another that ends soon, b one that ends soon, c an old one, d none; e has
    no valid policy and none either."""
    del program
    setup = Setup(tmp_path_factory.mktemp("hosts"), authority)
    setup.certify("a.example.com", end=80.5)
    setup.certify("a.example.com", kind="RSA 2048", folder="rsa", end=5.5)
    setup.certify("b.example.com", begin=-72, end=17.5)
    setup.certify("c.example.com", begin=-90, end=-1)
    domains = dict.fromkeys(DOMAINS)
    domains["e.example.com"] = {"policy": "default", "mode": "on"}
    return setup.write(domains)


def hosts(config, *arguments):
    """The lines, each as the names without mta-sts. and .example.com."""
    done = run("hosts", "-c", config, *arguments)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = [line.split(" ") for line in done.stdout.decode().splitlines()]
    for line in lines:
        for name in line:
            assert name.startswith("mta-sts.") and name.endswith(".example.com")
    return ["".join(name.split(".")[1] for name in line) for line in lines]


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], ["a", "b", "c", "d", "e"]),
        (["--missing"], ["b", "c", "d", "e"]),
        (["--group", "2"], ["ab", "cd", "e"]),
        (["--group", "100"], ["abcde"]),
        (["--group", "tlsserver"], ["abcde"]),
        (["--missing", "--group", "3"], ["bcd", "e"]),
    ],
    ids=str,
)
def test_hosts(config, arguments, expected):
    assert hosts(config, *arguments) == expected


def test_what_counts_as_soon_is_configured(setup):
    """By default it is a fifth of the lifetime, and 21 days at the most."""

    def is_missing(**settings):
        return run("hosts", "--missing", "-c", setup.write(["example.com"], **settings)).stdout != b""

    setup.certify("example.com", begin=-72, end=17.5)
    assert is_missing() and not is_missing(certificate_warning="10d")
    setup.certify("example.com", begin=-1, end=17.5)
    assert not is_missing() and is_missing(certificate_warning="18d")
    setup.certify("example.com", begin=-400, end=22)
    assert not is_missing()
    setup.certify("example.com", begin=-400, end=20.5)
    assert is_missing()


@pytest.mark.parametrize("number", ["0", "101", "x", "", "-1", "99999999999999999999"])
def test_group_that_is_none(config, number):
    done = run("hosts", "-c", config, "--group", number)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"neither a number from 1 to 100 nor a profile" in done.stderr


@pytest.mark.parametrize("profile, most", [("tlsserver", 25), ("shortlived", 25), ("classic", 100)])
def test_names_in_a_certificate_of_a_profile(setup, profile, most):
    config = setup.write([f"d{i}.example" for i in range(130)], certificates=None)
    done = run("hosts", "-c", config, "--group", profile)
    sizes = [len(line.split()) for line in done.stdout.splitlines()]
    assert sizes == [most] * (130 // most) + ([130 % most] if 130 % most else [])

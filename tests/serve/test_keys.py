"""Certificates and keys as they lie on disk: every form works, every fault is named."""

import json
import os
import re

import pytest

from support import client, hello
from support.authority import PKCS8, SECRET, TRADITIONAL, write_private
from support.server import Server, run
from support.setup import DEFAULT_POLICY, Setup, body_of

TEXT = b"Certificate:\n    Data:\n        Version: 3 (0x2)\n"
# DER of the object identifier of P-256, as `openssl ecparam -genkey` writes it before the key.
PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def put(folder, **files):
    """Writes files; an underscore in a name stands for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_private(folder / name.replace("_", "."), data)


def pair(kind, form):
    def write(authority, folder, host):
        leaf = authority.issue(host, kind=kind)
        leaf.write(folder, form=form)
        begin = (folder / "privkey.pem").read_bytes().splitlines()[0]
        names = {PKCS8: b"PRIVATE", TRADITIONAL: b"RSA PRIVATE" if "RSA" in kind else b"EC PRIVATE"}
        assert begin == b"-----BEGIN " + names[form] + b" KEY-----"
        return leaf

    return write


def combined(**options):
    def write(authority, folder, host):
        leaf = authority.issue(host)
        leaf.write_combined(folder / "combined.pem", **options)
        return leaf

    return write


def chain(**options):
    def write(authority, folder, host):
        leaf = authority.issue(host)
        put(folder, fullchain_pem=leaf.chain_pem(**options), privkey_pem=leaf.key_pem())
        return leaf

    return write


def leaf_pem_and(maker):
    """A case that writes what maker makes of the leaf."""

    def write(authority, folder, host):
        leaf = authority.issue(host)
        put(folder, **maker(leaf))
        return leaf

    return write


def intermediate_pem(leaf):
    return leaf.chain_pem()[len(leaf.leaf_pem()) :]


def live_folder(authority, folder, host):
    """certbot: four files in archive, and links to them in live."""
    leaf = authority.issue(host)
    archive = folder / "archive"
    put(
        archive,
        cert1_pem=leaf.leaf_pem(),
        chain1_pem=intermediate_pem(leaf),
        fullchain1_pem=leaf.chain_pem(),
        privkey1_pem=leaf.key_pem(),
    )
    live = folder / "live" / host
    live.mkdir(parents=True)
    for name in ("cert", "chain", "fullchain", "privkey"):
        (live / f"{name}.pem").symlink_to(os.path.relpath(archive / f"{name}1.pem", live))
    return leaf


def deep_folder(authority, folder, host):
    leaf = authority.issue(host)
    leaf.write(folder / "certificates" / "acme-v02" / "issuer" / host)
    return leaf


def other_folder(authority, folder, host):
    leaf = authority.issue(host)
    put(folder / "public", server_crt=leaf.chain_pem())
    put(folder / "private", server_key=leaf.key_pem())
    return leaf


def among_others(authority, folder, host):
    """Two pairs and a key that fits nothing in one folder."""
    leaf = authority.issue(host)
    put(folder, one_crt=leaf.chain_pem(), one_key=leaf.key_pem())
    leaf_two = authority.issue("mta-sts.two.example")
    put(folder, two_crt=leaf_two.chain_pem(), two_key=leaf_two.key_pem())
    put(folder, README_txt=b"This folder is not only for certificates.\n")
    return leaf


def one_key_for_two(authority, folder, host):
    """A renewal that kept the key: both certificates fit it, the later one is shown."""
    old = authority.issue(host, end=30)
    new = authority.issue(host, end=60, key=old.key)
    put(folder, old_crt=old.chain_pem(), new_crt=new.chain_pem(), the_key=old.key_pem())
    return new


def wildcard(authority, folder, host):
    leaf = authority.issue("*." + host.partition(".")[2])
    leaf.write(folder)
    return leaf


def upper_case_name(authority, folder, host):
    leaf = authority.issue(host.upper())
    leaf.write(folder)
    return leaf


FORMS = {
    "p256-pkcs8": pair("P-256", PKCS8),
    "p256-sec1": pair("P-256", TRADITIONAL),
    "p384-pkcs8": pair("P-384", PKCS8),
    "p384-sec1": pair("P-384", TRADITIONAL),
    "rsa2048-pkcs8": pair("RSA 2048", PKCS8),
    "rsa2048-pkcs1": pair("RSA 2048", TRADITIONAL),
    "rsa4096-pkcs8": pair("RSA 4096", PKCS8),
    "rsa4096-pkcs1": pair("RSA 4096", TRADITIONAL),
    "combined": combined(),
    "combined-key-first": combined(key_first=True),
    "combined-sec1": combined(form=TRADITIONAL),
    "combined-parameters": leaf_pem_and(
        lambda leaf: {"all_pem": PARAMETERS + leaf.key_pem(TRADITIONAL) + leaf.chain_pem()}
    ),
    "parameters": leaf_pem_and(
        lambda leaf: {"key_pem": PARAMETERS + leaf.key_pem(TRADITIONAL), "crt": leaf.chain_pem()}
    ),
    "chain-reversed": chain(reverse=True),
    "chain-with-root": chain(with_root=True),
    "chain-with-root-reversed": chain(with_root=True, reverse=True),
    "chain-apart": leaf_pem_and(
        lambda leaf: {
            "cert_pem": leaf.leaf_pem(),
            "chain_pem": intermediate_pem(leaf),
            "key_pem": leaf.key_pem(),
        }
    ),
    "leaf-twice": leaf_pem_and(
        lambda leaf: {"crt": leaf.leaf_pem() + leaf.chain_pem(), "key": leaf.key_pem()}
    ),
    "names-without-meaning": leaf_pem_and(
        lambda leaf: {"1": leaf.key_pem(), "2_txt": leaf.chain_pem()}
    ),
    "crlf": leaf_pem_and(
        lambda leaf: {
            "crt": leaf.chain_pem().replace(b"\n", b"\r\n"),
            "key": leaf.key_pem().replace(b"\n", b"\r\n"),
        }
    ),
    "text-around": leaf_pem_and(
        lambda leaf: {
            "crt": TEXT + leaf.leaf_pem() + b"\nthe next one\n" + intermediate_pem(leaf) + b"end\n",
            "key": b"Bag Attributes\n    friendlyName: x\n" + leaf.key_pem(),
        }
    ),
    "no-final-line-end": leaf_pem_and(
        lambda leaf: {"crt": leaf.chain_pem().rstrip(), "key": leaf.key_pem().rstrip()}
    ),
    "live-folder": live_folder,
    "deep-folder": deep_folder,
    "other-folder": other_folder,
    "among-others": among_others,
    "one-key-for-two": one_key_for_two,
    "wildcard": wildcard,
    "upper-case-name": upper_case_name,
}


@pytest.fixture(scope="module")
def forms(program, authority, tmp_path_factory):
    """A server with a domain for each form; between them what a folder may hold besides."""
    del program
    setup = Setup(tmp_path_factory.mktemp("forms"), authority)
    leaves = {}
    for name, write in FORMS.items():
        leaves[name] = write(authority, setup.certs / name, f"mta-sts.{name}.example")
    os.mkfifo(setup.certs / "a-pipe")
    (setup.certs / "a-loop").symlink_to(".")
    (setup.certs / "empty").write_bytes(b"")
    (setup.certs / "binary").write_bytes(bytes(range(256)) * 40)
    file_only = authority.issue("mta-sts.file-only.example")
    leaves["file-only"] = file_only
    single = file_only.write_combined(setup.root / "single" / "file-only.pem")
    config = setup.write(
        [f"{name}.example" for name in leaves], certificates=["certs", str(single)]
    )
    with Server.running(config) as server:
        server.leaves = leaves
        yield server
        assert not server.unexpected(), server.log()


@pytest.mark.parametrize("name", [*FORMS, "file-only"])
def test_form_is_understood(forms, trusted, name):
    host = f"mta-sts.{name}.example"
    with client.Connection(forms.port, host, trusted) as connection:
        assert connection.tls.getpeercert(binary_form=True) == forms.leaves[name].der
        assert connection.exchange(client.request(host)).body == body_of(DEFAULT_POLICY)


def fault(maker, pattern, *, where=None, served=False, names=None, **options):
    return {
        "maker": maker,
        "pattern": pattern,
        "where": where,
        "served": served,
        "names": names,
        "options": options,
    }


def cut(data):
    """A file that is still being written."""
    return data[: len(data) * 2 // 3]


def garbled(data):
    """A body that is base64 but not a certificate or key."""
    lines = data.splitlines(keepends=True)
    return lines[0] + lines[2] * 3 + lines[-1]


def with_key(make):
    return lambda leaf: {"crt": leaf.chain_pem(), "key": make(leaf)}


def with_crt(make):
    return lambda leaf: {"crt": make(leaf), "key": leaf.key_pem()}


GOOD_FILES = with_key(lambda leaf: leaf.key_pem())
FAULTS = {
    "encrypted-pkcs8": fault(
        with_key(lambda leaf: leaf.key_pem(PKCS8, SECRET)), "encrypted", where="key"
    ),
    "encrypted-sec1": fault(
        with_key(lambda leaf: leaf.key_pem(TRADITIONAL, SECRET)), "encrypted", where="key"
    ),
    "encrypted-pkcs1": fault(
        with_key(lambda leaf: leaf.key_pem(TRADITIONAL, SECRET)),
        "encrypted",
        where="key",
        kind="RSA 2048",
    ),
    "no-key": fault(lambda leaf: {"crt": leaf.chain_pem()}, "key", where="crt"),
    "foreign-key": fault(
        with_key(lambda leaf: Pair.other.key_pem()), "key", where="crt"
    ),
    "key-cut": fault(with_key(lambda leaf: cut(leaf.key_pem())), "", where="key"),
    "key-garbled": fault(with_key(lambda leaf: garbled(leaf.key_pem())), "", where="key"),
    "certificate-cut": fault(with_crt(lambda leaf: cut(leaf.leaf_pem())), "", where="crt"),
    "certificate-garbled": fault(with_crt(lambda leaf: garbled(leaf.leaf_pem())), "", where="crt"),
    "rsa1024": fault(GOOD_FILES, "1024", where="(crt|key)", kind="RSA 1024"),
    "p521": fault(GOOD_FILES, "", where="(crt|key)", kind="P-521"),
    "without-names": fault(GOOD_FILES, "", names=()),
    "domain-only": fault(GOOD_FILES, "", names=("domain-only.example",)),
    "deep-wildcard": fault(GOOD_FILES, "", names=("*.example",)),
    "expired": fault(GOOD_FILES, "expired", where="crt", served=True, begin=-90, end=-2),
    "expires-soon": fault(GOOD_FILES, "expires", served=True, begin=-80, end=10),
}


class Pair:
    """The key of somebody else."""

    other = None


@pytest.fixture(scope="module")
def faults(program, authority, tmp_path_factory):
    """A server with a domain for each fault, and a good one."""
    del program
    setup = Setup(tmp_path_factory.mktemp("faults"), authority)
    Pair.other = authority.issue("mta-sts.other.example")
    setup.certify("example.com")
    for name, case in FAULTS.items():
        names = (f"mta-sts.{name}.example",) if case["names"] is None else case["names"]
        leaf = authority.issue(*names, common_name=f"mta-sts.{name}.example", **case["options"])
        put(setup.certs / name, **case["maker"](leaf))
    config = setup.write(["example.com", *(f"{name}.example" for name in FAULTS)])
    # Everything said here names one of the faults, or explains the line before it.
    expect = [rf"\b{name}\b" for name in FAULTS] + [r"^\s+(why|fix): "]
    with Server.running(config, expect=expect) as server:
        server.certs = setup.certs
        # The log puts many of a kind together; check --json has each.
        server.diagnostics = json.loads(run("check", "--json", "-c", config).stdout)["diagnostics"]
        yield server


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_named(faults, name):
    """With the file where there is one to blame, else with the domain."""
    case = FAULTS[name]
    where = rf"{name}/{case['where']}:\d+" if case["where"] else rf"\b{name}\b"
    level = "warning" if case["where"] is None else "error"
    mine = [
        f"{entry['file']}:{entry['line']}: {entry['message']}"
        for entry in faults.diagnostics
        if entry["level"] == level
    ]
    assert any(re.search(where, line) and re.search(case["pattern"], line) for line in mine), mine


@pytest.mark.parametrize("name", FAULTS)
def test_host_is_reached_only_with_a_sound_certificate(faults, name):
    host = f"mta-sts.{name}.example"
    answer = hello.answer_to(faults.port, hello.record(hello.client_hello(host)))
    if FAULTS[name]["served"]:
        assert answer.hello, answer
    else:
        assert answer.alert_name in ("unrecognized_name", "handshake_failure"), answer


def test_good_host_beside_the_faults_is_served(faults, trusted):
    assert client.fetch(faults.port, "mta-sts.example.com", trusted).status == 200


def test_key_material_is_never_said(faults):
    """Not one line of a key's body is in what the program printed."""
    said = faults.log()
    for path in faults.certs.rglob("key"):
        for line in path.read_text().splitlines():
            assert line.startswith("-----") or len(line) < 20 or line not in said

"""The folders of ACME clients are found as they are, first as issued and then as renewed."""

import os

import pytest

from support import client, tree
from support.authority import TRADITIONAL, write_private
from support.setup import DEFAULT_POLICY, body_of

HOST = "mta-sts.example.com"


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, str):
        data = data.encode()
    if b"PRIVATE KEY" in data:
        write_private(path, data)
    else:
        path.write_bytes(data)


def link(path, target):
    """Makes or swaps a symbolic link, as careful clients do: it is never missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.symlink_to(target)
    os.replace(new, path)


def chain_of(leaf):
    return b"".join(leaf.chain_pem().partition(b"-----END CERTIFICATE-----\n")[2:])


def certbot(root, leaf, number):
    archive, live = root / "archive" / HOST, root / "live" / HOST
    parts = {
        "cert": leaf.leaf_pem(),
        "chain": chain_of(leaf),
        "fullchain": leaf.chain_pem(),
        "privkey": leaf.key_pem(),
    }
    for name, data in parts.items():
        put(archive / f"{name}{number}.pem", data)
    for name in parts:
        link(live / f"{name}.pem", f"../../archive/{HOST}/{name}{number}.pem")
    put(root / "live" / "README", "This directory contains your keys and certificates.\n")
    put(live / "README", "`privkey.pem`  : the private key for your certificate.\n")
    put(root / "renewal" / f"{HOST}.conf", "# renew_before_expiry = 30 days\n")
    return root / "live"


def dehydrated(root, leaf, number):
    folder, stamp = root / "certs" / HOST, 1700000000 + number
    parts = {
        "cert": leaf.leaf_pem(),
        "chain": chain_of(leaf),
        "fullchain": leaf.chain_pem(),
        "privkey": leaf.key_pem(TRADITIONAL),
    }
    for name, data in parts.items():
        put(folder / f"{name}-{stamp}.pem", data)
    put(folder / f"cert-{stamp}.csr", "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n"
        "-----END CERTIFICATE REQUEST-----\n")
    for name in parts:
        link(folder / f"{name}.pem", f"{name}-{stamp}.pem")
    return root / "certs"


def acme_sh(root, leaf, number):
    folder = root / ".acme.sh" / f"{HOST}_ecc"
    put(folder / f"{HOST}.key", leaf.key_pem(TRADITIONAL))
    put(folder / f"{HOST}.cer", leaf.leaf_pem())
    put(folder / "ca.cer", chain_of(leaf))
    put(folder / "fullchain.cer", leaf.chain_pem())
    put(folder / f"{HOST}.conf", f"Le_Domain='{HOST}'\nLe_CertCreateTime='170000000{number}'\n")
    put(folder / f"{HOST}.csr", "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n"
        "-----END CERTIFICATE REQUEST-----\n")
    put(folder / f"{HOST}.csr.conf", "[ req_distinguished_name ]\n")
    return root / ".acme.sh"


def lego(root, leaf, number):
    folder = root / ".lego" / "certificates"
    put(folder / f"{HOST}.crt", leaf.chain_pem())
    put(folder / f"{HOST}.issuer.crt", chain_of(leaf))
    put(folder / f"{HOST}.key", leaf.key_pem(TRADITIONAL))
    put(folder / f"{HOST}.json", f'{{"domain": "{HOST}", "number": {number}}}\n')
    return root / ".lego" / "certificates"


def caddy(root, leaf, number):
    authority = "acme-v02.api.letsencrypt.org-directory"
    folder = root / "caddy" / "certificates" / authority / HOST
    put(folder / f"{HOST}.crt", leaf.chain_pem())
    put(folder / f"{HOST}.key", leaf.key_pem(TRADITIONAL))
    put(folder / f"{HOST}.json", f'{{"sans": ["{HOST}"], "number": {number}}}\n')
    return root / "caddy" / "certificates"


def mailcow(root, leaf, number):
    """The certificate of the mail host lies above those of single names."""
    folder = root / "data" / "assets" / "ssl"
    put(folder / HOST / "cert.pem", leaf.chain_pem())
    put(folder / HOST / "key.pem", leaf.key_pem(TRADITIONAL))
    put(folder / HOST / "domains", HOST + "\n")
    put(folder / HOST / "acme.csr", "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n"
        "-----END CERTIFICATE REQUEST-----\n")
    put(folder / "dhparams.pem", "-----BEGIN DH PARAMETERS-----\nMIIB\n"
        "-----END DH PARAMETERS-----\n")
    if number == 1:
        put(folder / "cert.pem", leaf.other.chain_pem())
        put(folder / "key.pem", leaf.other.key_pem(TRADITIONAL))
    return folder


def haproxy(root, leaf, number):
    del number
    put(root / "haproxy" / "certs" / f"{HOST}.pem", leaf.chain_pem() + leaf.key_pem())
    return root / "haproxy" / "certs"


def kubernetes(root, leaf, number):
    """A mounted secret: everything changes at once by one link."""
    folder, version = root / "secret", f"..2026_01_0{number}"
    put(folder / version / "tls.crt", leaf.chain_pem())
    put(folder / version / "tls.key", leaf.key_pem())
    link(folder / "..data", version)
    for name in ("tls.crt", "tls.key"):
        link(folder / name, f"..data/{name}")
    return folder


LAYOUTS = [certbot, dehydrated, acme_sh, lego, caddy, mailcow, haproxy, kubernetes]


def shown(running, context):
    """The serial number of the certificate that a client sees, after a good fetch."""
    with client.Connection(running.port, HOST, context) as connection:
        response = connection.exchange(client.request(HOST))
        assert (response.status, response.body) == (200, body_of(DEFAULT_POLICY))
        return int(connection.tls.getpeercert()["serialNumber"], 16)


@pytest.fixture
def leaves(authority):
    pair = [authority.issue(HOST, end=30), authority.issue(HOST, end=90)]
    for leaf in pair:
        leaf.other = authority.issue("mail.example.com", kind="RSA 4096")
    return pair


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_layout_is_served_and_renewed(start, setup, trusted, leaves, layout):
    folder = layout(setup.root, leaves[0], 1)
    running = start(setup.write(["example.com"], certificates=[str(folder)]))
    assert shown(running, trusted) == leaves[0].certificate.serial_number
    layout(setup.root, leaves[1], 2)
    assert running.reload()
    assert shown(running, trusted) == leaves[1].certificate.serial_number


def test_every_layout_is_documented():
    page = (tree.ROOT / "config/acme/README.md").read_text()
    for layout in LAYOUTS:
        assert layout.__name__.replace("_", ".") in page.lower()

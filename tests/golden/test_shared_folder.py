"""A folder of certificates that others use, too: what no configured host needs is a note at most."""

import json
import subprocess

import pytest

from support.authority import SECRET
from support.server import run


def check(config):
    done = run("check", "--json", "-c", config)
    return done.returncode, json.loads(done.stdout)


def add_foreign(setup):
    """Certificates without keys and keys without certificates, of kinds that are not taken, and files
    from which nothing can be read."""
    folder = setup.certs / "others"
    folder.mkdir(parents=True)
    other = setup.authority.issue("mta-sts.example.net", "www.example.net")
    (folder / "mail.crt").write_bytes(other.chain_pem())
    (folder / "p521.crt").write_bytes(setup.authority.issue("mta-sts.example.net", kind="P-521").leaf_pem())
    (folder / "secret.key").write_bytes(other.key_pem(secret=SECRET))
    (folder / "cut.key").write_bytes(other.key_pem()[:100])
    (folder / "utf16.pem").write_bytes(other.chain_pem().decode().encode("utf-16"))
    (folder / "link.pem").symlink_to("nowhere")
    for command in (
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", folder / "ssh.key"],
        ["openssl", "crl2pkcs7", "-nocrl", "-certfile", folder / "mail.crt", "-out", folder / "mail.p7b"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    (folder / "ssh.key").chmod(0o644)


@pytest.mark.parametrize("strict", [False, True])
def test_what_others_have_is_a_note(setup, strict):
    setup.certify("example.com")
    add_foreign(setup)
    status, said = check(setup.write(["example.com"], strict=strict))
    assert (status, said["usable"], said["served"], said["errors"], said["warnings"]) == (0, True, 1, 0, 0)
    notes = {one["file"].rsplit("/", 1)[1] for one in said["diagnostics"] if one["file"]}
    assert {"mail.crt", "p521.crt", "secret.key", "utf16.pem", "link.pem", "ssh.key", "mail.p7b"} <= notes
    assert {one["level"] for one in said["diagnostics"]} == {"note"}


def test_the_same_for_a_configured_host_is_an_error(setup):
    setup.certify("example.com")
    add_foreign(setup)
    config = setup.write(["example.com", "example.net"])
    status, said = check(config)
    assert (status, said["served"], said["no_certificate"], said["refused"]) == (1, 1, 1, 0)
    errors = {one["file"].rsplit("/", 1)[1] for one in said["diagnostics"] if one["level"] == "error"}
    assert {"mail.crt", "p521.crt", "secret.key", "cut.key"} <= errors
    summary = run("check", "-c", config).stdout.decode().splitlines()[-1]
    assert "1 domain served, 1 without a certificate, 0 refused; " in summary

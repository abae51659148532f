"""Certificates from an authority, Debian's pebble, with the challenges that our server shows it. What
was issued is served without a restart or a signal, and so is what is renewed."""

import os
import shlex
import shutil
import socket
import ssl
import subprocess

import pytest

from support import acme, client, tree
from support.server import free_port
from support.setup import DEFAULT_POLICY, body_of
from support.wait import until

HOOKS = tree.ROOT / "config" / "acme"
DOMAINS = ["example.com", "example.net", "example.org"]
HOSTS = [f"mta-sts.{domain}" for domain in DOMAINS]
# What is said as certificates come in one after the other.
RENEWALS = [
    r"certificates have changed: loading them again$",
    r"warning: no certificate with its key covers mta-sts\.",
    r"^    (why|fix): ",
    r"certs: No such file or directory$",
    # Half of a pair, while it is being written.
    r"(certificate|key) is left out|no key|belongs to no certificate",
    # The client writes for more than five seconds on a busy machine.
    r"is changed again and again: its changes are not waited for any longer$",
]

pytestmark = pytest.mark.skipif(not shutil.which("pebble"), reason="pebble is not installed")


class Site:
    """A server that has domains and no certificate, and the authority that will issue them."""

    def __init__(self, setup, start, acme_keys):
        self.folder = setup.root
        for name in ("certs", "alpn-certs", "www"):
            (self.folder / name).mkdir(exist_ok=True)
        setup.write(DOMAINS, acme=acme_keys)
        self.server = start(setup.config, expect=RENEWALS)

    def serial_of(self, host, pebble):
        """The number of the certificate that is served, which must be a good one; None: there is none."""
        context = client.trusting(pebble.roots)
        try:
            with socket.create_connection(("127.0.0.1", self.server.port), 10) as stream:
                with context.wrap_socket(stream, server_hostname=host) as secure:
                    return secure.getpeercert()["serialNumber"]
        except ssl.SSLError:
            return None

    def wait_served(self, pebble, but=()):
        """Waits until every host is served with a certificate from pebble; returns their numbers."""

        def serials():
            found = [self.serial_of(host, pebble) for host in HOSTS]
            return None not in found and not set(found) & set(but) and found

        return until(serials, "certificates of all hosts", 20)

    def check_policies(self, pebble):
        context = client.trusting(pebble.roots)
        for host in HOSTS:
            response = client.fetch(self.server.port, host, context)
            assert (response.status, response.body) == (200, body_of(DEFAULT_POLICY))


def run(command, **options):
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
        **options,
    )
    assert done.returncode == 0, f"{done.stdout.decode()}\n{done.stderr.decode()}"


def in_haste(folder):
    """An environment for scripts that sleep out of politeness to a real authority."""
    folder.mkdir()
    (folder / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.05\n")
    (folder / "sleep").chmod(0o755)
    (folder / "mta-sts-httpd").symlink_to(tree.program())
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def dehydrated_settings(site, pebble):
    """What differs from config/acme/dehydrated.conf on this machine."""
    sample = (HOOKS / "dehydrated.conf").read_text().replace("/var/lib/dehydrated", str(site.folder))
    more = {
        "HOOK": HOOKS / "dehydrated-hook",
        "CA": pebble.directory,
        "CURL_OPTS": f"'--noproxy * --cacert {pebble.ca}'",
        "CERTDIR": site.folder / "certs",
        "KEYSIZE": 2048,
    }
    path = site.folder / "dehydrated.conf"
    path.write_text(sample + "".join(f"{key}={value}\n" for key, value in more.items()))
    return path


def test_dehydrated_by_tls_alpn_01(setup, start, authority, tmp_path):
    """The way of thousands of domains: what has no certificate gets one, in groups."""
    site = Site(setup, start, {"alpn": "alpn-certs"})
    port = site.server.port
    environment = {**in_haste(tmp_path / "bin"), "ADDRESS": f"127.0.0.1:{port}"}
    with acme.pebble(
        tmp_path / "pebble", authority, tls_port=port, http_port=free_port()
    ) as pebble:
        settings = dehydrated_settings(site, pebble)
        environment |= {"CONFIG": str(setup.config), "DEHYDRATED": str(settings)}
        assert site.serial_of(HOSTS[0], pebble) is None
        run([HOOKS / "renew"], env=environment)
        serials = site.wait_served(pebble)
        site.check_policies(pebble)
        assert not list((tmp_path / "alpn-certs").iterdir())
        command = ["dehydrated", "--config", settings, "--cron", "--force"]
        run([*command, "--domain", " ".join(HOSTS)], env=environment)
        site.wait_served(pebble, but=serials)
        site.check_policies(pebble)


def test_dehydrated_on_a_new_machine(setup, start, authority, tmp_path):
    """As the README has the lines: nothing is there but the folder."""
    site = Site(setup, start, {"alpn": "alpn-certs"})
    port = site.server.port
    environment = {**in_haste(tmp_path / "bin"), "ADDRESS": f"127.0.0.1:{port}"}
    lines = [line.strip() for line in (HOOKS / "README.md").read_text().splitlines()]
    lines = [line for line in lines if line.startswith("dehydrated ")]
    assert len(lines) == 2 and HOSTS[0] in lines[1]
    with acme.pebble(
        tmp_path / "pebble", authority, tls_port=port, http_port=free_port()
    ) as pebble:
        settings = dehydrated_settings(site, pebble)
        for line in lines:
            assert "/etc/mta-sts/acme/dehydrated.conf" in line
            run(shlex.split(line.replace("/etc/mta-sts/acme/dehydrated.conf", str(settings))), env=environment)
        until(lambda: site.serial_of(HOSTS[0], pebble), "the certificate", 20)


# uacme's library takes its authorities from the system's file alone.
TRUSTING = ["sh", "-c", 'mount --bind "$1" /etc/ssl/certs/ca-certificates.crt && shift && exec "$@"']


def test_uacme_by_http_01(setup, start, authority, tmp_path):
    http_port = free_port()
    site = Site(setup, start, {"http": f"127.0.0.1:{http_port}", "webroot": "www"})
    environment = {**os.environ, "WEBROOT": str(tmp_path / "www")}
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    with acme.pebble(
        tmp_path / "pebble", authority, tls_port=free_port(), http_port=http_port
    ) as pebble:
        command = ["unshare", *user, "--mount", "--propagation", "private"]
        command += [*TRUSTING, "sh", pebble.ca, "uacme", "-y", "-a", pebble.directory]
        command += ["-c", tmp_path / "certs", "-h", HOOKS / "uacme-hook", "-t", "EC", "-b", "256"]
        run([*command, "new"], env=environment)
        for host in HOSTS:
            run([*command, "issue", host], env=environment)
        serials = site.wait_served(pebble)
        site.check_policies(pebble)
        for host in HOSTS:
            run([*command, "-f", "issue", host], env=environment)
        site.wait_served(pebble, but=serials)
        site.check_policies(pebble)

"""A Debian machine that boots its own systemd: the package beside a running Apache, and the service in
each of the forms that config/systemd has a drop-in for."""

import contextlib

import pytest

from support import booted, tree

SERVICE = "mta-sts-httpd.service"
SOCKET = "mta-sts-httpd.socket"
DOMAIN = "example.com"
HOST = "mta-sts." + DOMAIN
PATH = "/.well-known/mta-sts.txt"

pytestmark = pytest.mark.skipif(tree.instrumented(), reason="the package is built without sanitizers")

CONFIGURATION = """certificates: /etc/letsencrypt/live
state: /var/lib/mta-sts
policies: {default: {mode: testing, max_age: 1w, mx: [mail.example.com]}}
domains:
  example.com:
"""

APACHE = """<VirtualHost *:443>
    ServerName www.example.com
    SSLEngine on
    SSLCertificateFile /etc/ssl/test.pem
</VirtualHost>
"""


@contextlib.contextmanager
def machine(folder):
    """A machine that has booted, or a skip with the reason."""
    try:
        made = booted.Machine(folder)
    except booted.NotPossible as reason:
        pytest.skip(f"no machine can be booted here: {reason}")
    with contextlib.closing(made):
        try:
            made.boot()
        except booted.NotPossible as reason:
            pytest.skip(f"no machine can be booted here: {reason}")
        yield made


@pytest.fixture(scope="module", name="debian")
def fixture_debian(tmp_path_factory, authority, package):
    """One machine for all tests of this module, which build upon each other's end: first Apache."""
    with machine(tmp_path_factory.mktemp("debian")) as made:
        made.path("/root/package.deb").write_bytes(package.read_bytes())
        made.path("/root/root.pem").write_bytes(authority.root_file.read_bytes())
        leaf = authority.issue("www.example.com")
        leaf.write(made.path("/etc/ssl/apache"))
        leaf = authority.issue(HOST)
        leaf.write(made.path(f"/etc/letsencrypt/live/{HOST}"))
        made.shell("cat /etc/ssl/apache/* >/etc/ssl/test.pem; chmod -R go= /etc/letsencrypt")
        made.write("/etc/apache2/sites-available/www.conf", APACHE)
        made.shell("a2enmod ssl; a2ensite www; echo ServerName www.example.com >>/etc/apache2/apache2.conf;"
                   "systemctl restart apache2")
        yield made


def fetch(made, host, *more, port=443, path=PATH):
    """What curl gets inside: status and body."""
    done = made.run("curl", "--silent", "--show-error", "--cacert", "/root/root.pem", "--max-time", "10",
                    "--write-out", "\n%{http_code}", "--connect-to", f"::127.0.0.1:{port}", *more,
                    f"https://{host}{path}")
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def assert_apache_serves(made):
    assert fetch(made, "www.example.com", path="/")[0] == 200


def test_package_takes_nothing_from_a_running_apache(debian):
    assert_apache_serves(debian)
    said = debian.do("dpkg", "--install", "/root/package.deb")
    assert "created symlink" not in said.lower(), said
    for unit in (SERVICE, SOCKET):
        assert debian.state(unit) == "inactive"
        assert debian.run("systemctl", "is-enabled", unit).stdout.strip() == "disabled"
    debian.reboot()
    assert_apache_serves(debian)
    assert debian.state(SOCKET) == "inactive"

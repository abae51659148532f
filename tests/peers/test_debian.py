"""The Debian package: what lintian says, and a life of installing, upgrading and removing. That is
done on a copy of this machine's file system that vanishes with its mount namespace."""

import subprocess

import pytest

from support import tree
from support.namespace import in_a_copy

LIFE = """
dpkg --install /file
mta-sts-httpd check
for file in /usr/share/mta-sts-httpd/mta-sts.schema.json /usr/share/mta-sts-httpd/mta-sts-include.schema.json \\
    /usr/share/bash-completion/completions/mta-sts-httpd /usr/share/zsh/vendor-completions/_mta-sts-httpd \\
    /usr/share/fish/vendor_completions.d/mta-sts-httpd.fish
do
    test -s $file
done
echo '# mine' >>/etc/mta-sts/mta-sts.yaml
dpkg --install /file
grep -q mine /etc/mta-sts/mta-sts.yaml
test ! -e /etc/systemd/system/sockets.target.wants/mta-sts-httpd.socket
test ! -e /etc/systemd/system/multi-user.target.wants/mta-sts-httpd.service
mkdir -p /var/lib/private/mta-sts /etc/systemd/system/mta-sts-httpd.service.d
ln -s private/mta-sts /var/lib/mta-sts
echo '# mine' >/etc/systemd/system/mta-sts-httpd.service.d/mine.conf
dpkg --remove mta-sts-httpd
test -e /etc/mta-sts/mta-sts.yaml
test ! -e /usr/sbin/mta-sts-httpd
dpkg --purge mta-sts-httpd
test ! -e /etc/mta-sts
test ! -L /var/lib/mta-sts
test ! -e /var/lib/private/mta-sts
grep -q mine /etc/systemd/system/mta-sts-httpd.service.d/mine.conf
test "$(find /etc/systemd /lib/systemd /usr/lib/systemd -name 'mta-sts-httpd*')" = \
    /etc/systemd/system/mta-sts-httpd.service.d
"""


pytestmark = pytest.mark.skipif(tree.instrumented(), reason="the package is built without sanitizers")


def test_lintian_has_nothing_to_say(package):
    done = subprocess.run(
        # Only who has reported that Debian lacks the package has the number of the report.
        ["lintian", "--allow-root", "--fail-on", "error,warning", "--suppress-tags", "initial-upload-closes-no-bugs",
         package],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_examples_are_in_the_package(package):
    """Not on a copy of this machine, because a slim Debian leaves documentation out."""
    done = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, timeout=60,
                          check=True)
    examples = "./usr/share/doc/mta-sts-httpd/examples"
    names = {line.split()[-1]: line.split()[0] for line in done.stdout.splitlines()}
    for name in ("acme/dehydrated.conf", "proxy/nginx.conf", "mailcow/README.md", "docker/compose.yaml",
                 "systemd/credentials.conf", "prometheus-alerts.yaml", "mta-sts.yaml"):
        assert names[f"{examples}/{name}"] == "-rw-r--r--"
    for name in ("renew", "dehydrated-hook", "uacme-hook"):
        assert names[f"{examples}/acme/{name}"] == "-rwxr-xr-x"
    assert "./usr/share/doc/mta-sts-httpd/mta-sts.yaml" in names


def test_package_is_installed_upgraded_and_removed(package, tmp_path):
    done = in_a_copy(tmp_path, package, LIFE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Failed" not in done.stderr, done.stderr

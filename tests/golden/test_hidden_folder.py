"""A service manager puts a folder without any right in the place of a home directory (ProtectHome=yes).
Whoever may search it all the same finds it empty. What names a file below it is told that, and how to
change it."""

import contextlib
import os
import re

import pytest

from support import server
from support.setup import DEFAULT_POLICY

HINT = (r'{folder} is hidden from this service: "systemctl edit mta-sts-httpd", below \[Service\] '
        r'"ProtectHome=read-only"')


@contextlib.contextmanager
def hidden(folder):
    """Empty and without a right, like that of systemd."""
    os.rename(folder, f"{folder}.away")
    os.mkdir(folder)
    os.chmod(folder, 0)
    try:
        yield
    finally:
        os.rmdir(folder)
        os.rename(f"{folder}.away", folder)


def assert_explained(text, folder, message):
    assert re.search(message + r".*\n(?:    why: .*\n)?    fix: " + HINT.format(folder=re.escape(str(folder))), text), text


@pytest.mark.parametrize(
    "name, message",
    [
        ("*.yaml", "error: cannot be searched: Permission denied"),
        ("more/*.yaml", "error: include .* cannot be searched: "),
        ("one.yaml", "error: cannot be read: "),
    ],
)
def test_included_file(setup, name, message):
    home = setup.root / "home"
    home.mkdir()
    setup.write({"example.com": DEFAULT_POLICY}, include=[f"{home}/{name}"], user=None)
    with hidden(home):
        done = server.run("check", "-c", setup.config)
    assert done.returncode == 1
    assert_explained(done.stderr.decode(), home, message)


def test_configuration_itself(setup):
    home = setup.root / "home"
    home.mkdir()
    with hidden(home):
        done = server.run("check", "-c", home / "mta-sts.yaml")
    assert done.returncode == 1
    assert_explained(done.stderr.decode(), home, "error: cannot be read: ")


def test_domains_of_it_stay_served(setup, start):
    """At a reload, as those of any folder that cannot be searched; and no longer once it is empty."""
    home = setup.root / "home"
    home.mkdir()
    (home / "one.yaml").write_text("domains: {example.net: }\n")
    setup.certify("example.com", "example.net")
    setup.write(["example.com"], include=[f"{home}/*.yaml"])
    running = start(setup.config, expect=["error: cannot be searched", "^ +(why|fix): ", "stale", "note: ", "removed"])
    with hidden(home):
        assert running.reload()
        assert " 2 domains (1 stale), " in running.log()
    (home / "one.yaml").unlink()
    assert running.reload()
    running.wait_line(r"ready: generation 3, \d+ workers?, 1 domain,")

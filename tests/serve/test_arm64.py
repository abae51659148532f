"""The program for arm64, cross-compiled here: it is what an arm64 machine would run, under the emulator
of user programs, with the system calls of this machine's kernel."""

import os
import shutil
import subprocess

import pytest

from support import client, tree
from support.setup import DEFAULT_POLICY, body_of
from support.wait import take_long

QEMU = "qemu-aarch64"
PROGRAM = tree.ROOT / "build" / "arm64" / "static" / "mta-sts-httpd"
pytestmark = [
    pytest.mark.skipif(tree.instrumented(), reason="it is built without sanitizers"),
    pytest.mark.skipif(not tree.is_long(), reason=tree.LONG),
]


@pytest.fixture(scope="session", name="arm64")
def fixture_arm64():
    """The words that run the program."""
    for command in (QEMU, "aarch64-linux-gnu-gcc"):
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not here")
    take_long()
    done = subprocess.run(["make", "arm64"], cwd=tree.ROOT, env={**os.environ, "MAKEFLAGS": ""},
                          capture_output=True, text=True, timeout=1500, check=False)
    if "could not be fetched" in done.stderr:
        pytest.skip(f"no libraries for arm64: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [QEMU, PROGRAM]


def test_it_is_a_hardened_program_for_arm64(arm64):
    told = subprocess.run(["readelf", "--file-header", "--wide", "--dynamic", "--program-headers", arm64[1]],
                          capture_output=True, text=True, timeout=60, check=True).stdout
    assert "AArch64" in told and "INTERP" not in told and "NEEDED" not in told
    assert "DYN (Position-Independent Executable file)" in told and "GNU_RELRO" in told
    version = [subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
               for command in ([tree.program()], arm64)]
    assert version[0].split()[:2] == version[1].split()[:2]


def test_it_checks_as_here(arm64, setup):
    """Byte for byte, a file with faults too."""
    bad = tree.ROOT / "tests" / "golden" / "refuse"
    files = sorted(bad.glob("*.yaml"))[:12]
    assert files
    setup.certify("example.com")
    for config in (setup.write(["example.com"]), *files):
        found = [subprocess.run([*command, "check", "-c", config], capture_output=True, timeout=120, check=False)
                 for command in ([tree.program()], arm64)]
        assert [found[1].returncode, found[1].stdout, found[1].stderr] == \
            [found[0].returncode, found[0].stdout, found[0].stderr], config


@pytest.mark.parametrize("kind", ["P-256", "RSA 2048"])
def test_it_serves_and_reloads(arm64, setup, start, authority, kind):
    """Both kinds of key, both versions of TLS: each signs, and agrees on a key, by its own code."""
    setup.certify("example.com", kind=kind)
    setup.certify("example.net", kind=kind)
    config = setup.write(["example.com"])
    running = start(config, command=[*arm64, "serve", "-c", config], seconds=60,
                    expect=["this machine lacks: ", "no certificate with its key"])

    def assert_serves(domain):
        for version in client.VERSIONS.values():
            context = client.trusting(authority.root_file, version)
            for _ in range(3):
                response = client.fetch(running.port, f"mta-sts.{domain}", context)
                assert (response.status, response.body) == (200, body_of(DEFAULT_POLICY))

    assert_serves("example.com")
    setup.write(["example.com", "example.net"])
    assert running.reload(seconds=60)
    assert_serves("example.net")
    assert_serves("example.com")
    assert subprocess.run([*arm64, "health", "-c", config, "-l", f"127.0.0.1:{running.port}"],
                          capture_output=True, timeout=120, check=False).returncode == 0

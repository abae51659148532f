"""The static program: it needs no library and no loader, and serves like the other."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from support import client, tree
from support.server import Server
from support.setup import DEFAULT_POLICY, body_of

STATIC = Path(os.environ.get("BUILD", tree.ROOT / "build")) / "static" / "mta-sts-httpd"
# Of which glibc takes 1.0 MB, AWS-LC 0.7, our own code 0.55, mbedTLS 0.3 and libyaml 0.1.
MOST_BYTES = 2_800_000
pytestmark = pytest.mark.skipif(
    not STATIC.is_file(), reason="not built: with the sanitizers or the system's mbedTLS"
)


def readelf(option):
    command = ["readelf", "--wide", option, str(STATIC)]
    return subprocess.run(command, capture_output=True, check=True, timeout=60, text=True).stdout


def test_it_needs_nothing_and_lies_anywhere():
    assert "INTERP" not in readelf("--program-headers")
    dynamic = readelf("--dynamic")
    assert "NEEDED" not in dynamic
    assert re.search(r"FLAGS_1.* PIE", dynamic)


def test_it_is_small(tmp_path):
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-o", stripped, STATIC], check=True, timeout=60)
    print(f"{stripped.stat().st_size} bytes")
    assert stripped.stat().st_size <= MOST_BYTES


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_it_finds_a_user_by_name(setup, trusted, monkeypatch):
    monkeypatch.setenv("MTA_STS_HTTPD", str(STATIC))
    setup.certify("example.com")
    with Server.running(setup.write(["example.com"], workers=1, user="nobody")) as server:
        assert client.fetch(server.port, "mta-sts.example.com", trusted).status == 200
        (worker,) = server.workers()
        status = Path(f"/proc/{worker}/status").read_text()
    ids = re.search(r"^nobody:[^:]*:(\d+):(\d+):", Path("/etc/passwd").read_text(), re.M)
    assert re.search(r"^Uid:\t(\d+)", status, re.M)[1] == ids[1]
    assert re.search(r"^Gid:\t(\d+)", status, re.M)[1] == ids[2]


def test_it_names_the_versions_of_its_parts():
    said = subprocess.run([STATIC, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.fullmatch(r"mta-sts-httpd \S+\nTLS: mbedTLS 3\.6\.\d+\ncryptography: .+\nYAML: libyaml [\d.]+\n"
                        r"C library: glibc 2\.\d+\n", said), said


def test_it_serves(setup, trusted, monkeypatch):
    monkeypatch.setenv("MTA_STS_HTTPD", str(STATIC))
    setup.certify("example.com")
    with Server.running(setup.write(["example.com"])) as server:
        assert Path(f"/proc/{server.pid}/exe").samefile(STATIC)
        response = client.fetch(server.port, "mta-sts.example.com", trusted)
        assert (response.status, response.body) == (200, body_of(DEFAULT_POLICY))
        assert server.reload()
        assert client.fetch(server.port, "mta-sts.example.com", trusted).status == 200

"""The source package as Debian's archive would build it: in a Debian 13 of its own, with its mbedTLS, without a
network; lintian at its strictest; and the package's own test. `make archive-test` runs it."""

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support import tree
from support.booted import mirror
from support.wait import take_long

RELEASE = "trixie"
PACKAGES = ["debhelper", "lintian", "autopkgtest", "libyaml-dev", "libmbedtls-dev", "pkgconf", "curl", "openssl", "ca-certificates"]
VERSION = re.search(r"^VERSION := (\S+)$", (tree.ROOT / "Makefile").read_text(), re.M)[1]
AREA = "build-area"
# Only who has reported that Debian lacks the package has its number.
KNOWN = "W: mta-sts-httpd: initial-upload-closes-no-bugs"
# Neither the network nor the processes of this machine are seen inside.
ENTER = """
mount -t proc proc "$1/proc"
mount --bind /dev "$1/dev"
ip link set lo up
exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 sh -euc "$2"
"""

pytestmark = [
    pytest.mark.skipif(not os.environ.get("ARCHIVE"), reason="it takes minutes: make archive-test"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a root of its own"),
    pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="mmdebstrap is not here"),
]


@pytest.fixture(scope="module", name="inside")
def fixture_inside():
    """Runs a line in there, and returns what it printed. The root is gone at the end."""
    take_long()
    folder = Path(os.environ.get("BUILD", tree.ROOT / "build")) / "archive"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    root = folder / "root"
    try:
        subprocess.run(["mmdebstrap", "--quiet", "--variant=buildd", f"--include={','.join(PACKAGES)}",
                        "--dpkgopt=force-unsafe-io", RELEASE, root, mirror()], check=True, timeout=1500)

        def run(line, status=0):
            done = subprocess.run(
                ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
                 "sh", "-euc", ENTER, "sh", root, line],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200,
                check=False)
            assert done.returncode == status, done.stdout[-6000:]
            return done.stdout

        run.root = root
        yield run
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", name="built")
def fixture_built(inside):
    """What is committed or about to be, as an orig tarball with debian/ beside it."""
    area = inside.root / AREA
    source = area / f"mta-sts-httpd-{VERSION}"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=tree.ROOT, capture_output=True, check=False, timeout=60)
    if names.returncode != 0:
        pytest.skip("the source package is made from a git tree")
    for name in names.stdout.decode().split("\0"):
        if name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(tree.ROOT / name, source / name, follow_symlinks=False)
    subprocess.run(["tar", "-czf", f"mta-sts-httpd_{VERSION}.orig.tar.gz", source.name], cwd=area, check=True, timeout=60)
    shutil.copytree(source / "config" / "debian", source / "debian")
    changelog = source / "debian" / "changelog"
    text = changelog.read_text().replace("@VERSION@", VERSION)
    changelog.write_text(text.replace("@DATE@", "Thu, 01 Jan 2026 00:00:00 +0000"))
    said = inside(f"cd /{AREA}/{source.name} && dpkg-buildpackage -us -uc")
    assert "MBEDTLS=bundled" not in said
    return inside


def test_it_builds_with_the_libraries_of_debian(built):
    depends = built(f"dpkg-deb --field /{AREA}/mta-sts-httpd_{VERSION}-1_*.deb Depends")
    assert "libmbedtls21" in depends and "libyaml-0-2" in depends and "libmbedcrypto" in depends


def test_lintian_at_its_strictest(built):
    """No override hides anything."""
    assert not list((tree.ROOT / "config" / "debian").rglob("*lintian-overrides"))
    said = built(f"cd /{AREA} && lintian --allow-root --pedantic --display-info --show-overrides *.changes").splitlines()
    assert [line for line in said if not line.startswith(KNOWN)] == []


def test_its_own_test_passes(built):
    said = built(f"cd /{AREA} && autopkgtest *.changes -- null")
    assert re.search(r"^loopback +PASS$", said, re.M), said[-3000:]

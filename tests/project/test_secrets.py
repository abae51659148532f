"""No branch and no index depends on a secret, as far as valgrind sees: server/crypto/ and what it calls of
AWS-LC, whose marks say what may be known."""

import shutil
import subprocess
from pathlib import Path

import pytest

from support import tree

BUILD = tree.program().parent
pytestmark = pytest.mark.skipif(
    BUILD != tree.ROOT / "build"
    or not (BUILD / "awslc" / "libawslc.a").exists()
    or shutil.which("valgrind") is None
    or not Path("/usr/include/valgrind/memcheck.h").exists(),
    reason="no AWS-LC was built here, or no valgrind is here",
)

# AWS-LC compares a product that is secret with what it can never be: a point beside the curve, and
# the point at infinity.
KNOWN = """{
    whether a product is on the curve
    Memcheck:Cond
    fun:ec_point_mul_scalar
}
{
    whether a product is the point at infinity
    Memcheck:Cond
    fun:EC_POINT_point2oct
}
"""


@pytest.fixture(name="run", scope="module")
def fixture_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secrets")
    program = BUILD / "tests" / "secrets"
    made = subprocess.run(
        ["make", "-C", tree.ROOT, str(program.relative_to(tree.ROOT))],
        capture_output=True, text=True, timeout=110, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    known = folder / "known"
    known.write_text(KNOWN)
    key = folder / "key.der"
    subprocess.run(
        f"openssl genrsa -traditional 2048 | openssl rsa -traditional -outform DER -out {key}",
        shell=True, check=True, capture_output=True, timeout=60)

    def run(argument):
        command = ["valgrind", "-q", "--error-exitcode=9", f"--suppressions={known}", program, argument or key]
        return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)

    return run


def test_nothing_depends_on_a_secret(run):
    done = run(None)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_branch_on_a_secret_is_seen(run):
    done = run("leak")
    assert done.returncode == 9 and "depends on uninitialised value" in done.stderr

"""A release: its bill of materials, checksums and signature. `make release` as a whole takes minutes; what
it calls is tried here on the program under test."""

import json
import os
import re
import shutil
import subprocess

import pytest

from support import tree

SCRIPT = tree.ROOT / "server" / "release.sh"
VERSION = re.search(r"^VERSION := (\S+)$", (tree.ROOT / "Makefile").read_text(), re.M)[1]


def script(*words, status=0, **options):
    done = subprocess.run([str(word) for word in (SCRIPT, *words)], capture_output=True, text=True, timeout=120,
                          check=False, **options)
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture(name="repository")
def fixture_repository(tmp_path, monkeypatch):
    """One with a commit, in which the script works: a copy of the tree may have no history."""
    folder = tmp_path / "repository"
    (folder / "config").mkdir(parents=True)
    for name in ("config/mta-sts-httpd.8", "config/mta-sts.yaml.5", "CHANGELOG.md"):
        shutil.copy(tree.ROOT / name, folder / name)
    for key, value in {"GIT_AUTHOR_DATE": "@1700000000 +0000", "GIT_COMMITTER_DATE": "@1700000000 +0000",
                       "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(key, value)
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=A", "-c", "user.email=a@b.example", "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=folder, check=True, timeout=60)
    return folder


def bill(repository, parts, status=0, program=None):
    program = program or tree.program()
    out = repository / "program.spdx.json"
    environment = {**os.environ, "MBEDTLS_TREE": str(tree.ROOT / "build/mbedtls/source"),
                   "AWSLC_TREE": str(tree.ROOT / "build/awslc/source")}
    done = script("bill", program, parts, out, VERSION, status=status, cwd=repository, env=environment)
    return json.loads(out.read_text()) if status == 0 else done.stderr


@pytest.fixture(name="parts")
def fixture_parts(tmp_path):
    """What the linker has read, with whole paths."""
    listed = tree.program().with_name("mta-sts-httpd.parts")
    if not listed.is_file():
        pytest.skip("the linker lists no inputs here")
    whole = tmp_path / "parts"
    whole.write_text(re.sub(r"(?<=\s)build/", f"{tree.ROOT}/build/", listed.read_text()))
    return whole


@pytest.mark.skipif(tree.instrumented(), reason="a sanitizer is a part that no release has")
@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="the parts come from Debian's packages")
def test_bill_of_materials_names_every_part(repository, parts):
    """What the program needs at run time, and what was linked into it, with version, licence and hash."""
    told = bill(repository, parts)
    assert (told["spdxVersion"], told["creationInfo"]["created"]) == ("SPDX-2.3", "2023-11-14T22:13:20Z")
    packages = {package["packageFileName"]: package for package in told["packages"]}
    needed = subprocess.run(["readelf", "--dynamic", "--wide", tree.program()], capture_output=True, text=True,
                            timeout=60, check=True).stdout
    names = [re.sub(r"(-\d+)?\.so[.\d]*$", "", name) for name in re.findall(r"NEEDED.*\[(.*)\]", needed)]
    assert names
    for name in [*names, "libmbedtls"]:
        assert any(file.startswith(name + ".") for file in packages), (name, list(packages))
    for package in told["packages"]:
        assert package["versionInfo"][0].isdigit() and len(package["checksums"][0]["checksumValue"]) == 64
        assert re.fullmatch(r"[A-Za-z0-9.-]+( (AND|OR|WITH) [A-Za-z0-9.-]+)*", package["licenseDeclared"]), package
    kinds = {relation["relatedSpdxElement"]: relation["relationshipType"] for relation in told["relationships"]}
    assert set(kinds) == {package["SPDXID"] for package in told["packages"]}
    assert set(kinds.values()) == {"DESCRIBES", "STATIC_LINK", "DYNAMIC_LINK"}
    assert bill(repository, parts) == told


def test_part_without_a_licence_or_a_package_ends_the_release(repository, tmp_path):
    (tmp_path / "libother.a").write_bytes(b"!<arch>\n")
    listed = tmp_path / "listed"
    listed.write_text(f"program: \\\n  {tmp_path}/libother.a\n")
    assert "no Debian package has" in bill(repository, listed, status=1)
    assert not (repository / "program.spdx.json").exists()
    listed.write_text("program: \\\n  server/obj/x.o\n")
    assert "names no library" in bill(repository, listed, status=1)


def test_release_is_made_of_what_is_committed(repository, tmp_path):
    script("prepare", tmp_path / "out", VERSION, cwd=repository)
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(first) == {f"mta-sts-httpd-{VERSION}.tar.gz", "mta-sts-httpd.8", "mta-sts.yaml.5"}
    script("prepare", tmp_path / "out", VERSION, cwd=repository)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == first
    (repository / "another").write_text("")
    done = script("prepare", tmp_path / "out", VERSION, cwd=repository, status=1)
    assert "the tree is not clean" in done.stderr and "another" in done.stderr


@pytest.mark.parametrize("kind", ["openssl", "minisign"])
def test_checksums_are_signed(tmp_path, kind):
    if shutil.which(kind) is None:
        pytest.skip(f"{kind} is not here")
    out = tmp_path / "out"
    out.mkdir()
    (out / "b").write_text("b")
    (out / "a").write_text("a")
    script("finish", out)
    assert not list(out.glob("SHA256SUMS.*"))
    secret, public = tmp_path / "secret", tmp_path / "public"
    if kind == "openssl":
        make = [["openssl", "genpkey", "-algorithm", "ed25519", "-out", secret],
                ["openssl", "pkey", "-in", secret, "-pubout", "-out", public]]
        verify = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", out / "SHA256SUMS",
                  "-sigfile", out / "SHA256SUMS.sig"]
    else:
        make = [["minisign", "-G", "-W", "-p", public, "-s", secret]]
        verify = ["minisign", "-V", "-p", public, "-m", out / "SHA256SUMS"]
    for command in make:
        subprocess.run(command, check=True, timeout=60, capture_output=True)
    script("finish", "out", cwd=tmp_path, env={**os.environ, "SIGN_KEY": "secret"})
    assert [line.split()[1] for line in (out / "SHA256SUMS").read_text().splitlines()] == ["a", "b"]
    assert subprocess.run(verify, check=False, timeout=60, capture_output=True).returncode == 0
    with (out / "SHA256SUMS").open("a") as file:
        file.write("\n")
    assert subprocess.run(verify, check=False, timeout=60, capture_output=True).returncode != 0

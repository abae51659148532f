"""A release: its bill of materials, checksums and signature, tried on the program under test; and with
SCAN=all two releases as a whole, of which every file is used."""

import hashlib
import json
import os
import re
import shutil
import subprocess

import pytest

from support import client, tree
from support.namespace import in_a_copy
from support.setup import DEFAULT_POLICY, body_of
from support.wait import take_long

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


# A release as a whole.


def clone(folder):
    """What is committed, with the sources that a build would fetch."""
    subprocess.run(["git", "clone", "--quiet", tree.ROOT, folder], check=True, timeout=120)
    for name in ("mbedtls/source", "awslc/source", "awslc/state.mk"):
        fetched = tree.ROOT / "build" / name
        if fetched.exists():
            (folder / "build" / name).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if fetched.is_dir() else shutil.copy2
            copy(fetched, folder / "build" / name)
    return folder


def build(folder, *words, **variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make", "-C", str(folder), *words], env={**environment, **variables}, capture_output=True,
                          text=True, timeout=1500, check=False)
    if "could not be fetched" in done.stderr:
        pytest.skip(f"no mirror of Debian answers: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(name="released", scope="module")
def fixture_released(tmp_path_factory):
    """The folder of a release, signed with the key whose public half is its sibling "public"."""
    if not tree.is_long():
        pytest.skip(tree.LONG)
    if tree.instrumented() or tree.uses_system_library() or not (tree.ROOT / ".git").exists():
        pytest.skip("a release is made of a git tree, with the bundled library and without sanitizers")
    take_long()
    folder = tmp_path_factory.mktemp("release")
    for command in (["genpkey", "-algorithm", "ed25519", "-out", folder / "secret"],
                    ["pkey", "-in", folder / "secret", "-pubout", "-out", folder / "public"]):
        subprocess.run(["openssl", *command], check=True, timeout=60, capture_output=True)
    found = []
    for name in ("one", "another-with-a-longer-name"):
        source = clone(folder / name)
        build(source, "release", SIGN_KEY=str(folder / "secret"))
        shutil.move(source / "build" / "release", folder / f"{name}.out")
        found.append(contents(folder / f"{name}.out"))
        shutil.rmtree(source)
    assert set(found[0]) == set(found[1])
    assert [name for name in found[0] if found[0][name] != found[1][name]] == []
    return folder / "one.out"


def test_two_clones_give_the_same_bytes(released):
    """The fixture has compared them."""
    name = f"mta-sts-httpd-{VERSION}"
    deb = f"mta-sts-httpd_{VERSION}-1_amd64.deb"
    assert set(contents(released)) == {
        f"{name}.tar.gz", f"{name}-linux-amd64", f"{name}-linux-arm64", f"{name}-linux-amd64.spdx.json",
        f"{name}-linux-arm64.spdx.json", deb, f"{deb}.spdx.json", "mta-sts-httpd.8", "mta-sts.yaml.5", "SHA256SUMS",
        "SHA256SUMS.sig"}


def test_released_checksums_and_signature_hold(released):
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=released, check=True, timeout=60)
    listed = {line.split()[1] for line in (released / "SHA256SUMS").read_text().splitlines()}
    assert listed == set(contents(released)) - {"SHA256SUMS", "SHA256SUMS.sig"}
    subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", released.parent / "public", "-rawin", "-in",
                    released / "SHA256SUMS", "-sigfile", released / "SHA256SUMS.sig"], check=True, timeout=60,
                   capture_output=True)


def test_released_bills_are_those_of_the_programs(released):
    for path in released.glob("*.spdx.json"):
        bill_of = json.loads(path.read_text())
        (program,) = [package for package in bill_of["packages"] if package["SPDXID"] == "SPDXRef-program"]
        digest = hashlib.sha256((released / path.name.removesuffix(".spdx.json")).read_bytes()).hexdigest()
        assert program["checksums"][0]["checksumValue"] == digest
        names = {package["name"] for package in bill_of["packages"]}
        assert "mbedtls" in names and any(name.startswith("libyaml") for name in names), names


@pytest.mark.parametrize("machine", ["amd64", "arm64"])
def test_released_program_serves(released, setup, start, trusted, machine):
    program = released / f"mta-sts-httpd-{VERSION}-linux-{machine}"
    words = [program]
    if machine == "arm64" and os.uname().machine != "aarch64":
        if shutil.which("qemu-aarch64") is None:
            pytest.skip("no emulator is here")
        words = ["qemu-aarch64", program]
    program.chmod(0o755)
    setup.certify("example.com")
    config = setup.write(["example.com"])
    running = start(config, command=[*words, "serve", "-c", config], seconds=60,
                    expect=["this machine lacks: ", "no certificate with its key"])
    response = client.fetch(running.port, "mta-sts.example.com", trusted)
    assert (response.status, response.body) == (200, body_of(DEFAULT_POLICY))
    running.stop()
    said = subprocess.run([*words, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    assert said.split()[:2] == ["mta-sts-httpd", VERSION]


def test_released_package_is_installed(released, tmp_path):
    done = in_a_copy(tmp_path, released / f"mta-sts-httpd_{VERSION}-1_amd64.deb",
                     "dpkg --install /file; mta-sts-httpd --version; mta-sts-httpd check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"mta-sts-httpd {VERSION}" in done.stdout


def test_released_source_builds(released, tmp_path):
    """Without git, and with the sources of the libraries as they were fetched."""
    take_long()
    subprocess.run(["tar", "-xzf", released / f"mta-sts-httpd-{VERSION}.tar.gz", "-C", tmp_path], check=True, timeout=60)
    source = tmp_path / f"mta-sts-httpd-{VERSION}"
    awslc = tree.ROOT / "build/awslc/source"
    build(source, "-j2", "install", f"DESTDIR={tmp_path}/installed", "prefix=/usr",
          MBEDTLS_SRC=str(tree.ROOT / "build/mbedtls/source"), **({"AWSLC_SRC": str(awslc)} if awslc.exists() else {"ACCEL": "0"}))
    said = subprocess.run([tmp_path / "installed/usr/sbin/mta-sts-httpd", "--version"], capture_output=True, text=True,
                          timeout=60, check=True).stdout
    assert said.split()[:2] == ["mta-sts-httpd", VERSION]


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not here")
def test_released_manuals_are_pages(released):
    for name in ("mta-sts-httpd.8", "mta-sts.yaml.5"):
        subprocess.run(["mandoc", "-T", "lint", "-W", "error", released / name], check=True, timeout=60,
                       capture_output=True)

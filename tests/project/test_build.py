"""What the build promises of the program: every hardening flag is in it, and it is reproducible."""

import os
import re
import shutil
import subprocess

import pytest

from support import tree
from support.wait import take_long

BUILD = tree.program().parent


def readelf(*options, path=None):
    command = ["readelf", "--wide", *options, str(path or tree.program())]
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        command, capture_output=True, check=True, timeout=60, env=environment, text=True
    ).stdout


def segments():
    """Type to the letters of its rights, for each segment."""
    found = {}
    pattern = r"^  ([A-Z_]+) +0x\w+ 0x\w+ 0x\w+ 0x\w+ 0x\w+ ([RWE ]{3})"
    for kind, rights in re.findall(pattern, readelf("--program-headers"), re.M):
        found.setdefault(kind, set()).add(rights.replace(" ", ""))
    return found


def dynamic():
    """Tag to values of the dynamic section."""
    found = {}
    for tag, value in re.findall(r"^ 0x\w+ \((\w+)\) +(.*)$", readelf("--dynamic"), re.M):
        found.setdefault(tag, []).append(value)
    return found


def needed_symbols():
    text = readelf("--dyn-syms")
    return set(re.findall(r" UND (\w+)", text))


def is_dynamic():
    return any("libc.so.6" in value for value in dynamic().get("NEEDED", []))


def test_it_is_position_independent():
    assert re.search(r"^  Type: +DYN \(", readelf("--file-header"), re.M)
    assert "PIE" in " ".join(dynamic()["FLAGS_1"])


def test_nothing_is_writable_and_executable():
    found = segments()
    assert found["GNU_STACK"] == {"RW"}
    assert found["LOAD"], "no segment was seen"
    assert not [rights for rights in found["LOAD"] if "W" in rights and "E" in rights]


def test_relocations_are_done_at_the_start_and_read_only_then():
    assert segments()["GNU_RELRO"] == {"R"}
    tags = dynamic()
    assert "NOW" in " ".join(tags["FLAGS_1"])
    assert "TEXTREL" not in tags and "TEXTREL" not in " ".join(tags.get("FLAGS", []))


def test_no_library_is_looked_for_in_odd_places():
    assert not {"RPATH", "RUNPATH"} & set(dynamic())


def test_it_has_a_build_id():
    """Of the contents: with it a debugger finds the right symbols, and nothing else differs."""
    assert re.search(r"Build ID: [0-9a-f]{40}$", readelf("--notes"), re.M)


@pytest.mark.skipif(not is_dynamic(), reason="only glibc's symbols tell, and it is not glibc")
def test_stack_and_buffers_are_guarded():
    symbols = needed_symbols()
    assert "__stack_chk_fail" in symbols
    if not tree.instrumented():
        assert {"__recv_chk", "__vsnprintf_chk", "__memcpy_chk"} <= symbols, symbols


@pytest.mark.parametrize("name", ["mbedtls/libmbedtls.a", "awslc/libawslc.a"])
def test_stacks_of_the_libraries_are_guarded(name):
    archive = BUILD / name
    if not archive.exists():
        pytest.skip("not built here")
    command = ["nm", "--undefined-only", archive]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True)
    assert re.search(r"^ +U __stack_chk_fail$", done.stdout, re.M)


def compiler_knows(flag):
    compiler = os.environ.get("CC", "cc").split()
    command = [*compiler, "-Werror", flag, "-S", "-o", os.devnull, "-x", "c", os.devnull]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    "flag, words",
    [("-fcf-protection", ["IBT", "SHSTK"]), ("-mbranch-protection=standard", ["BTI", "PAC"])],
    ids=["x86-64", "arm64"],
)
def test_jumps_are_guarded(flag, words):
    """In every object that we compile, AWS-LC's assembly too; whether the program is marked is up to
    the C library."""
    archives = [BUILD / "libmta-sts-httpd.a", BUILD / "mbedtls/libmbedtls.a", BUILD / "awslc/libawslc.a"]
    archives = [archive for archive in archives if archive.exists()]
    if not archives or not compiler_knows(flag):
        pytest.skip("no objects here, or this compiler cannot do it for this processor")
    objects = []
    for archive in archives:
        objects += re.split(r"^File: ", readelf("--notes", path=archive), flags=re.M)[1:]
    assert len(objects) > 50 * len(archives) - 25
    for text in objects:
        # s2n-bignum's assembly has no marks of arm64 (AWS-LC 5.1); it is called directly only.
        if "BTI" in words and re.match(r"\S*(bignum|curve25519_x25519|p256_mont|p384_mont)\w*\.S\.o", text):
            continue
        assert all(word in text for word in words), text.splitlines()[0]


def functions(*paths):
    """Name to address of each function that other files may call."""
    command = ["nm", "--extern-only", "--defined-only", *paths]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, text=True)
    return {name: int(at, 16) for at, name in re.findall(r"^(\w+) T (\w+)$", done.stdout, re.M)}


def test_what_serves_lies_together():
    """Memory has 64 KB of the program around all that runs: nothing that only a loader or a command
    needs is in between."""
    resident = {"base", "policy", "site", "shared", "http", "crypto", "sandbox", "serve", "supervise"}
    found, first, last = functions(tree.program()), [], []
    for source in tree.ROOT.glob("server/*/*.c"):
        compiled = BUILD / "obj" / source.relative_to(tree.ROOT).with_suffix(".o")
        if compiled.exists():
            names = functions(compiled).keys() & found.keys()
            where = first if source.parent.name in resident else last
            where += [found[name] for name in names]
    if not found or not first:
        pytest.skip("the program is stripped, or its objects are not here")
    assert len(first) > 100 and len(last) > 100
    assert max(first) < min(last)


def test_the_environment_does_not_choose_the_processor():
    """AWS-LC would let a variable switch off what the processor can, and be slower or fail."""
    for name in (b"OPENSSL_ia32cap\0", b"OPENSSL_armcap\0"):
        assert name not in tree.program().read_bytes()


def copy_source(folder):
    """The source and the finished libraries, which take too long to be built again."""
    below = BUILD.relative_to(tree.ROOT)
    shutil.copytree(tree.ROOT / "server", folder / "server")
    shutil.copy2(tree.ROOT / "Makefile", folder)
    for library in ("mbedtls", "awslc"):
        flags, made = below / f"{library}.flags", below / library
        if (tree.ROOT / flags).exists():
            (folder / below).mkdir(parents=True, exist_ok=True)
            shutil.copy2(tree.ROOT / flags, folder / flags)
            shutil.copytree(
                tree.ROOT / made, folder / made, ignore=shutil.ignore_patterns("source", "apt.*")
            )
        source = tree.ROOT / "build" / library / "source"
        if source.exists():
            (folder / "build" / library).mkdir(parents=True, exist_ok=True)
            (folder / "build" / library / "source").symlink_to(source)
    return folder / below / "mta-sts-httpd"


def make(*words, folder, **variables):
    inherited = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "SAN", "NO_INSTALL")
    environment = {name: value for name, value in os.environ.items() if name not in inherited} | variables
    return subprocess.run(["make", "-C", str(folder), *map(str, words)], capture_output=True, check=False,
                          timeout=900, env=environment, text=True)


@pytest.mark.skipif(
    tree.instrumented() or tree.program() != tree.ROOT / "build" / "mta-sts-httpd",
    reason="nobody installs what is built for the sanitizers; or it was not built here",
)
def test_another_build_is_the_same(tmp_path):
    """The program, which was built bit by bit as its source changed, and one of a clean build in another
    folder. `make reproducible` builds all twice, the libraries too."""
    newest = max(path.stat().st_mtime for path in (tree.ROOT / "server").rglob("*.[ch]"))
    if newest > tree.program().stat().st_mtime:
        pytest.skip("the program is older than its source: make")
    take_long()
    program = copy_source(tmp_path / "a-folder-with-another-name")
    done = make("-j2", "build/mta-sts-httpd", folder=program.parent.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    built = program.read_bytes()
    assert built == tree.program().read_bytes()
    assert str(tmp_path).encode() not in built and str(tree.ROOT).encode() + b"/" not in built


@pytest.mark.skipif(
    tree.uses_system_library() or not (tree.ROOT / "build" / "mbedtls" / "source").exists(),
    reason="with the system's mbedTLS nothing is fetched",
)
def test_it_builds_without_the_source_of_aws_lc(tmp_path):
    """Where no mirror answers; what would be done is enough to see."""
    shutil.copytree(tree.ROOT / "server", tmp_path / "server")
    shutil.copy2(tree.ROOT / "Makefile", tmp_path)
    (tmp_path / "build" / "mbedtls").mkdir(parents=True)
    (tmp_path / "build" / "mbedtls" / "source").symlink_to(tree.ROOT / "build" / "mbedtls" / "source")
    nowhere = {"DEBIAN_MIRROR": "http://127.0.0.1:9/debian"}
    for reason in ("could not be fetched", None):
        done = make("-n", "ACCEL=1", "AWSLC_SRC=", "build/mta-sts-httpd", folder=tmp_path, **nowhere)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "without AWS-LC" in done.stdout and "--wrap" not in done.stdout
        # It is tried once, not by every make.
        assert (reason or "") in done.stderr and (reason or "could not" not in done.stderr)
    # What is asked for by name must be there and be what it is said to be.
    done = make("-n", "ACCEL=1", f"AWSLC_SRC={tmp_path}", "build/mta-sts-httpd", folder=tmp_path, **nowhere)
    assert done.returncode != 0 and "is no source of AWS-LC" in done.stderr


@pytest.fixture(name="lacking")
def fixture_lacking(tmp_path):
    """A copy of the source on a machine without libyaml's headers, whose apt-get only notes what it is asked."""
    shutil.copytree(tree.ROOT / "server", tmp_path / "server")
    shutil.copy2(tree.ROOT / "Makefile", tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("apt-get", "sudo"):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\nexit 1\n')
        program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PKG_CONFIG_LIBDIR": str(tmp_path),
                   "PKG_CONFIG_PATH": ""}

    def run(*goals):
        done = make(*goals, folder=tmp_path, **environment)
        asked = tmp_path / "asked"
        return done, asked.read_text() if asked.exists() else ""

    run.folder = tmp_path
    return run


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="packages are Debian's")
def test_build_names_what_is_missing_and_installs_nothing(lacking):
    done, asked = lacking()
    assert done.returncode != 0 and asked == "", asked
    assert re.search(r"^error: missing \(to build.*\): (\S+ )*libyaml-dev\b", done.stderr, re.M), done.stderr
    assert re.search(r"^Install with: (sudo )?apt-get install --no-install-recommends .*libyaml-dev", done.stderr, re.M)
    # That AWS-LC could not be had is not remembered.
    assert not (lacking.folder / "build" / "awslc" / "state.mk").exists()
    assert "without AWS-LC" not in done.stdout


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="packages are Debian's")
def test_run_installs_what_is_missing_and_says_so_first(lacking):
    done, asked = lacking("run")
    assert done.returncode != 0
    assert re.search(r"^Installing Debian packages \(to .*run.*\): (\S+ )*libyaml-dev\b", done.stdout, re.M), done.stdout
    assert "--no-install-recommends install" in asked and "libyaml-dev" in asked

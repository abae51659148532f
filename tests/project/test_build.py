"""What the build promises of the program: every hardening flag is in it, and it is reproducible."""

import os
import re
import shutil
import subprocess

import pytest

from support import tree

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
    return below / "mta-sts-httpd"


@pytest.mark.skipif(
    tree.instrumented() or BUILD != tree.ROOT / "build",
    reason="nobody installs what is built for the sanitizers; or it was not built here",
)
def test_two_builds_are_the_same(tmp_path):
    """In two folders with names of different lengths. `make reproducible` builds the libraries twice too."""
    environment = {**os.environ, "NO_INSTALL": "1", "SOURCE_DATE_EPOCH": "1700000000"}
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        environment.pop(name, None)
    built = []
    for name in ("one", "another-with-a-longer-name"):
        folder = tmp_path / name
        program = copy_source(folder)
        command = ["make", "-C", str(folder), "-j2", str(program)]
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=110, env=environment, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        built.append((folder / program).read_bytes())
    assert built[0] == built[1]
    assert str(tmp_path).encode() not in built[0]


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
    environment = {**os.environ, "NO_INSTALL": "1", "DEBIAN_MIRROR": "http://127.0.0.1:9/debian"}
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "ACCEL", "AWSLC_SRC"):
        environment.pop(name, None)
    for reason in ("could not be fetched", None):
        done = subprocess.run(
            ["make", "-n", "-C", str(tmp_path), "build/mta-sts-httpd"],
            capture_output=True, check=False, timeout=100, env=environment, text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "without AWS-LC" in done.stdout and "--wrap" not in done.stdout
        # It is tried once, not by every make.
        assert (reason or "") in done.stderr and (reason or "could not" not in done.stderr)
    # What is asked for by name must be there and be what it is said to be.
    done = subprocess.run(
        ["make", "-n", "-C", str(tmp_path), f"AWSLC_SRC={tmp_path}", "build/mta-sts-httpd"],
        capture_output=True, check=False, timeout=100, env=environment, text=True,
    )
    assert done.returncode != 0 and "is no source of AWS-LC" in done.stderr

"""What "import" makes of what people have: exact bytes out, exact diagnostics out.

import/NAME.yaml holds the standard output of a case and import/NAME.err its standard error.
"REGENERATE=1 pytest tests/golden" writes them anew; read the difference before you commit.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from support import tree

HERE = Path(__file__).parent / "import"

# Name, exit status, arguments. The commands run in the folder of the files.
CASES = [
    (
        "guides",
        0,
        "mdaemon-schulung.de=guides/mdaemon.txt solarmora.com=guides/google.txt "
        "example.com=guides/mailcow.txt tachtler.net=guides/wiki.txt nausch.org=guides/wiki.txt",
    ),
    ("mended", 0, "example.com=faults/mended.txt"),
    (
        "decide",
        1,
        "example.com=faults/decide.txt example.net=faults/page.txt example.org=faults/empty.txt "
        "hostile.example=faults/hostile.txt missing.example=faults/nothing.txt "
        "good.example=guides/mailcow.txt",
    ),
    ("names", 1, "a_b.example=guides/wiki.txt MTA-STS.Example.COM=guides/wiki.txt com=guides/wiki.txt"),
    # Nothing listens on that port, so that every name is told with its place.
    ("search", 1, "--connect 127.0.0.1:1 --search search"),
    ("search-file", 1, "--connect 127.0.0.1:1 --search search/site/main.conf"),
    ("search-nothing", 1, "--connect 127.0.0.1:1 --search search/style.css"),
    ("search-missing", 1, "--connect 127.0.0.1:1 --search search/missing"),
]


def run(arguments, folder=HERE):
    command = [str(tree.program()), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)


def compare(path, output):
    if os.environ.get("REGENERATE"):
        path.write_bytes(output)
    assert output.decode() == path.read_bytes().decode()


@pytest.mark.parametrize("name, status, arguments", CASES, ids=[case[0] for case in CASES])
def test_exact_output(program, name, status, arguments):
    del program
    done = run(["import", *arguments.split()])
    compare(HERE / f"{name}.yaml", done.stdout)
    compare(HERE / f"{name}.err", done.stderr)
    assert done.returncode == status


def domains_of(text):
    """The domains that are written, and those that stand in comments."""
    below = text.partition("\ndomains:\n")[2]
    found = re.findall(r'^  "?([a-z0-9.-]+)"?:', below, re.M)
    return found, re.findall(r"^  # (\S+):(?: #.*)?\n  #   left out: ", below, re.M)


@pytest.mark.parametrize("name", [case[0] for case in CASES])
def test_check_accepts_what_was_written(program, authority, tmp_path, name):
    """With certificates in place of those that are named, which this machine has not."""
    del program
    text = (HERE / f"{name}.yaml").read_text()
    domains, _ = domains_of(text)
    text = re.sub(r"^certificates:\n(  - .*\n)+", "", text, flags=re.M)
    config = tmp_path / "mta-sts.yaml"
    config.write_text("certificates: certs\n" + text)
    (tmp_path / "certs").mkdir()
    if domains:
        authority.issue(*(f"mta-sts.{domain}" for domain in domains)).write(tmp_path / "certs")
    checked = run(["check", "-c", config])
    assert checked.returncode == 0, (checked.stderr + checked.stdout).decode()
    expected = b"%d domain%s served, 0 refused" % (len(domains), b"" if len(domains) == 1 else b"s")
    assert expected in checked.stdout


# What stands in the files of the folder, as a reader sees who knows the servers.
SEARCHED = {
    "asked": "a.example b.example c.example d.example e.example example.com example.net example.org "
    "moved.example ok.example up.example included.example",
    "many": {
        "Caddyfile": [1, 3, 7, 12, 14],
        "apache.conf": [4, 5, 6, 8, 12, 16],
        "haproxy.cfg": [4, 5, 7],
        "lighttpd.conf": [3, 4],
        "nginx.conf": [1, 4, 5, 5, 6, 6],
        "traefik.yml": [2, 3, 4],
    },
}


def test_all_names_are_found_and_no_others(program):
    del program
    done = run(["import", *"--connect 127.0.0.1:1 --json --search search".split()])
    found = json.loads(done.stdout)
    assert sorted(row["domain"] for row in found["domains"]) == sorted(SEARCHED["asked"].split())
    many = {}
    for item in found["diagnostics"]:
        if "cannot be listed" in item["message"] and item["level"] == "error":
            assert "name the domains" in item["hint"]
            many.setdefault(item["file"].partition("/")[2], []).append(item["line"])
    assert {file: sorted(lines) for file, lines in many.items()} == SEARCHED["many"]
    assert (done.returncode, done.stderr) == (1, b"")


def test_what_is_enabled_is_read_once(program, tmp_path):
    """Through links, as Debian has them; a name in a file that is not enabled is asked for, too."""
    del program
    for folder in ("sites-available", "sites-enabled", "snippets"):
        (tmp_path / folder).mkdir()
    for name in ("on", "off"):
        text = f"server {{ listen 443 ssl; server_name mta-sts.{name}.example *.{name}.example; }}\n"
        (tmp_path / "sites-available" / name).write_text(text)
    (tmp_path / "sites-enabled" / "on").symlink_to("../sites-available/on")
    (tmp_path / "sites-enabled" / "round").symlink_to("../sites-enabled")
    done = run(["import", "--connect", "127.0.0.1:1", "--json", "--search", tmp_path])
    found = json.loads(done.stdout)
    assert [row["named_in"] for row in found["domains"]] == [
        str(tmp_path / "sites-enabled/on"),
        str(tmp_path / "sites-available/off"),
    ]
    levels = [
        (item["file"], item["level"])
        for item in found["diagnostics"]
        if "cannot be listed" in item["message"]
    ]
    assert levels == [
        (str(tmp_path / "sites-enabled/on"), "error"),
        (str(tmp_path / "sites-available/off"), "note"),
    ]


def test_huge_and_binary_files(program, tmp_path):
    """A file that is too large is named; one that is no text is passed over; a pipe is not opened."""
    del program
    (tmp_path / "large.conf").write_bytes(b"# mta-sts.large.example\n" * 800_000)
    (tmp_path / "binary").write_bytes(b"\0server_name mta-sts.binary.example;\n")
    (tmp_path / "words").write_bytes(b"mta-sts.*" * 100_000 + b"\n" + b"_;" * 100_000)
    os.mkfifo(tmp_path / "pipe")
    done = run(["import", "--connect", "127.0.0.1:1", "--search", tmp_path])
    assert done.returncode == 1
    assert f"{tmp_path}/large.conf: error: cannot be searched: it is too large" in done.stderr.decode()
    assert b"binary.example" not in done.stdout + done.stderr


def test_folders_and_files_may_be_mixed(program, tmp_path):
    """A shell expands a pattern to several words."""
    del program
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"server_name mta-sts.{name}.example;\n")
    (tmp_path / "policy").write_bytes((HERE / "guides/mailcow.txt").read_bytes())
    paths = [tmp_path / "a", tmp_path / "b", f"c.example={tmp_path}/policy", "d.example"]
    done = run(["import", "--connect", "127.0.0.1:1", "--search", *map(str, paths)])
    assert domains_of(done.stdout.decode()) == (["c.example"], ["d.example", "a.example", "b.example"])


def test_files_that_are_not_read(program, tmp_path):
    """A file that the operator names may be any link; what the search finds may not."""
    del program
    policy = tmp_path / "policy"
    policy.write_bytes((HERE / "guides/mailcow.txt").read_bytes())
    link = tmp_path / "link.conf"
    link.symlink_to(policy)
    if os.geteuid() == 0:
        os.chown(policy, 65534, 65534)
        os.chown(link, 1, 1, follow_symlinks=False)
    done = run(["import", f"example.com={link}"])
    assert (done.returncode, b"mode: enforce" in done.stdout) == (0, True), done.stderr
    done = run(["import", "example.com=/dev/null"])
    assert (done.returncode, done.stdout.count(b"it is not a regular file")) == (1, 1)
    assert b"/dev/null: error: the policy of example.com cannot be read: it is not a regular file\n" in done.stderr
    if os.geteuid() == 0:
        done = run(["import", "--connect", "127.0.0.1:1", "--search", str(link)])
        assert f"{link}: error: cannot be searched: a link on its path belongs neither" in done.stderr.decode()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("example.com=", b'not of the form DOMAIN or DOMAIN=FILE: "example.com="'),
        ("=x", b"not of the form"),
        ("good.example=f bad", b'not of the form DOMAIN or DOMAIN=FILE: "bad"'),
        ("/etc/nginx", b"not of the form"),
        ("--connect mail.example.com example.com", b"not an address"),
        ("--apache x", b"write --search PATH"),
        ("--nginx x", b"write --search PATH"),
        ("--root x example.com=f", b"--connect ADDRESS"),
        ("--url example.com", b"write import DOMAIN..."),
        ("--ids=x example.com=f", b"write --keep-id"),
    ],
)
def test_usage(program, arguments, words):
    """What is wrong is named; of an option that is gone the new form."""
    del program
    done = run(["import", *arguments.split()])
    assert (done.returncode, done.stdout) == (2, b"")
    assert words in done.stderr

"""What "import" makes of what people have: exact bytes out, exact diagnostics out.

import/NAME.yaml holds the standard output of a case and import/NAME.err its standard error.
"REGENERATE=1 pytest tests/golden" writes them anew; read the difference before you commit.
"""

import os
import re
import shutil
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
    (
        "ids",
        0,
        "--ids guides/zone mdaemon-schulung.de=guides/mdaemon.txt solarmora.com=guides/google.txt "
        "example.com=guides/mailcow.txt tachtler.net=guides/wiki.txt nausch.org=guides/wiki.txt "
        "bad.example=guides/wiki.txt changed.example=faults/short.txt",
    ),
    ("ids-missing", 1, "--ids guides/nothing tachtler.net=guides/wiki.txt"),
    ("guide-apache", 0, "--apache --root guides guides/wiki.conf"),
    ("mended", 0, "example.com=faults/mended.txt"),
    (
        "decide",
        1,
        "example.com=faults/decide.txt example.net=faults/page.txt example.org=faults/empty.txt "
        "hostile.example=faults/hostile.txt missing.example=faults/nothing.txt "
        "good.example=guides/mailcow.txt",
    ),
    ("names", 1, "a_b.example=guides/wiki.txt MTA-STS.Example.COM=guides/wiki.txt com=guides/wiki.txt"),
    ("nginx", 1, "--nginx --root nginx /etc/nginx/nginx.conf"),
    ("nginx-site", 0, "--nginx --root nginx nginx/etc/nginx/sites-enabled/10-shared"),
    ("apache", 1, "--apache --root apache /etc/apache2/apache2.conf"),
]
CASES += [
    (f"broken-{name}", 1, f"--nginx broken/{name}.conf")
    for name in ("quote", "block", "semicolon", "brace", "include", "none", "nothing")
]
CASES += [("broken-section", 1, "--apache broken/section.conf")]


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
    return found, re.findall(r"^  # (\S+) needs a decision first:", below, re.M)


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


SERVED = {
    "nginx": {
        "one.example": "hoster",
        "two.example": "hoster",
        "three.example": "hoster",
        "root.example": "hoster",
        "prefix.example": "mx",
        "inherit.example": "mx",
        "plain.example": "mx",
        "return.example": b"version: STSv1\r\nmode: testing\r\nmx: mx1.return.example\r\n"
        b"mx: mx2.return.example\r\nmax_age: 86400\r\n",
        "lines.example": b"version: STSv1\r\nmode: enforce\r\nmx: mail.mta-sts.lines.example\r\n"
        b"max_age: 1209600\r\n",
    },
    "apache": {
        "tachtler.net": (HERE / "guides/wiki.txt").read_bytes().replace(b"\n", b"\r\n"),
        "one.example": "hoster",
        "two.example": "hoster",
        "three.example": "hoster",
        "folder.example": "hoster",
        "match.example": "hoster",
        "location.example": "hoster",
        "plain.example": "hoster",
    },
}


@pytest.mark.parametrize("name", SERVED)
def test_the_policies_are_those_of_the_old_server(program, name):
    """Read with the eyes of somebody who knows the two servers, not with those of the program."""
    del program
    hoster = (HERE / "nginx/srv/mta-sts/hoster.txt").read_bytes()
    known = {"hoster": hoster, "mx": hoster.replace(b"mx: mail.", b"mx: mx.")}
    domains, _ = domains_of((HERE / f"{name}.yaml").read_text())
    assert sorted(domains) == sorted(SERVED[name])
    for domain, body in SERVED[name].items():
        policy = run(["policy", "-c", f"{name}.yaml", domain])
        assert policy.stdout == known.get(body, body), domain


def test_links_of_a_copied_tree_stay_in_it(program, tmp_path):
    """An absolute link in a copy means a file of the copy, not one of this machine."""
    del program
    copy = tmp_path / "copy"
    shutil.copytree(HERE / "nginx", copy)
    sites = copy / "etc/nginx/sites-enabled"
    available = copy / "etc/nginx/sites-available"
    available.mkdir()
    (sites / "10-shared").rename(available / "shared")
    (sites / "10-shared").symlink_to("/etc/nginx/sites-available/shared")
    arguments = ["import", "--nginx", "--root"]
    moved = run([*arguments, copy, "/etc/nginx/nginx.conf"])
    assert moved.stdout.decode() == (HERE / "nginx.yaml").read_text()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("", b"missing operand"),
        ("example.com", b'not of the form DOMAIN=FILE: "example.com"'),
        ("example.com=", b"not of the form"),
        ("=x", b"not of the form"),
        ("--apache --nginx x", b"only one of"),
        ("--url --nginx x", b"only one of"),
    ],
)
def test_usage(program, arguments, words):
    del program
    done = run(["import", *arguments.split()])
    assert (done.returncode, done.stdout) == (2, b"")
    assert words in done.stderr

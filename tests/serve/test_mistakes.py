"""Twelve mistakes in twelve places: twelve diagnostics in one run, and the good domains are served."""

import json
import os
import re
import socket
import ssl

import pytest

from support import client
from support.server import run

CONFIG = """\
listen: "127.0.0.1:0"
certificates: certs
include: drop-in.yaml
policies:
  default: {mode: enforce, max_age: 2w, mx: [mail.example.com]}
  case: {mode: Enforce, max_age: 2w, mx: [mail.example.com]}
  short: {mode: enforce, max_age: 60, mx: [mail.example.com]}
  address: {mode: enforce, max_age: 2w, mx: [mail.example.com, 192.0.2.25]}
  empty: {mode: none, max_age: 2w}
domains:
  good1.example:
  good2.example: {policy: default, mode: testing}
  bad1.example: case
  bad2.example: short
  bad3.example: address
  bad4.example: empty
  bad5.example: nothing
  bad6.example: {policy: default, modus: testing}
  bad7.example: {policy: default, max_age: 2w, max_age: 3w}
  bad8.example: [default]
  bad9.example: {policy: default, mx: "*.*.example"}
  bad_10.example:
  bad11.example: {policy: default, tls_rpt: nobody}
"""
DROP_IN = """\
domains:
  good3.example: default
  bad12.example: {policy: default, mx: mail.example.com.}
"""
MISTAKES = {
    ("config.yaml", 6, 16, 'mode "Enforce"'),
    ("config.yaml", 7, 35, "max_age 60"),
    ("config.yaml", 8, 64, 'mx "192.0.2.25"'),
    ("config.yaml", 9, 3, "no mx"),
    ("config.yaml", 17, 17, 'policy "nothing"'),
    ("config.yaml", 18, 35, 'key "modus"'),
    ("config.yaml", 19, 48, 'key "max_age"'),
    ("config.yaml", 20, 17, "not a list"),
    ("config.yaml", 21, 39, 'mx "*.*.example"'),
    ("config.yaml", 22, 3, 'domain "bad_10.example"'),
    ("config.yaml", 23, 45, 'tls_rpt "nobody"'),
    ("drop-in.yaml", 3, 40, 'mx "mail.example.com."'),
}
GOOD = ["good1.example", "good2.example", "good3.example"]
BAD = [f"bad{number}.example" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12)]


@pytest.fixture
def config(tmp_path, authority):
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "drop-in.yaml").write_text(DROP_IN)
    names = ["mta-sts." + domain for domain in [*GOOD, *BAD]]
    authority.issue(*names).write(tmp_path / "certs")
    return tmp_path / "config.yaml"


def errors_of(config):
    checked = run("check", "--json", "-c", config.name, cwd=config.parent)
    report = json.loads(checked.stdout)
    assert checked.returncode == 1
    return report, [one for one in report["diagnostics"] if one["level"] == "error"]


def test_each_mistake_is_told_once_in_its_place(config):
    report, errors = errors_of(config)
    assert len(errors) == report["errors"] == 12
    told = {(one["file"], one["line"], one["column"]): one["message"] for one in errors}
    for file, line, column, words in MISTAKES:
        assert words in told[file, line, column]
    assert (report["usable"], report["served"], report["refused"]) == (True, 3, 11)


def test_the_text_says_the_same(config):
    checked = run("check", "-c", config.name, cwd=config.parent)
    lines = checked.stderr.decode().splitlines()
    found = {line.split(" error: ")[0] for line in lines if " error: " in line}
    assert found == {f"{file}:{line}:{column}:" for file, line, column, _ in MISTAKES}
    assert checked.stdout == b"config.yaml: 3 domains served, 11 refused; 12 errors, 0 warnings\n"
    assert checked.returncode == 1


def test_good_domains_are_served_and_bad_ones_are_not(config, start, trusted):
    server = start(config, expect=[r"error: |note: |^    (why|fix): |\(11 refused\)"])
    for domain in GOOD:
        answer = client.fetch(server.port, "mta-sts." + domain, trusted)
        assert answer.status == 200
        assert answer.body == run("policy", "-c", config, domain).stdout
    for domain in BAD:
        answer = client.fetch(server.port, "mta-sts." + domain, trusted)
        assert (answer.status, answer.body) == (503, b"policy-unavailable\n")
    with pytest.raises(ssl.SSLError, match="unrecognized name"):
        client.fetch(server.port, "mta-sts.bad-10.example", trusted)


def test_strict_starts_nothing(config):
    config.write_text(CONFIG + "strict: true\n")
    report, errors = errors_of(config)
    assert (report["usable"], len(errors)) == (False, 12)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % taken.getsockname()[1]
    served = run("serve", "-c", config, "-l", address)
    assert served.returncode == 1
    assert served.stderr.decode().splitlines()[-1] == "mta-sts-httpd: error: not started"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 5)


def test_folder_that_a_service_manager_hides_is_named(setup):
    """systemd puts an empty folder without any right in the place of /root and /home."""
    setup.write(["example.com"], certificates=["home/acme"])
    (setup.root / "home").mkdir(mode=0)
    done = run("check", "-c", setup.config)
    assert re.search(rb"home/acme: (No such file|Permission denied)", done.stderr), done.stderr
    assert re.search(rb"fix: \S*/home is hidden from this service: .*ProtectHome=read-only", done.stderr)
    (setup.root / "home").chmod(0o755)
    assert b"hidden" not in run("check", "-c", setup.config).stderr


def said_by_check(setup, **keys):
    setup.write(["example.com"], certificates=None, **{"listen": {"address": "127.0.0.1:0", "tls": False}, **keys})
    done = run("check", "-c", setup.config)
    return done.returncode, done.stderr.decode()


def test_check_knows_the_user_that_serve_needs(setup):
    status, said = said_by_check(setup, user="nobody-has-this-name")
    assert status == 0, "the file may be for another machine"
    assert 'mta-sts.yaml: warning: user "nobody-has-this-name" is not in /etc/passwd' in said
    assert 'fix: make it with "useradd --system nobody-has-this-name"' in said
    status, said = said_by_check(setup, user="0")
    assert (status, 'warning: user "0" is root' in said) == (0, True), said
    for user in ("nobody", 12345):
        assert said_by_check(setup, user=user) == (0, "")


def test_check_looks_at_the_state_folder(setup):
    (setup.root / "file").write_text("")
    (setup.root / "folder").mkdir()
    assert said_by_check(setup, state="folder") == (0, "")
    for name, why in (("missing", "No such file or directory"), ("file", "is not a folder")):
        status, said = said_by_check(setup, state=name)
        assert status == 0
        assert re.search(rf"warning: state .*{name}\W.*{why}", said), said


def test_check_names_the_program_that_has_the_port(setup, start):
    """This server is no reason for a warning: then every check would have one."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        for keys in ({"listen": {"address": address, "tls": False}}, {"metrics": address},
                     {"listen": {"address": address.replace("127.0.0.1", "0.0.0.0"), "tls": False}}):
            status, said = said_by_check(setup, **keys)
            assert status == 0
            assert re.search(rf"warning: (listen|metrics) \"[0-9.:]+\": \S+ \(process {os.getpid()}\) listens there",
                             said), said
    assert said_by_check(setup, metrics=address) == (0, "")
    running = start(setup.config)
    address = f"127.0.0.1:{running.port}"
    assert said_by_check(setup, listen={"address": address, "tls": False}) == (0, "")


def test_check_knows_the_addresses_of_this_machine(setup):
    address = "192.0.2.77:8443"
    status, said = said_by_check(setup, listen={"address": address, "tls": False})
    assert (status, "no network interface has this address" in said) == (0, True), said
    assert said_by_check(setup, listen={"address": address, "tls": False, "freebind": True}) == (0, "")

"""Pickup: which sender has fetched which id of a domain, in bounded memory, across reloads."""

import json
import os
import re
import signal

import pytest

from support import client, monitor, server, tree
from support.faulty import Listener, read_head, response
from support.setup import DEFAULT_POLICY

DOMAIN = "example.com"
HOST = "mta-sts." + DOMAIN
PROXY = {"address": "127.0.0.1:0", "tls": False, "proxy_protocol": {"from": "127.0.0.1"}}
WHEN = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
NETWORKS = {
    "192.0.2.77": "192.0.2.0/24",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1::/48",
    "::ffff:198.51.100.9": "198.51.100.0/24",
}


@pytest.fixture(name="serving")
def fixture_serving(setup, start):
    path = setup.root / "metrics.sock"
    setup.options = {"listen": PROXY, "metrics": f"unix:{path}", "certificates": None}
    setup.write([DOMAIN, "example.net"], **setup.options)
    return start(setup.config)


def fetch(running, agent, address="192.0.2.77", *, status=200, method="GET", host=HOST, **options):
    family = "TCP6" if ":" in address else "TCP4"
    preface = f"PROXY {family} {address} {address} 1 2\r\n".encode()
    headers = [] if agent is None else [f"User-Agent: {agent}"]
    with client.Connection(running.port, None, None, preface=preface) as connection:
        data = client.request(host, method=method, headers=headers, **options)
        assert connection.exchange(data, method).status == status


def listed(setup, *more, status=0):
    done = server.run("list", "--senders", "-c", setup.config, *(more or [DOMAIN]))
    assert done.returncode == status, done.stderr.decode()
    return (done.stdout if status == 0 else done.stderr).decode()


def senders(setup):
    """Of each program and network how often it came and what it has."""
    found = json.loads(listed(setup, "--json", DOMAIN))
    assert found["domain"] == DOMAIN
    for one in found["senders"]:
        assert re.fullmatch(WHEN, one["last"])
        assert one["has_new_policy"] is (one["id"] == found["id"])
    return {
        (one["user_agent"], one["network"]): (one["fetches"], one["has_new_policy"])
        for one in found["senders"]
    }


def test_who_has_fetched(serving, setup):
    assert listed(setup) == f"no sender has fetched the policy of {DOMAIN} since the server was started\n"
    for address in NETWORKS:
        fetch(serving, "Google", address)
    fetch(serving, "Google", "192.0.2.1")
    fetch(serving, None)
    for options in ({"method": "HEAD"}, {"target": "/", "status": 404}, {"host": "mta-sts.example.net"}):
        fetch(serving, "other", **options)
    wanted = {("Google", network): (1, True) for network in NETWORKS.values()}
    assert senders(setup) == wanted | {
        ("Google", "192.0.2.0/24"): (2, True),
        ("", "192.0.2.0/24"): (1, True),
    }


def test_a_new_policy_is_told_from_the_old_one(serving, setup):
    """Across reloads and workers, so that it is known when everybody has the new one."""
    before = json.loads(server.run("list", "--json", "-c", setup.config, DOMAIN).stdout)[0]["id"]
    for _ in range(8):
        fetch(serving, "Google")
        fetch(serving, "Microsoft")
    policy = DEFAULT_POLICY | {"max_age": "3w"}
    setup.write([DOMAIN, "example.net"], policies={"default": policy}, **setup.options)
    assert serving.reload()
    network = "192.0.2.0/24"
    assert senders(setup) == {("Google", network): (8, False), ("Microsoft", network): (8, False)}
    fetch(serving, "Google")
    assert senders(setup) == {("Google", network): (9, True), ("Microsoft", network): (8, False)}
    serving.expect(r"worker \d+ (died: Killed|is replaced)$")
    for victim in serving.workers():
        os.kill(victim, signal.SIGKILL)
    serving.wait_line("is replaced")
    lines = sorted(listed(setup).splitlines(), key=lambda line: line.rpartition("  ")[2])
    expected = [
        rf"{WHEN}  new        9  192\.0\.2\.0/24        Google",
        rf"{WHEN}  old        8  192\.0\.2\.0/24        Microsoft \(still has {before}\)",
        r"LAST                  HAS   FETCHES  NETWORK             SENDER",
    ]
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected):
        assert re.fullmatch(pattern, line), line


def test_memory_is_bounded_and_the_oldest_go(serving, setup):
    """More senders than there is room for: what is shown is bounded, and the last one is there."""
    setup.write([DOMAIN], workers=1, **setup.options)
    assert serving.reload()
    preface = b"PROXY TCP4 192.0.2.1 192.0.2.1 1 2\r\n"
    left = tree.LIMITS["LIMIT_FETCH_RECORDS"] + 50
    while left > 0:
        with client.Connection(serving.port, None, None, preface=preface) as connection:
            for _ in range(50):
                left -= 1
                data = client.request(HOST, headers=[f"User-Agent: sender-{left}"])
                assert connection.exchange(data).status == 200
    found = senders(setup)
    assert len(found) == tree.LIMITS["LIMIT_SENDERS"]
    response = monitor.ask(serving, "/senders?domain=" + DOMAIN)
    assert response.body.count(b"\n") == len(found)
    assert len(response.body) < tree.LIMITS["LIMIT_BODY_MOST"]


HOSTILE = ["\x1b[2J", "a\tb\tc", '"\\x22', "\xff\xfe\x9b", "x" * 500, "</script>"]


def test_what_a_sender_calls_itself_has_no_power(serving, setup):
    for agent in HOSTILE:
        fetch(serving, agent, status=400 if agent[0] == "\x1b" else 200)
    good = HOSTILE[1:]
    assert len(senders(setup)) == len(good)
    assert re.fullmatch(r"[ -~\n]+", listed(setup))
    assert {len(agent) <= 200 for agent, _ in senders(setup)} == {True}


def test_questions_that_make_no_sense(serving, setup, start):
    del start
    rows = {
        "/senders": 404,
        "/senders?domain=": 404,
        "/senders?domain=example.org": 404,
        "/senders?domain=EXAMPLE.com.": 200,
        "/senders?x=y&domain=example%2ecom&domain=example.org": 200,
        "/senders?domain=example.com&x=y": 200,
        "/senders?x=domain=example.com": 404,
    }
    for target, status in rows.items():
        assert monitor.ask(serving, target).status == status, target
    assert "not configured" in listed(setup, "example.org", status=1)
    assert "--senders needs one domain" in listed(setup, DOMAIN, "example.net", status=2)
    setup.write([DOMAIN, "example.net", "example.org"], **setup.options)
    assert "does not know example.org yet: reload?" in listed(setup, "example.org", status=1)
    setup.write([DOMAIN], **(setup.options | {"metrics": None}))
    assert 'has no "metrics:"' in listed(setup, status=1)
    setup.write([DOMAIN], **(setup.options | {"metrics": "systemd:metrics"}))
    assert "known to the service manager only" in listed(setup, status=1)
    setup.write([DOMAIN], **(setup.options | {"metrics": "unix:/none/metrics.sock"}))
    assert "there is no answer at unix:/none/metrics.sock: No such file" in listed(setup, status=1)


ROW = b"2026-01-02T03:04:05Z\t7\t123\t192.0.2.0/24\tGoogle\n"
TYPE = "text/tab-separated-values; header=absent"
FOREIGN = {
    "nothing": (b"", "text/plain"),
    "a page": (b"<html>", "text/html"),
    "rows without our type": (ROW, "text/plain"),
    "a leading zero": (ROW.replace(b"\t7\t", b"\t007\t"), TYPE),
    "a huge count": (ROW.replace(b"\t7\t", b"\t99999999999999999999\t"), TYPE),
    "no id": (ROW.replace(b"\t123\t", b"\t\t"), TYPE),
    "no date": (ROW.replace(b"2026-01-02", b"yesterday"), TYPE),
    "a control character": (ROW.replace(b"Google", b"Goo\x1bgle"), TYPE),
    "a damaged row behind a good one": (ROW + b"x", TYPE),
    "a row that is cut": (ROW[:-1], TYPE),
}


def fake(setup, body, content_type):
    def answer(stream):
        read_head(stream)
        stream.sendall(response(body, content_type=content_type))

    with Listener(answer) as listener:
        setup.write([DOMAIN], metrics=f"127.0.0.1:{listener.port}")
        return server.run("list", "--json", "--senders", "-c", setup.config, DOMAIN)


@pytest.mark.parametrize("label", FOREIGN)
def test_another_program_on_the_port_is_an_error(program, setup, label):
    """It is not taken for a server that nobody has asked."""
    del program
    done = fake(setup, *FOREIGN[label])
    assert (done.returncode, done.stdout) == (1, b"")
    assert re.search(rb"is not this server|is damaged", done.stderr), done.stderr


def test_sound_rows_are_listed(program, setup):
    del program
    (one,) = json.loads(fake(setup, ROW, TYPE).stdout)["senders"]
    assert (one["fetches"], one["id"], one["user_agent"]) == (7, "123", "Google")

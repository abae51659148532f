"""The log: access lines as text and as JSON, what a client cannot do to them, and journald."""

import json
import os
import re
import socket
import ssl
import subprocess

import pytest

from support import client, hello, monitor
from support.setup import DEFAULT_POLICY, body_of
from support.wait import until

DOMAIN = "example.com"
HOST = "mta-sts." + DOMAIN
SIZE = len(body_of(DEFAULT_POLICY))
WHEN = r"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d \+0000\]"
TOOK = r"\d+\.\d{6}"
PATH = re.escape(client.PATH)
PLAIN = {"address": "127.0.0.3:0", "tls": False}
PROXY = {"address": "127.0.0.4:0", "tls": False, "proxy_protocol": {"from": "127.0.0.1"}}


@pytest.fixture(name="serving")
def fixture_serving(setup, start):
    """Starts a server with the settings for the log; every line of it may come."""

    def begin(**log):
        setup.certify(DOMAIN)
        setup.write([DOMAIN], log=log, listen=["127.0.0.1:0", PLAIN, PROXY], metrics=monitor.ADDRESS)
        return start(setup.config, expect=[""])

    return begin


def plain_exchange(running, data, *, number=1, address="127.0.0.3", preface=b""):
    connection = client.Connection(running.ports[number], None, None, address=address, preface=preface)
    with connection:
        return connection.exchange(data)


def access_lines(running, count):
    """So many lines that are not messages, which must be all of them."""
    pick = re.compile(r'^[^{]* - - \[|"request":')
    lines = until(
        lambda: len(found := [line for line in running.lines if pick.search(line)]) >= count and found,
        f"{count} lines",
    )
    assert len(lines) == count, "\n".join(lines)
    return lines


def test_text_lines(serving, trusted, authority):
    running = serving(access="on")
    headers = ["User-Agent: Postfix/3.8", "Referer: https://example.net/"]
    with client.Connection(running.port, HOST, trusted) as connection:
        connection.exchange(client.request(HOST, headers=headers))
        connection.exchange(client.request(HOST, target="/x?y=z", method="HEAD"), "HEAD")
    old = client.trusting(authority.root_file, client.TLS12, ciphers="ECDHE+AES128")
    client.fetch(running.port, HOST, old)
    plain_exchange(running, client.request(HOST, version="HTTP/1.0"))
    plain_exchange(running, b"nonsense\r\n\r\n")
    monitor.ask(running, "/metrics")  # has no line
    end = f"{HOST} TLSv1.3 TLS_AES_256_GCM_SHA384 {TOOK}"
    old_end = f"{HOST} TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 {TOOK}"
    expected = [
        f'"GET {PATH} HTTP/1.1" 200 {SIZE} "https://example.net/" "Postfix/3.8" {end}',
        f'"HEAD /x\\?y=z HTTP/1.1" 404 0 "-" "-" {end}',
        f'"GET {PATH} HTTP/1.1" 200 {SIZE} "-" "-" {old_end}',
        f'"GET {PATH} HTTP/1.0" 200 {SIZE} "-" "-" - - - {TOOK}',
        f'"nonsense" 400 12 "-" "-" - - - {TOOK}',
    ]
    lines = access_lines(running, len(expected))
    order = {line.split("] ", 1)[1]: line for line in lines}
    for pattern in expected:
        found = [line for rest, line in order.items() if re.fullmatch(pattern, rest)]
        assert len(found) == 1, (pattern, lines)
        assert re.fullmatch(f"127\\.0\\.0\\.1 - - {WHEN} {pattern}", found[0])


def test_json_lines(serving, trusted):
    running = serving(format="json", access="on")
    with client.Connection(running.port, HOST, trusted) as connection:
        connection.exchange(client.request(HOST, headers=["User-Agent: a \xe9\"\\"]))
    (line,) = access_lines(running, 1)
    record = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record.pop("time"))
    assert 0 < record.pop("seconds") < 60
    assert record == {
        "level": "info",
        "client": "127.0.0.1",
        "request": f"GET {client.PATH} HTTP/1.1",
        "status": 200,
        "bytes": SIZE,
        "referer": "",
        "user_agent": 'a \xe9"\\',
        "sni": HOST,
        "tls_version": "TLSv1.3",
        "tls_cipher": "TLS_AES_256_GCM_SHA384",
    }
    for other in running.lines:
        assert {"time", "level", "message"} <= set(json.loads(other)) or other == line, other


def test_json_diagnostics(serving, setup):
    """A refused reload says the same as text, a line a message, each with its level."""
    running = serving(format="json")
    since = running.mark()
    setup.config.write_text(setup.config.read_text() + "nonsense: 1\n")
    assert not running.reload()
    records = [json.loads(line) for line in running.lines[since:]]
    assert {record["level"] for record in records} == {"error"}
    assert records[0]["message"].endswith('error: unknown key "nonsense" at the top of the configuration')
    assert len(records) == 2
    place = {"file": str(setup.config), "line": setup.line_of("nonsense"), "column": 1, "scope": "file"}
    assert place.items() <= records[0].items()
    assert records[0]["text"] == 'unknown key "nonsense" at the top of the configuration'
    assert {"reason", "hint"} <= set(records[0])
    assert records[-1]["message"] == "reload refused: generation 1 is still served"


@pytest.mark.parametrize("access, statuses", [("off", []), ("errors", [404]), ("on", [200, 404])])
def test_which_answers_have_a_line(serving, access, statuses):
    running = serving(access=access)
    for target in (client.PATH, "/"):
        plain_exchange(running, client.request(HOST, target=target))
    lines = access_lines(running, len(statuses)) if statuses else []
    running.stop()
    assert sorted(int(line.split('" ')[1].split()[0]) for line in lines) == statuses
    assert sum(" - - [" in line for line in running.lines) == len(statuses)


ADDRESSES = {
    "192.0.2.77": "192.0.2.0",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1::",
    "::ffff:192.0.2.77": "192.0.2.0",
}


@pytest.mark.parametrize("anonymize", [True, False])
def test_client_is_whom_the_proxy_names_and_may_be_shortened(serving, anonymize):
    running = serving(access="on", anonymize=anonymize)
    wanted = []
    for address, short in ADDRESSES.items():
        family = "TCP6" if ":" in address else "TCP4"
        preface = f"PROXY {family} {address} {address} 1 2\r\n".encode()
        plain_exchange(running, client.request(HOST), number=2, address="127.0.0.4", preface=preface)
        wanted.append(short if anonymize else address.removeprefix("::ffff:"))
    lines = access_lines(running, len(wanted))
    assert sorted(line.split()[0] for line in lines) == sorted(wanted)


FORGED = [
    'x" 200 0 "-" "honest',
    "\x1b[2J\x1b]0;title\x07",
    "\r\n127.0.0.1 - - [forged]",
    "\n<0>mta-sts-httpd: error: forged",
    "\\x22 \\u0022",
    "\x00\x7f\x80\x9b\xff",
    "\u009b2J\u202e\u2028".encode().decode("latin-1"),
    '","status":200,"x":"',
    "a" * 3000,
    "\xff" * 1500,
    "\x01" * 3000,
]


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_client_forges_a_line(serving, form):
    """One request, one line, and nothing but printable ASCII in it, wherever the bytes stand."""
    running = serving(format=form, access="on")
    before = len(running.lines)
    for text in FORGED:
        data = text.encode("latin-1")
        for message in (
            b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: " + data + b"\r\nReferer: " + data + b"\r\n\r\n",
            b"GET /" + data + b" HTTP/1.1\r\n\r\n",
        ):
            with client.dial(running.ports[1], "127.0.0.3") as plain:
                plain.sendall(message)
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(4096):
                    pass
    lines = access_lines(running, 2 * len(FORGED))
    assert len(running.lines) == before + len(lines)
    for line in lines:
        assert len(line) < 4096 and re.fullmatch(r"[ -~]+", line), line
        if form == "json":
            assert json.loads(line)["status"] in (400, 421, 431)
        else:
            rest = rf'"([^"\\]|\\x[0-9a-f]{{2}})*" (400|421|431) \d+ "[^"]*" "[^"]*" - - - {TOOK}'
            assert re.fullmatch(rf"127\.0\.0\.1 - - {WHEN} {rest}", line), line


def test_journald_gets_priorities(setup, program):
    """Each line begins with one when standard error is what JOURNAL_STREAM names, and only then."""
    setup.write([DOMAIN], log={"access": "on"}, listen=PLAIN, certificates=None)
    for wrong in (0, 1):
        ours, theirs = socket.socketpair()
        status = os.fstat(theirs.fileno())
        name = f"{status.st_dev}:{status.st_ino + wrong}"
        with subprocess.Popen(
            [program, "serve", "-c", setup.config],
            stderr=theirs,
            env=os.environ | {"JOURNAL_STREAM": name},
        ) as process:
            theirs.close()
            with ours, ours.makefile("r") as log:
                ready = log.readline()
                port = int(ready.rpartition(":")[2])
                with client.Connection(port, None, None, address="127.0.0.3") as connection:
                    connection.exchange(client.request(HOST))
                access = log.readline()
                process.terminate()
                end = log.readline()
        prefixes = ("", "", "") if wrong else ("<5>", "<6>", "<5>")
        assert ready.startswith(f"{prefixes[0]}mta-sts-httpd: ready")
        assert access.startswith(f"{prefixes[1]}127.0.0.1 - - [")
        assert end == f"{prefixes[2]}mta-sts-httpd: stopped\n"


def greet(running, server_name, end=True, **options):
    """A ClientHello made by hand, and what comes back."""
    with client.dial(running.ports[0], "127.0.0.1") as plain:
        plain.sendall(hello.record(hello.client_hello(server_name, **options)))
        if end:
            return hello.read_answer(plain, to_the_end=False)
    return None


def failed_lines(running, count):
    """So many lines about failed handshakes, without what differs from run to run."""
    lines = until(
        lambda: len(found := [line for line in running.lines if "handshake failed" in line]) >= count
        and found,
        f"{count} lines",
    )
    assert len(lines) == count, "\n".join(lines)
    return lines


STRANGER = "mta-sts.Example.NET"
FAILURES = {
    "unknown name": (STRANGER, {}, "there is no certificate for that host", "unrecognized_name"),
    "no name": (None, {}, "the client named no host", "missing_extension"),
    "old": (
        HOST,
        {"versions": None, "legacy_version": hello.TLS11},
        "the client supports no TLS version above 1.1",
        "protocol_version",
    ),
    "protocol": (
        HOST,
        {"alpn": (b"h2",)},
        "no cipher, group, signature or protocol in common",
        "no_application_protocol",
    ),
    "cipher": (
        HOST,
        {"suites": ("RC4-SHA",)},
        "no cipher, group, signature or protocol in common",
        "handshake_failure",
    ),
}


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("access", ["on", "errors"])
def test_failed_handshakes_have_a_line(serving, access, form):
    """Who says that he gets a TLS error is found: by his address, the name, the reason, the alert."""
    running = serving(format=form, access=access)
    for count, (name, options, _, alert) in enumerate(FAILURES.values(), 1):
        assert greet(running, name, **options).alert_name == alert
        lines = failed_lines(running, count)  # of two workers, each writes when it comes to it
    for line, (name, _, reason, alert) in zip(lines, FAILURES.values(), strict=True):
        if form == "json":
            record = json.loads(line)
            assert record.pop("time") and 0 < record.pop("seconds") < 60
            expected = {"level": "info", "message": "handshake failed", "client": "127.0.0.1"}
            expected.update(reason=reason, alert_sent=alert)
            assert record == expected | ({"sni": name} if name else {})
        else:
            rest = f'handshake failed: {reason}; SNI "{name or "-"}"; alert sent {alert}; {TOOK}'
            assert re.fullmatch(rf"127\.0\.0\.1 {WHEN} {rest}", line), line


@pytest.mark.parametrize("version", client.VERSIONS)
def test_alert_of_a_client_is_in_the_line(serving, version):
    """One that does not trust the certificate says so, in clear or not."""
    running = serving(access="on")
    context = ssl.create_default_context()  # of the machine's authorities, of which it is none
    context.minimum_version = context.maximum_version = client.VERSIONS[version]
    with pytest.raises(ssl.SSLError):
        client.fetch(running.port, HOST, context)
    (line,) = failed_lines(running, 1)
    assert f'the client refused; SNI "{HOST}"; alert received unknown_ca; ' in line


def test_handshake_that_is_cut_off_has_a_line_and_a_look_has_none(serving):
    running = serving(access="on")
    for data in (b"", hello.record(hello.client_hello(HOST))[:50]):
        with client.dial(running.ports[0], "127.0.0.1") as plain:
            plain.sendall(data)
            plain.shutdown(socket.SHUT_WR)
            assert plain.recv(1) == b""
    (line,) = failed_lines(running, 1)
    assert "handshake failed: the client closed the connection; " in line


def test_failed_handshakes_have_no_line_when_off(serving):
    running = serving()
    greet(running, STRANGER)
    running.stop()
    assert not any("handshake failed" in line for line in running.lines)


def test_no_server_name_forges_a_line(serving):
    running = serving(access="on")
    names = ["a\r\nb", 'x"; alert sent none', "\x1b[2J", "\\", "y" * 400]
    for name in names:
        greet(running, name)
    for line in failed_lines(running, len(names)):
        assert re.fullmatch(r"[ -~]+", line) and len(line) < 4096
        assert re.search(r'; SNI "([^"\\]|\\x[0-9a-f]{2})*"(\.\.\.)?; alert sent ', line), line


def test_flood_of_failed_handshakes_has_few_lines(setup, start):
    """Those that are left out are counted, and none is lost between the two."""
    setup.certify(DOMAIN)
    setup.write([DOMAIN], workers=1, log={"access": "errors"})
    running = start(setup.config, expect=[""])
    count = 300
    for _ in range(count):
        greet(running, STRANGER)

    def left_out():
        found = re.findall(r"(\d+) more failed handshakes have no line", running.log())
        return sum(map(int, found))

    def written():
        return sum("handshake failed" in line for line in running.lines)

    until(lambda: written() + left_out() == count, "all to be accounted for", 10)
    assert left_out() > 0


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_log_that_nobody_reads_stops_nobody(setup, program, kind):
    """Two workers write to it until it is full, and beyond."""
    setup.write([DOMAIN], log={"access": "on"}, listen=PLAIN, certificates=None)
    if kind == "pipe":
        ours, theirs = os.pipe()
    else:
        ours, theirs = (end.detach() for end in socket.socketpair())
    with subprocess.Popen([program, "serve", "-c", setup.config], stderr=theirs) as process:
        os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as log:
            first = log.read(4096)
            port = int(re.search(rb"listening on \S+:(\d+)", first)[1])
            data = client.request(HOST, headers=["User-Agent: " + "x" * 190]) * 90
            for _ in range(12):
                with client.Connection(port, None, None, address="127.0.0.3") as connection:
                    connection.send(data)
                    assert {connection.response().status for _ in range(90)} == {200}
            seen, lost = b"", None
            while not lost:
                seen += log.read(65536)
                if seen.count(b"\n") and b"were lost" not in seen:
                    with client.Connection(port, None, None, address="127.0.0.3") as connection:
                        connection.exchange(client.request(HOST))
                lost = re.search(rb"warning: (\d+) lines of the log were lost\n", seen)
            assert int(lost[1]) > 0
            process.terminate()
            while log.read(65536):
                pass
        assert process.wait(20) == 0


def test_state_is_told_once_and_then_what_is_new(setup, start, authority):
    """A fault that was there at the last load is not told again, unless the load is refused."""
    names = [f"d{i}.example" for i in range(12)]
    bad = {"policy": "default", "mode": "nun"}
    setup.certify("example.com")
    setup.write(["example.com", *names])
    running = start(setup.config, expect=["no certificate with its key", r"^\s+(why|fix): ", "more like this"])
    # What has one cause is one.
    told = [line for line in running.lines if "warning: no certificate with its key covers" in line]
    assert len(told) == 1
    assert "mta-sts.d0.example; the same holds for 11 more: mta-sts.d1.example, " in told[0]
    since = running.mark()
    assert running.reload()
    assert [line for line in running.lines[since:] if "ready" not in line] == []
    since = running.mark()
    running.expect('mode "nun" is none of')
    setup.write({**dict.fromkeys(["example.com", *names]), "d1.example": bad})
    assert running.reload()
    told = [line for line in running.lines[since:] if "ready" not in line and not line.startswith(" ")]
    assert len(told) == 1 and 'error: mode "nun"' in told[0]
    # Lines that move are no news, and a fault that comes back is.
    since = running.mark()
    setup.config.write_text("# a comment\n" + setup.config.read_text())
    assert running.reload()
    setup.write(["example.com", *names])
    assert running.reload()
    assert not any('mode "nun"' in line for line in running.lines[since:])
    since = running.mark()
    setup.write({**dict.fromkeys(["example.com", *names]), "d1.example": bad})
    assert running.reload()
    assert any('mode "nun"' in line for line in running.lines[since:])
    # Who asks twice for what is refused is told why twice.
    running.expect("unknown key", "reload refused")
    for _ in range(2):
        since = running.mark()
        setup.config.write_text(setup.config.read_text().replace("domains:", "domians:"))
        assert not running.reload()
        assert any("unknown key" in line for line in running.lines[since:])


def test_time_where_nobody_else_adds_it(setup, program, tmp_path):
    """A file gets the time; a pipe leads to a program that has its own."""
    setup.certify("example.com")
    log = tmp_path / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen([program, "serve", "-c", setup.write(["example.com", "b.example"])], stderr=out)
    try:
        until(lambda: "ready: generation 1" in log.read_text(), "the server")
    finally:
        process.terminate()
        assert process.wait(20) == 0
    lines = log.read_text().splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "
    assert all(re.match(stamp + r"(mta-sts-httpd: |\S+: warning: )", line) or line.startswith("    ") for line in lines)
    assert re.match(stamp + "mta-sts-httpd: stopped$", lines[-1])


def test_few_of_a_kind_are_told(setup, start):
    setup.certify("example.com", *(f"d{i}.example" for i in range(12)))
    bad = {f"d{i}.example": {"policy": "default", "mode": f"nun{i}"} for i in range(12)}
    running = start(setup.write({"example.com": None, **bad}), expect=["error: mode", r"^\s+(why|fix): ", "more like this"])
    assert len([line for line in running.lines if ' error: mode "nun' in line]) == 5
    assert any('mta-sts-httpd: warning: 7 more like this: mode "nun' in line for line in running.lines)


def test_no_file_hides_what_is_said_of_another(setup, start):
    """Files with thousands of errors of many kinds beside two with a single error: one of a kind that is
    told in full, and one of a kind that many files have, which is named."""
    folder = setup.root / "d"
    folder.mkdir()
    setup.certify("example.com", "honest.example")
    many = "{mode: x, max_age: y, mx: b_, id: _, tls_rpt: z, x: y}"
    pieces = [
        *(f"  d{number}.FILE.example: {many}" for number in range(1000)),
        *(f"  d{number}.FILE.example: {{policy: nun{number}}}" for number in range(1000, 1040)),
        *("  FILE_: ", "  FILE: ", "  192.0.2.1: ", "  mta-sts.FILE.example: ", "  twice.example: ") * 20,
    ]
    for name in ("a", "b", "c", "y", "z"):
        for part, begin in enumerate((0, 970, 1030)):
            text = "domains:\n" + "\n".join(pieces[begin:]).replace("FILE", f"{name}{part}") + "\n"
            (folder / f"{name}{part}.yaml").write_text(text)
    (folder / "honest.yaml").write_text("domains: {honest.example: {policy: default, id: _}}\n")
    (folder / "much.yaml").write_text("domains: {much.example: {policy: default, tls_rpt: z}}\n")
    said = [r" error: ", " warning: ", r"^\s+(why|fix): ", r"\d+ more ", "note: "]
    running = start(setup.write(["example.com"], include="d/*.yaml"), expect=said)
    lines = [line for line in running.lines if not line.startswith(" ")]
    assert any(re.search(r"d/honest\.yaml:\S+ error: id ", line) for line in lines), lines
    assert any(re.search(r" more like this: tls_rpt .*; in .*d/much\.yaml", line) for line in lines), lines
    for name in ("a0", "b1", "z2"):
        assert len([line for line in lines if f"d/{name}.yaml:" in line and "note: " not in line]) <= 11
    assert len(lines) < 300

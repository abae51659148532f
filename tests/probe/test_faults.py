"""`probe` against servers of other make: every fault that a server can have is named, and nothing
that is no fault."""

import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from support import server, tree
from support.authority import PEM, Authority
from support.faulty import (
    GOOD_BODY,
    Faulty,
    Listener,
    chunked,
    read_head,
    response,
    server_context,
)
from support.wait import until

# What is old or weak is here on purpose.
pytestmark = [
    pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:SHA1 signatures"),
]

SEVENTY_KB = GOOD_BODY + b"mx: mail.example.com\r\n" * 3300


def probe(*arguments, status=None, **options):
    """Runs `probe` and returns the completed process; its exit status must be as expected."""
    done = server.run("probe", *arguments, **options)
    if status is not None:
        assert done.returncode == status, (done.stdout.decode(), done.stderr.decode())
    return done


def probe_json(*arguments, **options):
    return json.loads(probe("--json", *arguments, **options).stdout)


def found(report):
    """Code, level and message of each finding."""
    return [(item["code"], item["level"], item["message"]) for item in report["findings"]]


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Authorities that have something about them."""
    folder = tmp_path_factory.mktemp("others")
    (folder / "unknown").mkdir()
    (folder / "expired").mkdir()
    return {
        "unknown": Authority(folder / "unknown", name="Other"),
        "expired": Authority(folder / "expired", name="Old", middle_end=-2),
    }


# A leaf for the host, by its name in the table below. Half days keep clear of the hour of the test.
LEAVES = {
    "good": {"end": 90.5},
    "rsa": {"kind": "RSA 2048"},
    "p-384": {"kind": "P-384"},
    "wildcard": {"wildcard": True},
    "expired": {"begin": -30, "end": -1},
    "not yet": {"begin": 1, "end": 30},
    "ends soon": {"begin": -29.5, "end": 5.5},
    "self-signed": {"self_signed": True},
    "weak": {"kind": "RSA 2048", "digest": hashes.SHA1},
    "short": {"kind": "RSA 1024"},
    "client": {"usage": ExtendedKeyUsageOID.CLIENT_AUTH},
}


def issue(authority, others, host, kind):
    """The leaf and the chain to send with it."""
    if kind == "other name":
        leaf = authority.issue("www.example.com", "example.com")
    elif kind == "no name":
        leaf = authority.issue(common_name=host)
    elif kind == "incomplete":
        leaf = authority.issue(host)
        return leaf, leaf.leaf_pem()
    elif kind == "other intermediate":
        leaf = authority.issue(host)
        return leaf, leaf.leaf_pem() + others["unknown"].intermediate.public_bytes(PEM)
    elif kind == "with root":
        leaf = authority.issue(host)
        return leaf, leaf.chain_pem(with_root=True)
    elif kind == "unknown root":
        leaf = others["unknown"].issue(host)
    elif kind == "unknown root sent":
        leaf = others["unknown"].issue(host)
        return leaf, leaf.chain_pem(with_root=True)
    elif kind == "expired chain":
        leaf = others["expired"].issue(host)
    else:
        options = dict(LEAVES[kind])
        name = "*." + host.partition(".")[2] if options.pop("wildcard", False) else host
        leaf = authority.issue(name, **options)
    return leaf, None


def close_without_a_word(stream):
    stream.shutdown(2)
    raise OSError("closed")


def close_in_the_body(stream):
    stream.sendall(response(b"x" * 100)[:-50])


def never_answer(stream):
    """Until the client has lost its patience."""
    while stream.recv(4096):
        pass


def answer_late(stream):
    """The fault is the delay itself, so it has to take place."""
    time.sleep(2.1)
    stream.sendall(response())


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"

# label: kind of the leaf, answer, findings. {host} is the policy host, {day} the day of the leaf.
CASES = {
    # Nothing is wrong with these.
    "good": ("good", response(), []),
    "rsa": ("rsa", response(), []),
    "p384": ("p-384", response(), []),
    "wildcard": ("wildcard", response(), []),
    "with-root": ("with root", response(), []),
    "charset": ("good", response(content_type="text/plain; charset=utf-8"), []),
    "chunked": ("good", chunked(GOOD_BODY[:10], GOOD_BODY[10:]), []),
    "trailer": ("good", chunked(GOOD_BODY, end=b"0;x=y\r\nA: b\r\n\r\n"), []),
    "early-hints": ("good", EARLY + response(), []),
    "no-length": (
        "good",
        b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + GOOD_BODY,
        [],
    ),
    # Certificates.
    "expired": (
        "expired",
        response(),
        [("certificate-expired", "error", "the certificate expired on {day:-1}")],
    ),
    "not-yet": (
        "not yet",
        response(),
        [("certificate-not-yet-valid", "error", "the certificate is valid from {day:1} on, not yet")],
    ),
    "ends-soon": (
        "ends soon",
        response(),
        [("certificate-ends-soon", "warning", "the certificate expires on {day:5.5}, in 5 days")],
    ),
    "other-name": (
        "other name",
        response(),
        [
            (
                "certificate-name",
                "error",
                "the certificate is for www.example.com and 1 more, not for {host}",
            )
        ],
    ),
    "no-name": (
        "no name",
        response(),
        [
            (
                "certificate-name",
                "error",
                "the certificate has no DNS name in its subject alternative name, so it is not for "
                "{host}",
            )
        ],
    ),
    "self-signed": (
        "self-signed",
        response(),
        [("certificate-self-signed", "error", "the certificate is self-signed")],
    ),
    "incomplete": (
        "incomplete",
        response(),
        [
            (
                "certificate-incomplete",
                "error",
                "the chain is incomplete: the certificate of the issuer (CN=Test Intermediate) is "
                "not sent",
            )
        ],
    ),
    "other-intermediate": (
        "other intermediate",
        response(),
        [
            (
                "certificate-incomplete",
                "error",
                "the chain is incomplete: the certificate of the issuer (CN=Test Intermediate) is "
                "not sent",
            )
        ],
    ),
    "unknown-root": (
        "unknown root",
        response(),
        [
            (
                "certificate-unknown-root",
                "error",
                "the chain ends at an authority that is not trusted (CN=Other Root)",
            )
        ],
    ),
    "unknown-root-sent": (
        "unknown root sent",
        response(),
        [
            (
                "certificate-unknown-root",
                "error",
                "the chain ends at an authority that is not trusted (CN=Other Root)",
            )
        ],
    ),
    "expired-chain": (
        "expired chain",
        response(),
        [
            (
                "certificate-chain-expired",
                "error",
                "a certificate above that of the server has expired or is not valid yet (CN=Old "
                "Intermediate)",
            )
        ],
    ),
    "weak": (
        "weak",
        response(),
        [("certificate-weak", "error", "a key or signature in the chain is too weak")],
    ),
    "short": (
        "short",
        response(),
        [("certificate-key", "error", "the key of the certificate is RSA 1024")],
    ),
    "client": (
        "client",
        response(),
        [("certificate-usage", "error", "the certificate is not made for TLS servers")],
    ),
    # HTTP.
    "redirect": (
        "good",
        response(b"", status="301 Moved", headers=["Location: https://www.example.com/"]),
        [
            (
                "redirect",
                "error",
                'the response is a redirect (status 301) to "https://www.example.com/"',
            )
        ],
    ),
    "not-found": (
        "good",
        response(b"<html>no</html>", status="404 Not Found", content_type="text/html"),
        [("status", "error", "the status is 404 instead of 200")],
    ),
    "page": (
        "good",
        response(b"<html>" + b"x" * 40000, status="404 Not Found", content_type="text/html"),
        [("status", "error", "the status is 404 instead of 200")],
    ),
    "forbidden": (
        "good",
        response(b"", status="403"),
        [("status", "error", "the status is 403 instead of 200")],
    ),
    "created": (
        "good",
        response(status="201 Created"),
        [("status-2xx", "error", "the status is 201 instead of 200")],
    ),
    "no-type": (
        "good",
        response(content_type=None),
        [("content-type-missing", "error", "there is no Content-Type")],
    ),
    "type": (
        "good",
        response(content_type="application/octet-stream"),
        [
            (
                "content-type",
                "error",
                'the Content-Type is "application/octet-stream" instead of text/plain',
            )
        ],
    ),
    "type-case": (
        "good",
        response(content_type="Text/Plain"),
        [("content-type-case", "error", 'the Content-Type is not in lower case: "Text/Plain"')],
    ),
    "gzip": (
        "good",
        response(b"\x1f\x8b\x08\x00", headers=["Content-Encoding: gzip"]),
        [("content-encoding", "error", "the body is encoded (Content-Encoding: gzip)")],
    ),
    "malformed": (
        "good",
        b"220 mail.example.com ESMTP\r\n\r\n",
        [
            (
                "http-malformed",
                "error",
                "the response does not begin with the status line of HTTP/1.1",
            )
        ],
    ),
    "bare-lf": (
        "good",
        b"HTTP/1.1 200 OK\nContent-Type: text/plain\n\n" + GOOD_BODY,
        [
            (
                "http-malformed",
                "error",
                "the response has a header line that ends with LF instead of CRLF",
            )
        ],
    ),
    "chunked-garbage": (
        "good",
        chunked(end=b"zz\r\n"),
        [("http-malformed", "error", "the response has a chunk without a size")],
    ),
    "chunk-too-long": (
        "good",
        chunked(end=b"4\r\nversion"),
        [("http-malformed", "error", "the response has a chunk that is longer than it says")],
    ),
    "cut": (
        "good",
        close_in_the_body,
        [("http-malformed", "error", "the response ends before its body does")],
    ),
    "silent": (
        "good",
        close_without_a_word,
        [("http-malformed", "error", "the response is empty")],
    ),
    "late": (
        "good",
        never_answer,
        [("http-timeout", "error", "there is no response within 3 s")],
    ),
    "two-mx": (
        "good",
        response(GOOD_BODY.replace(b"max_age", b"mx: mail2.example.com\r\nmax_age")),
        [],
    ),
    # The policy itself; every rule is in the unit tests of its module.
    "lf": ("good", response(GOOD_BODY.replace(b"\r\n", b"\n")), ["lf"]),
    "blank-line": ("good", response(GOOD_BODY + b"\r\n"), ["blank-line"]),
    "byte-order-mark": ("good", response(b"\xef\xbb\xbf" + GOOD_BODY), ["byte-order-mark"]),
    "one-line": ("good", response(GOOD_BODY.strip().replace(b"\r\n", b" ") + b"\r\n"), ["line-end-lost"]),
    "non-breaking-space": (
        "good",
        response(GOOD_BODY.replace(b"mx: ", b"mx:\xc2\xa0")),
        [("blank-character", "error", "there is an invisible character: U+00A0, a non-breaking space")],
    ),
    "large": ("good", response(SEVENTY_KB), None),
    "large-chunked": ("good", chunked(SEVENTY_KB), None),
    "empty": ("good", response(b""), ["empty"]),
    "web-page": (
        "good",
        response(b"<!DOCTYPE html><html><body>Hello</body></html>", content_type="text/html"),
        [
            ("content-type", "error", 'the Content-Type is "text/html" instead of text/plain'),
            "web-page",
        ],
    ),
    # The server forges neither lines nor colours.
    "escape": (
        "good",
        response(b"", status="302 Found", headers=["Location: \x9b31m\xff\\"]),
        [("redirect", "error", 'the response is a redirect (status 302) to "\\x9b31m\\xff\\x5c"')],
    ),
}
SLOW = "slow"


def fill_in(text, domain, authority):
    text = text.replace("{host}", f"mta-sts.{domain}")
    return re.sub(
        r"\{day:(-?[\d.]+)\}", lambda match: f"{authority.day(float(match[1])):%Y-%m-%d}", text
    )


def domain_of(label):
    return f"{label}.example"


@pytest.fixture(scope="module")
def faulty(program, authority, others, tmp_path_factory):
    del program
    folder = tmp_path_factory.mktemp("faulty")
    contexts, hosts = {}, {}
    for label, (kind, answer, _) in {**CASES, SLOW: ("good", answer_late, [])}.items():
        host = f"mta-sts.{domain_of(label)}"
        leaf, chain = issue(authority, others, host, kind)
        contexts[label] = server_context(folder / label, leaf, chain=chain)
        hosts[host] = (contexts[label], answer)
    with Faulty(hosts) as running:
        yield running


@pytest.fixture(scope="module")
def trusted_file(authority, others, tmp_path_factory):
    """The roots of two authorities, and between them what no reader should stumble over."""
    path = tmp_path_factory.mktemp("roots") / "roots.pem"
    junk = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    roots = [others["expired"].root_file.read_bytes(), junk, authority.root_file.read_bytes()]
    path.write_bytes(b"# Roots\n" + b"".join(roots))
    return path


@pytest.fixture(scope="module")
def reports(faulty, trusted_file):
    """All of them at once, in one run."""
    domains = [domain_of(label) for label in (*CASES, SLOW)]
    place = ["--connect", f"127.0.0.1:{faulty.port}", "--ca", trusted_file, "--timeout", "3s"]
    listed = probe_json(*place, *domains, status=1)
    assert [report["domain"] for report in listed] == domains
    return {label: report for label, report in zip((*CASES, SLOW), listed)}


@pytest.mark.parametrize("label", [label for label in CASES if CASES[label][2] is not None])
def test_fault_is_named(reports, authority, label):
    report = reports[label]
    expected = []
    for item in CASES[label][2]:
        if isinstance(item, tuple):
            item = (*item[:2], fill_in(item[2], domain_of(label), authority))
        expected.append(item)
    actual = [
        item[0] if item[0] in expected else item for item in found(report)
    ]  # a word alone stands for a fault of the policy
    assert actual == expected
    levels = {level for _, level, _ in found(report)}
    state = "error" if "error" in levels else "warning" if "warning" in levels else "good"
    assert report["state"] == state


@pytest.mark.parametrize("label", ["large", "large-chunked"])
def test_body_is_read_to_64_kb_and_no_further(reports, label):
    report = reports[label]
    assert report["servers"][0]["size"] == tree.LIMITS["LIMIT_BODY_MOST"]
    assert found(report) == [("large-most", "error", "the body is larger than 64 KB")]


def test_two_seconds_are_the_budget(reports):
    (finding,) = reports[SLOW]["findings"]
    assert (finding["code"], finding["level"], finding["stage"]) == ("slow", "warning", "http")
    assert re.fullmatch(r"the fetch takes \d+\.\d s", finding["message"])
    assert finding["reason"] == "postfix-tlspol gives up after 2 s"


def test_what_was_found_without_a_fault(reports):
    (visit,) = reports["good"]["servers"]
    times = [visit.pop(name) for name in ("connect_ms", "tls_ms", "http_ms", "total_ms")]
    assert all(time >= 0 for time in times) and sum(times[:3]) == pytest.approx(times[3])
    certificate = visit.pop("certificate")
    assert certificate.pop("begins") < certificate.pop("expires")
    assert certificate == {
        "issuer": "CN=Test Intermediate",
        "algorithm": "ECDSA P-256",
        "days_left": 90,
    }
    assert re.fullmatch(r"127\.0\.0\.1:\d+", visit.pop("address"))
    assert visit == {
        "reached": "policy",
        "tls": "1.3",
        "status": 200,
        "content_type": "text/plain",
        "size": len(GOOD_BODY),
        "policy": {"mode": "enforce", "max_age": "1209600", "mx": 1, "as_configured": None},
    }
    assert reports["good"]["dns"] is None


def test_finding_has_its_place_in_the_policy(reports):
    (finding,) = reports["blank-line"]["findings"]
    assert finding["addresses"] == [reports["blank-line"]["servers"][0]["address"]]
    assert (finding["stage"], finding["line"], finding["column"]) == ("policy", 5, 1)
    assert "mox" in finding["reason"] and finding["hint"]


def test_requests_are_those_of_a_sender(faulty, reports):
    del reports
    expected = re.compile(
        rb"GET /\.well-known/mta-sts\.txt HTTP/1\.1\r\n"
        rb"Host: mta-sts\.[a-z0-9-]+\.example\r\n"
        rb"User-Agent: mta-sts-httpd/[0-9.]+ \(probe\)\r\n"
        rb"Accept: text/plain\r\nConnection: close\r\n\r\n"
    )
    assert all(expected.fullmatch(head) for head in faulty.requests if head)


def test_name_that_the_server_does_not_know(faulty, trusted_file):
    place = ["--connect", f"127.0.0.1:{faulty.port}", "--ca", trusted_file]
    (report,) = probe_json(*place, "nobody.example", status=1)
    assert found(report) == [
        (
            "tls-name",
            "error",
            "the server does not know the name mta-sts.nobody.example (alert unrecognized_name)",
        )
    ]
    assert report["servers"][0]["reached"] == "tls"


def test_dates_are_judged_as_of_a_day(faulty, trusted_file, authority):
    place = ["--connect", f"127.0.0.1:{faulty.port}", "--ca", trusted_file]
    day = f"{authority.day(92):%Y-%m-%d}"
    (report,) = probe_json(*place, "--at", day, "good.example", status=1)
    assert [code for code, _, _ in found(report)] == ["certificate-expired"]


# The configured policy, as a change of the one that is served, and what is said of the difference.
DIFFERENCES = [
    ("good", {}, []),
    ("good", {"mode": "testing"}, ['mode "enforce" instead of testing']),
    ("good", {"max_age": "1w"}, ['max_age "1209600" instead of 604800']),
    (
        "good",
        {"mx": ["mail.example.com", "*.example.com"]},
        ["it has no mx *.example.com"],
    ),
    ("good", {"mx": ["mail.example.net"]}, ["it has no mx mail.example.net"]),
    ("two-mx", {}, ['it has mx "mail2.example.com"']),
    ("lf", {}, []),  # named by its own rule
]


@pytest.mark.parametrize("label, change, words", DIFFERENCES)
def test_policy_is_compared_with_the_configured_one(
    faulty, trusted_file, setup, label, change, words
):
    served = {"mode": "enforce", "max_age": 1209600, "mx": ["mail.example.com"]}
    config = setup.write({domain_of(label): {**served, **change}})
    place = ["--connect", f"127.0.0.1:{faulty.port}", "--ca", trusted_file]
    (report,) = probe_json("-c", config, *place)
    said = [message for code, _, message in found(report) if code == "policy-differs"]
    assert said == [f"the policy is not the configured one: {word}" for word in words]
    same = report["servers"][0]["policy"]["as_configured"]
    assert same is (label == "good" and not change)


def test_table_for_people(faulty, trusted_file, authority):
    place = ["--connect", f"127.0.0.1:{faulty.port}", "--ca", trusted_file]
    domains = ["good.example", "expired.example", "blank-line.example", "ends-soon.example"]
    printed = probe(*place, *domains, status=1)
    assert printed.stderr == b""
    text = printed.stdout.decode().replace(str(faulty.port), "PORT")
    # Times differ from run to run, and with them the widths of the columns.
    text = re.sub(r"\b\d+ ms", "N ms", text)
    text = re.sub(r"(?<=\S)  +", "  ", text)
    day, soon = (f"{authority.day(number):%Y-%m-%d}" for number in (-1, 5.5))
    assert text == f"""\
DOMAIN  ADDRESS  DNS  CONNECT  TLS  CERTIFICATE  FETCH  POLICY  TOTAL
good.example  127.0.0.1:PORT  -  N ms  1.3 N ms  90 days  200 N ms  enforce  N ms
expired.example  127.0.0.1:PORT  -  N ms  1.3 N ms  expired  200 N ms  enforce  N ms
blank-line.example  127.0.0.1:PORT  -  N ms  1.3 N ms  90 days  200 N ms  blank-line  N ms
ends-soon.example  127.0.0.1:PORT  -  N ms  1.3 N ms  ends soon  200 N ms  enforce  N ms

expired.example: error: the certificate expired on {day}
    why: no sender takes a policy from a server that it cannot verify
    fix: have a new certificate issued, and see that the server takes it over
blank-line.example:5:1: error: there is a blank line
    why: mox, foxcpp and postfix-tlspol refuse the policy
    fix: leave it out
ends-soon.example: warning: the certificate expires on {soon}, in 5 days
    why: after that no sender accepts the server
    fix: have a new certificate issued, and see that the server takes it over

4 domains: 1 good, 1 with warnings, 2 with errors
"""


def test_columns_are_aligned(faulty, trusted_file):
    place = ["--connect", f"127.0.0.1:{faulty.port}", "--ca", trusted_file]
    printed = probe(*place, "good.example", "other-intermediate.example", status=1)
    head, *rows = printed.stdout.decode().splitlines()[:3]
    for row in rows:
        for word in ("ADDRESS", "DNS", "CONNECT", "TLS", "CERTIFICATE", "FETCH", "POLICY", "TOTAL"):
            column = head.index(word)
            assert row[column - 2 : column] == "  " and row[column] != " ", (head, row)


def record(kind, body):
    return struct.pack("!BHH", kind, 0x0303, len(body)) + body


def say(data):
    """A server that answers the first words of a client with these, and waits for its end."""

    def handle(client):
        client.recv(4096)
        client.sendall(data)
        never_answer(client)

    return handle


def hello_of_tls_1_1():
    body = struct.pack("!H32sBHB", 0x0302, b"r" * 32, 0, 0xC013, 0)
    return struct.pack("!BHH", 22, 0x0302, len(body) + 4) + struct.pack("!I", 2 << 24 | len(body)) + body


# label: what the listener does, and what is found.
PORTS = {
    "plain HTTP": (
        say(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("plain-http", "the port speaks plain HTTP instead of HTTPS"),
    ),
    "another protocol": (
        say(b"220 mail.example.com ESMTP\r\n"),
        ("not-tls", "the port does not speak TLS"),
    ),
    "silence": (
        never_answer,
        ("tls-timeout", "the TLS handshake does not end within 1 s"),
    ),
    "hung up": (
        lambda client: client.recv(4096),
        ("tls-closed", "the server closes the connection during the TLS handshake"),
    ),
    "TLS 1.1 by its hello": (
        say(hello_of_tls_1_1()),
        ("tls-old", "the server supports neither TLS 1.2 nor 1.3"),
    ),
    "an alert": (
        say(record(21, b"\x02\x50")),
        ("tls-alert", "the server ends the TLS handshake with alert 80"),
    ),
    "nonsense": (
        say(record(22, b"\x02\x00\x00\x01\x00")),
        ("tls-broken", "the TLS handshake fails, because the server breaks the protocol"),
    ),
}


@pytest.mark.parametrize("label", PORTS)
def test_port_without_tls_as_we_know_it(program, authority, label):
    del program
    handle, (code, message) = PORTS[label]
    with Listener(handle) as listener:
        place = ["--connect", f"127.0.0.1:{listener.port}", "--ca", authority.root_file]
        (report,) = probe_json(*place, "--timeout", "1s", "example.com", status=1)
    assert found(report) == [(code, "error", message)]
    assert report["servers"][0]["reached"] == "tls"


def versions_only(authority, folder, versions, **options):
    leaf = authority.issue("mta-sts.example.com")
    context = server_context(folder, leaf, versions=versions, **options)

    def handle(client):
        with context.wrap_socket(client, server_side=True) as stream:
            read_head(stream)
            stream.sendall(response())
            stream.unwrap()

    return handle


V = ssl.TLSVersion


@pytest.mark.parametrize(
    "versions, ciphers, expected",
    [
        (
            (V.TLSv1, V.TLSv1_1),
            "DEFAULT@SECLEVEL=0",
            [("tls-old", "error", "the server supports neither TLS 1.2 nor 1.3")],
        ),
        ((V.TLSv1_2, V.TLSv1_2), "DEFAULT@SECLEVEL=0", []),
        (
            (V.TLSv1_3, V.TLSv1_3),
            "DEFAULT@SECLEVEL=0",
            [("tls-1.3-only", "warning", "the server does not support TLS 1.2")],
        ),
        (
            (V.TLSv1_2, V.TLSv1_2),
            "ECDHE-ECDSA-AES128-SHA",
            [
                (
                    "tls-suites",
                    "error",
                    "the server has no TLS parameters in common with senders of today (alert "
                    "handshake_failure)",
                )
            ],
        ),
    ],
    ids=["1.0 and 1.1", "1.2", "1.3", "CBC"],
)
def test_versions_and_suites(program, authority, tmp_path, versions, ciphers, expected):
    del program
    handle = versions_only(authority, tmp_path, versions, ciphers=ciphers)
    with Listener(handle) as listener:
        place = ["--connect", f"127.0.0.1:{listener.port}", "--ca", authority.root_file]
        (report,) = probe_json(*place, "example.com")
    assert found(report) == expected


def test_second_handshake_has_what_is_left_of_the_time(program, authority, tmp_path):
    """The server hangs when it is offered nothing but TLS 1.2."""
    del program
    serve = versions_only(authority, tmp_path, (V.TLSv1_3, V.TLSv1_3))

    def handle(client):
        hello = client.recv(4096, socket.MSG_PEEK)
        if b"\x00\x2b\x00" in hello:  # the extension supported_versions
            serve(client)
        else:
            never_answer(client)

    begin = time.monotonic()
    with Listener(handle) as listener:
        place = ["--connect", f"127.0.0.1:{listener.port}", "--ca", authority.root_file]
        (report,) = probe_json(*place, "--timeout", "4s", "example.com", status=0)
    took = time.monotonic() - begin
    (finding,) = report["findings"]
    assert (finding["code"], finding["level"]) == ("tls-1.2-timeout", "warning")
    assert re.fullmatch(r"a handshake of TLS 1\.2 does not end within [234](\.\d)? s", finding["message"])
    assert took < 4 + 20, took  # on a busy machine


def test_nobody_listens(program, authority):
    del program
    with Listener(never_answer) as listener:
        port = listener.port
    place = ["--connect", f"127.0.0.1:{port}", "--ca", authority.root_file]
    (report,) = probe_json(*place, "example.com", status=1)
    assert found(report) == [("refused", "error", "the connection is refused")]


def test_child_that_dies_costs_one_domain(program, faulty, trusted_file):
    """It is killed while it waits for a server that says nothing; the next domain is asked."""
    domains = ["late.example", "good.example"]
    process = subprocess.Popen(
        [program, "probe", "--json", "--connect", f"127.0.0.1:{faulty.port}", "--ca", trusted_file]
        + domains,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    before = len(faulty.requests)
    wanted = b"Host: mta-sts.late.example"
    until(lambda: any(wanted in head for head in faulty.requests[before:]), "the request")
    (child,) = until(
        lambda: len(server.children_of(process.pid)) == 1 and server.children_of(process.pid),
        "the other child to end",
    )
    os.kill(child, signal.SIGKILL)
    out, err = process.communicate(timeout=30)
    late, good = json.loads(out)
    assert err == b"" and process.returncode == 1
    assert found(late) == [
        ("internal", "error", "the process that probed this domain crashed")
    ]
    assert found(good) == []


def test_child_that_hangs_is_ended(program, faulty, trusted_file):
    """What it has found is reported; it is stopped, as if it computed without end."""
    process = subprocess.Popen(
        [program, "probe", "--json", "--connect", f"127.0.0.1:{faulty.port}", "--ca", trusted_file]
        + ["--timeout", "1s", "late.example"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    (child,) = until(lambda: server.children_of(process.pid), "the child")
    os.kill(child, signal.SIGSTOP)
    out, err = process.communicate(timeout=60)
    (report,) = json.loads(out)
    assert err == b"" and process.returncode == 1
    assert found(report)[-1] == (
        "unfinished",
        "error",
        "the probe of this domain takes too long, and was ended",
    )


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--ca", "/nonexistent"], "authorities: error: /nonexistent: No such file or directory\n"),
        (["--ca", "{empty}"], "authorities: error: {empty}: there is no certificate of an authority\n"),
        (["-c", "/nonexistent"], "/nonexistent: error: cannot be read: No such file or directory\n"),
    ],
)
def test_probe_that_cannot_begin(program, tmp_path, arguments, said):
    del program
    empty = tmp_path / "empty"
    empty.write_text("")
    done = probe(*(word.replace("{empty}", str(empty)) for word in arguments), "a.example", status=1)
    assert done.stdout == b"" and done.stderr.decode().startswith(said.replace("{empty}", str(empty)))


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["mta-sts.example.com"], "write the mail domain, example.com, not its policy host:"),
        (["m\u00fcller.example"], "write xn--mller-kva.example instead of"),
        (["a b"], "not the name of a domain:"),
        ([".".join(["a" * 60] * 4) + ".eu"], 'longer than 253 characters with "mta-sts." before it:'),
        (["--connect", "example.com", "a.example"], "not an address such as 192.0.2.1 or "),
        (["--connect", "unix:/run/x", "a.example"], "not an address such as 192.0.2.1 or "),
        (["--timeout", "0", "a.example"], "not a duration such as 5s:"),
        (["--timeout", "2h", "a.example"], "not a duration such as 5s:"),
    ],
)
def test_wrong_usage(program, arguments, said):
    del program
    done = probe(*arguments, status=2)
    assert done.stdout == b"" and done.stderr.decode().startswith(f"mta-sts-httpd: {said}")


@pytest.mark.parametrize(
    "word, address",
    [
        ("127.0.0.1", "127.0.0.1:443"),
        ("127.0.0.1:8443", "127.0.0.1:8443"),
        ("::1", "[::1]:443"),
        ("[::1]", "[::1]:443"),
        ("[::1]:8443", "[::1]:8443"),
    ],
)
def test_forms_of_an_address(program, authority, word, address):
    del program
    (report,) = probe_json("--connect", word, "--ca", authority.root_file, "a.example")
    assert report["servers"][0]["address"] == address

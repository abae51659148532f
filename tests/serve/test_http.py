"""HTTP: what an answer looks like, one and several on a connection. Odd and bad requests are in
test_torture.py."""

import email.utils
import re
import socket
import ssl
import time

import pytest

from support import client
from support.client import PATH, check_error, request
from support.server import Server
from support.setup import DEFAULT_POLICY, Setup, body_of
from support.tree import LIMITS

HOST = "mta-sts.example.com"
FOREIGN = "mta-sts.example.net"  # ours too, but not the one of the handshake
GET = request(HOST)
pytestmark = pytest.mark.usefixtures("unharmed")


@pytest.fixture
def connection(three, trusted):
    with three.connect(trusted) as opened:
        yield opened


# What is served.


def test_headers_are_exactly_these(connection, three):
    response = connection.exchange(GET)
    assert response.reason == "OK"
    assert response.names == [
        "cache-control",
        "content-length",
        "content-type",
        "date",
        "strict-transport-security",
        "x-content-type-options",
    ]
    assert response.header("Content-Type") == "text/plain"
    assert response.header("Content-Length") == str(len(three.body()))
    assert response.header("Cache-Control") == "no-cache"
    assert response.header("X-Content-Type-Options") == "nosniff"
    # For this host alone, not for those below it.
    assert response.header("Strict-Transport-Security") == "max-age=31557600"


def test_date_is_now_and_of_the_preferred_form(connection):
    before = time.time()
    date = connection.exchange(GET).header("Date")
    day = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] [A-Z][a-z][a-z] 20[0-9][0-9]"
    assert re.fullmatch(day + r" [0-2][0-9]:[0-5][0-9]:[0-6][0-9] GMT", date)
    instant = email.utils.parsedate_to_datetime(date).timestamp()
    assert before - 2 <= instant <= time.time() + 1


def test_head_has_the_headers_and_no_body(connection, three):
    got = connection.exchange(GET)
    head = connection.exchange(request(HOST, method="HEAD"), "HEAD")
    assert (head.status, head.reason, head.names) == (got.status, got.reason, got.names)
    assert head.header("Content-Length") == str(len(three.body()))
    # Nothing follows the head: the next response begins where it should.
    assert connection.exchange(GET).body == three.body()


def test_http_1_0_without_a_host_is_served_by_sni(connection, three):
    """HTTP/1.0 has no Host header; the name of the handshake stands for it."""
    assert connection.exchange(request(None, version="HTTP/1.0")).body == three.body()
    assert connection.rest() == b""


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_http_1_0_is_answered_and_closed(connection, three, method):
    response = connection.exchange(request(HOST, method=method, version="HTTP/1.0"), method)
    assert response.status == 200
    assert response.body == (three.body() if method == "GET" else b"")
    assert connection.rest() == b""


# What is not: test_torture.py has all of it.


def test_head_of_an_error_has_no_body(connection, three):
    for target, host, status in (("/", HOST, 404), (PATH, FOREIGN, 421)):
        response = connection.exchange(request(host, method="HEAD", target=target), "HEAD")
        assert response.status == status
        check_error(response, "HEAD")
    assert connection.exchange(GET).body == three.body()


# Several requests, several pieces.


def test_close_is_kept_to(connection, three):
    response = connection.exchange(request(HOST, close=True))
    assert response.body == three.body()
    assert response.header("Connection") == "close"
    assert connection.rest() == b""


@pytest.mark.parametrize("value", ["close", "CLOSE", "keep-alive, close", "foo,close ,bar"])
def test_close_is_found_in_a_list(connection, value):
    response = connection.exchange(request(HOST, headers=["Connection: " + value]))
    assert response.header("Connection") == "close"
    assert connection.rest() == b""


def test_requests_a_connection_are_bounded(connection, three):
    most = LIMITS["LIMIT_REQUESTS_A_CONNECTION"]
    for number in range(1, most + 1):
        response = connection.exchange(GET)
        assert response.body == three.body()
        assert response.header("Connection") == ("close" if number == most else None)
    assert connection.rest() == b""


def test_pipelined_requests_are_answered_in_order(connection, three):
    sequence = [
        (GET, "GET", 200),
        (request(HOST, method="HEAD"), "HEAD", 200),
        (request(HOST, target="/"), "GET", 404),
        (request(HOST, target="/", method="HEAD"), "HEAD", 404),
        (request(FOREIGN), "GET", 421),
        (GET, "GET", 200),
    ] * 5
    connection.send(b"".join(data for data, _, _ in sequence))
    for _, method, status in sequence:
        response = connection.response(method)
        assert response.status == status
        if method == "GET" and status == 200:
            assert response.body == three.body()


def test_what_follows_a_close_is_ignored(connection, three):
    connection.send(GET + request(HOST, close=True) + GET * 20)
    assert connection.response().body == three.body()
    assert connection.response().header("Connection") == "close"
    assert connection.rest() == b""


def test_request_split_at_every_byte(three, trusted):
    """Two TLS records, each cut tried; and then a record for each byte."""
    cuts = list(range(1, len(GET)))
    step = LIMITS["LIMIT_REQUESTS_A_CONNECTION"] - 1
    for start in range(0, len(cuts), step):
        with three.connect(trusted) as connection:
            for cut in cuts[start : start + step]:
                connection.send(GET[:cut])
                connection.send(GET[cut:])
                response = connection.response()
                assert (response.status, response.body) == (200, three.body()), cut
    with three.connect(trusted) as connection:
        for byte in GET:
            connection.send(bytes([byte]))
        assert connection.response().body == three.body()


def test_client_that_ends_its_side_after_the_request_is_answered(three, trusted):
    """close_notify in one direction leaves the other open (RFC 8446 section 6.1)."""
    stepped = client.Stepped(HOST, trusted)
    with socket.create_connection(("127.0.0.1", three.port), timeout=15) as plain:
        client.handshake_in_pieces(plain, stepped)
        data = stepped.encrypt(request(HOST, close=True))
        try:
            stepped.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        plain.sendall(data + stepped.take())
        assert plain.recv(65536), "closed without the response"


# A domain whose policy is not valid.


@pytest.fixture(scope="module")
def quarantine(program, authority, tmp_path_factory):
    """A server with one good domain and one whose policy is not valid."""
    del program
    setup = Setup(tmp_path_factory.mktemp("quarantine"), authority)
    setup.certify("example.com")
    setup.certify("bad.example")
    broken = {"mode": "enforced", "max_age": "2w", "mx": ["mail.bad.example"]}
    config = setup.write({"example.com": None, "bad.example": broken})
    line = setup.line_of("bad.example:")
    expect = [rf"mta-sts\.yaml:{line}:\d+: error: ", r"^\s+(why|fix): ", r"bad\.example"]
    with Server.running(config, expect=expect) as server:
        yield server


def test_quarantined_domain_is_503(quarantine, trusted):
    with client.Connection(quarantine.port, "mta-sts.bad.example", trusted) as connection:
        response = connection.exchange(request("mta-sts.bad.example"))
        assert response.status == 503
        check_error(response)
        assert int(response.header("Retry-After")) > 0
        head = connection.exchange(request("mta-sts.bad.example", method="HEAD"), "HEAD")
        assert (head.status, head.names) == (503, response.names)
        other = connection.exchange(request("mta-sts.bad.example", target="/"))
        assert other.status == 404


def test_good_domain_beside_it_is_served(quarantine, trusted):
    response = client.fetch(quarantine.port, HOST, trusted)
    assert (response.status, response.body) == (200, body_of(DEFAULT_POLICY))

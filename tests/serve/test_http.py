"""HTTP: every status, every edge of the grammar, and no second interpretation."""

import email.utils
import re
import socket
import ssl
import time

import pytest

from support import client
from support.client import PATH, request
from support.server import Server
from support.setup import DEFAULT_POLICY, Setup, body_of
from support.tree import LIMITS

HOST = "mta-sts.example.com"
FOREIGN = "mta-sts.example.net"  # ours too, but not the one of the handshake
GET = request(HOST)
pytestmark = pytest.mark.usefixtures("unharmed")

REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


@pytest.fixture
def connection(three, trusted):
    with three.connect(trusted) as opened:
        yield opened


def raw(*lines, end="\r\n"):
    return (end.join(lines) + end + end).encode("latin-1")


def check_error(response, method="GET"):
    """An error body is one plain word that no policy parser takes for "key: value"."""
    assert response.reason == REASONS[response.status]
    assert response.header("Location") is None
    assert response.header("Content-Type") == "text/plain"
    assert (response.header("Allow") is None) == (response.status != 405)
    assert (response.header("Retry-After") is None) == (response.status != 503)
    if method != "HEAD":
        assert re.fullmatch(rb"[a-z-]+\r?\n", response.body), response.body


# What is served.

GOOD = {
    "plain": GET,
    "upper-case host": request(HOST.upper()),
    "trailing dot": request(HOST + "."),
    "port": request(HOST + ":443"),
    "another port": request(HOST + ":8443"),
    "trailing dot and port": request(HOST + ".:443"),
    "host without a space": raw(f"GET {PATH} HTTP/1.1", f"Host:{HOST}"),
    "host with blanks around": raw(f"GET {PATH} HTTP/1.1", f"Host: \t {HOST} \t "),
    "header name in upper case": raw(f"GET {PATH} HTTP/1.1", f"HOST: {HOST}"),
    "host last": raw(f"GET {PATH} HTTP/1.1", "Accept: */*", "User-Agent: x", f"Host: {HOST}"),
    "absolute form": request(HOST, target=f"https://{HOST}{PATH}"),
    "absolute form, upper case": request(HOST, target=f"HTTPS://{HOST.upper()}{PATH}"),
    # RFC 9112 section 3.2.2: the target counts, and the Host beside it does not.
    "absolute form with another Host": request(FOREIGN, target=f"https://{HOST}{PATH}"),
    "absolute form with port": request(HOST, target=f"https://{HOST}:443{PATH}"),
    "conditions are ignored": request(
        HOST, headers=["If-None-Match: *", "If-Modified-Since: Sun, 06 Nov 2044 08:49:37 GMT"]
    ),
    "ranges are ignored": request(HOST, headers=["Range: bytes=0-3"]),
    "no compression": request(HOST, headers=["Accept-Encoding: gzip, br, deflate, identity;q=0"]),
    "no other type": request(HOST, headers=["Accept: application/json"]),
    "an upgrade is ignored": request(HOST, headers=["Connection: upgrade, h2c", "Upgrade: h2c"]),
    "an empty value": request(HOST, headers=["X-Empty:", "X-Blank: "]),
    "bytes above 127 in a value": request(HOST, headers=["X-Latin: M\xfcller"]),
    "every character of a header name": request(HOST, headers=["!#$%&'*+-.^_`|~09aZ: x"]),
    "a tab in a value": request(HOST, headers=["X-Tab: a\tb"]),
}


@pytest.mark.parametrize("name", GOOD)
def test_policy_is_served(connection, three, name):
    response = connection.exchange(GOOD[name])
    assert (response.status, response.body) == (200, three.body())
    # The connection stays in step: the next request on it is answered too.
    assert connection.exchange(GET).body == three.body()


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


# What is not.

LONG = LIMITS["LIMIT_REQUEST_HEAD"]


def padded(size):
    """A good request with a head of exactly so many bytes."""
    empty = len(request(HOST, headers=["X-Pad: "]))
    return request(HOST, headers=["X-Pad: " + "x" * (size - empty)])


def crowded(count):
    """A good request with so many header lines."""
    return request(HOST, headers=[f"X-{number}: x" for number in range(count - 1)])


NOT_FOUND = {
    "root": request(HOST, target="/"),
    "longer path": request(HOST, target=PATH + "/"),
    "suffix": request(HOST, target=PATH + ".bak"),
    "prefix": request(HOST, target=PATH[:-1]),
    "another case": request(HOST, target="/.well-known/MTA-STS.txt"),
    "double slash": request(HOST, target="//.well-known/mta-sts.txt"),
    "dot segments": request(HOST, target="/.well-known/../.well-known/mta-sts.txt"),
    "other well-known": request(HOST, target="/.well-known/security.txt"),
    "absolute form of another path": request(HOST, target=f"https://{HOST}/"),
    "absolute form without a path": request(HOST, target=f"https://{HOST}"),
}

METHODS = ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "get", "GETT", "GE"]

MISDIRECTED = {
    "another host of ours": request(FOREIGN),
    "no host of ours": request("mta-sts.example.edu"),
    "the domain itself": request("example.com"),
    "a host below": request("www." + HOST),
    "a prefix": request(HOST[:-1]),
    "an address": request("127.0.0.1"),
    "an IPv6 address": request("[::1]:443"),
    "localhost": request("localhost"),
    "absolute form of another": request(FOREIGN, target=f"https://{FOREIGN}{PATH}"),
}

MALFORMED = {
    "no Host": request(None),
    "an empty Host": request(""),
    "two Hosts, alike": request(HOST, headers=[f"Host: {HOST}"]),
    "two Hosts": request(HOST, headers=[f"Host: {FOREIGN}"]),
    "two Hosts, apart": request(HOST, headers=["Accept: */*", f"host: {FOREIGN}"]),
    "a list of Hosts": request(f"{HOST}, {FOREIGN}"),
    "Host with a path": request(HOST + "/"),
    "Host with a user": request("user@" + HOST),
    "Host with a scheme": request("https://" + HOST),
    "Host with a space": request("mta-sts. example.com"),
    "Host with a bad port": request(HOST + ":443a"),
    "Host with two ports": request(HOST + ":443:443"),
    "bare LF everywhere": raw(f"GET {PATH} HTTP/1.1", f"Host: {HOST}", end="\n"),
    "bare LF after the request line": GET.replace(b"\r\n", b"\n", 1),
    "bare LF at the end": GET[:-2] + b"\n",
    "bare LF before the end": GET[:-4] + b"\n\r\n",
    "bare LF splits a header": request(HOST, headers=["X-A: a\nX-B: b"]),
    "bare LF hides a Host": request(HOST, headers=[f"X-A: a\nHost: {FOREIGN}"]),
    "bare CR in a header": request(HOST, headers=["X-A: a\rX-B: b"]),
    "bare CR in the request line": GET.replace(b" HTTP", b"\r HTTP", 1),
    "CR CR LF": GET.replace(b"\r\n", b"\r\r\n", 1),
    "NUL in a header": request(HOST, headers=["X-A: a\0b"]),
    "NUL in the target": request(HOST, target=PATH + "\0"),
    "NUL in Host": request(HOST + "\0"),
    "control character in a header": request(HOST, headers=["X-A: a\x01b"]),
    "DEL in a header": request(HOST, headers=["X-A: a\x7fb"]),
    "obs-fold": request(HOST, headers=["X-A: a", " b"]),
    "obs-fold with a tab": request(HOST, headers=["X-A: a", "\tb"]),
    "obs-fold in Host": raw(f"GET {PATH} HTTP/1.1", "Host:", f" {HOST}"),
    "first header begins with a space": raw(f"GET {PATH} HTTP/1.1", f" Host: {HOST}"),
    "a space before the colon": raw(f"GET {PATH} HTTP/1.1", f"Host : {HOST}"),
    "no colon": request(HOST, headers=["X-A"]),
    "no name": request(HOST, headers=[": x"]),
    "a bad character in a name": request(HOST, headers=["X(A): x"]),
    "a byte above 127 in a name": request(HOST, headers=["X-\xe4: x"]),
    "no version": raw(f"GET {PATH}", f"Host: {HOST}"),
    "HTTP/0.9": f"GET {PATH}\r\n\r\n".encode(),
    "no target": raw("GET HTTP/1.1", f"Host: {HOST}"),
    "an empty target": raw("GET  HTTP/1.1", f"Host: {HOST}"),
    "no method": raw(f" {PATH} HTTP/1.1", f"Host: {HOST}"),
    "two spaces": raw(f"GET  {PATH} HTTP/1.1", f"Host: {HOST}"),
    "two spaces before the version": raw(f"GET {PATH}  HTTP/1.1", f"Host: {HOST}"),
    "a space after the version": raw(f"GET {PATH} HTTP/1.1 ", f"Host: {HOST}"),
    "tabs for spaces": raw(f"GET\t{PATH}\tHTTP/1.1", f"Host: {HOST}"),
    "a fourth word": raw(f"GET {PATH} x HTTP/1.1", f"Host: {HOST}"),
    "a bad character in the method": request(HOST, method="GE(T"),
    "a target without a slash": request(HOST, target=PATH[1:]),
    "a byte above 127 in the target": request(HOST, target=PATH + "\xe4"),
    "version in lower case": request(HOST, version="http/1.1"),
    "version with words after": request(HOST, version="HTTP/1.1x"),
    "version with two digits": request(HOST, version="HTTP/1.10"),
    "version without a minor": request(HOST, version="HTTP/1"),
    "another protocol": request(HOST, version="ICY/1.1"),
    "a body by length": request(HOST, headers=["Content-Length: 5"]) + b"hello",
    "a body by chunks": request(HOST, headers=["Transfer-Encoding: chunked"]) + b"0\r\n\r\n",
    "both": request(HOST, headers=["Content-Length: 5", "Transfer-Encoding: chunked"]),
    "an unknown coding": request(HOST, headers=["Transfer-Encoding: identity"]),
    "a length that is none": request(HOST, headers=["Content-Length: x"]),
    "a negative length": request(HOST, headers=["Content-Length: -1"]),
    "a signed length": request(HOST, headers=["Content-Length: +5"]),
    "a hexadecimal length": request(HOST, headers=["Content-Length: 0x5"]),
    "an empty length": request(HOST, headers=["Content-Length:"]),
    "two lengths": request(HOST, headers=["Content-Length: 0", "Content-Length: 5"]),
    "a list of lengths": request(HOST, headers=["Content-Length: 5, 5"]),
    "an endless length": request(HOST, headers=["Content-Length: 99999999999999999999999"]),
    "a length that wraps": request(HOST, headers=["Content-Length: 18446744073709551616"]),
}

TOO_LONG = {
    "one byte too long": padded(LONG + 1),
    "a long target": request(HOST, target="/" + "x" * LONG),
    "a long header": request(HOST, headers=["X-A: " + "x" * LONG]),
    "a long method": request(HOST, method="G" * LONG),
    "many headers": crowded(LIMITS["LIMIT_REQUEST_HEADERS"] + 1),
}

VERSIONS = ["HTTP/2.0", "HTTP/3.0", "HTTP/9.9", "HTTP/0.9"]


def check_refused(connection, data, status, after=GET):
    """One answer and then the end: what follows a bad request is not interpreted."""
    connection.send(data + after)
    response = connection.response()
    assert response.status == status
    check_error(response)
    assert response.header("Connection") == "close"
    assert connection.rest() == b""


@pytest.mark.parametrize("name", NOT_FOUND)
def test_another_path_is_404(connection, three, name):
    response = connection.exchange(NOT_FOUND[name])
    assert response.status == 404
    check_error(response)
    assert connection.exchange(GET).body == three.body()


@pytest.mark.parametrize("method", METHODS)
def test_another_method_is_405(connection, method):
    response = connection.exchange(request(HOST, method=method))
    assert response.status == 405
    check_error(response)
    assert sorted(response.header("Allow").split(", ")) == ["GET", "HEAD"]


def test_post_with_a_body_is_not_read_as_a_request(connection):
    """The body is a request itself; whoever answers it has been smuggled to."""
    head = request(HOST, method="POST", headers=[f"Content-Length: {len(GET)}"])
    connection.send(head + GET)
    response = connection.response()
    assert response.status in (400, 405)
    if response.header("Connection") == "close":
        assert connection.rest() == b""
    else:
        assert connection.exchange(request(HOST, target="/")).status == 404


@pytest.mark.parametrize("target", ["*", "mta-sts.example.com:443"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "CONNECT"])
def test_other_forms_of_a_target_serve_nothing(connection, method, target):
    response = connection.exchange(request(HOST, method=method, target=target))
    assert response.status in ((400, 404) if method == "GET" else (400, 405))
    check_error(response)


@pytest.mark.parametrize("name", MISDIRECTED)
def test_another_host_is_421(connection, name):
    response = connection.exchange(MISDIRECTED[name])
    assert response.status == 421
    check_error(response)


@pytest.mark.parametrize(
    "data",
    [
        request(HOST, target=f"https://{FOREIGN}{PATH}"),
        request(HOST, target=f"http://{HOST}{PATH}"),
        request(HOST, target=f"ftp://{HOST}{PATH}"),
        request(HOST, target=f"https://user@{HOST}{PATH}"),
        request(HOST, target=f"https://{PATH}"),
        request(HOST, target=f"https:{PATH}"),
    ],
    ids=["other target", "http", "ftp", "user", "no authority", "no slashes"],
)
def test_absolute_form_that_contradicts_serves_nothing(connection, data):
    response = connection.exchange(data)
    assert response.status in (400, 404, 421)
    check_error(response)


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_is_400_and_the_end(connection, name):
    check_refused(connection, MALFORMED[name], 400)


@pytest.mark.parametrize("name", TOO_LONG)
def test_head_too_long_is_431_and_the_end(connection, name):
    check_refused(connection, TOO_LONG[name], 431)


def test_endless_head_is_431_without_an_end(connection):
    """The answer comes when the limit is reached, not when the head ends."""
    connection.send(GET[:-2] + b"X-A: " + b"x" * LONG)
    response = connection.response()
    assert response.status == 431
    check_error(response)


def test_head_at_the_limits_is_served(connection, three):
    assert len(padded(LONG)) == LONG
    assert connection.exchange(padded(LONG)).body == three.body()
    assert connection.exchange(crowded(LIMITS["LIMIT_REQUEST_HEADERS"])).body == three.body()


@pytest.mark.parametrize("version", VERSIONS)
def test_unknown_version_is_505_and_the_end(connection, version):
    check_refused(connection, request(HOST, version=version), 505)


def test_preface_of_http_2_is_refused(connection):
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    response = connection.response()
    assert response.status in (400, 505)
    check_error(response)
    assert connection.rest() == b""


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


def test_malformed_split_at_every_byte(three, trusted):
    """A bad line end is as bad when it arrives in two pieces."""
    data = request(HOST, headers=["X-A: a\nX-B: b"])
    at = data.index(b"\n", data.index(b"X-A"))
    for cut in (at - 1, at, at + 1, len(data) - 1):
        with three.connect(trusted) as connection:
            connection.send(data[:cut])
            connection.send(data[cut:])
            assert connection.response().status == 400, cut
            assert connection.rest() == b""


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

"""HTTP torture: whatever two readers could understand differently has one answer here, or none.

Each row is a request, what it is answered with, and whether the connection goes on; each group says
where the standard stands on it. Behind every request stands a good one: it is answered when the
connection goes on, and never when the row is the end. After every row the same worker serves.
"""

import dataclasses

import pytest

from support import client
from support.client import PATH, check_error, request
from support.server import Server
from support.setup import DEFAULT_POLICY, Setup, body_of
from support.tree import LIMITS, instrumented

HOST = "mta-sts.example.com"
FOREIGN = "mta-sts.example.net"  # ours too, but not the one of the handshake
GET = request(HOST)
BODY = body_of(DEFAULT_POLICY)
HEAD_LIMIT = LIMITS["LIMIT_REQUEST_HEAD"]
HEADERS_LIMIT = LIMITS["LIMIT_REQUEST_HEADERS"]


@dataclasses.dataclass
class Row:
    data: bytes
    answers: tuple
    goes_on: bool
    why: str


ROWS = {}


def group(why, answers, fate, rows):
    """fate: "on" or "end". answers: a status, or those of several requests."""
    answers = (answers,) if isinstance(answers, int) else answers
    for name, data in rows.items():
        assert name not in ROWS, name
        ROWS[name] = Row(data, answers, fate == "on", why)


def raw(*lines, end="\r\n"):
    return (end.join(lines) + end + end).encode("latin-1")


def get(*headers, **options):
    return request(HOST, headers=headers, **options)


def post(*headers, body=b"", method="POST", **options):
    return request(HOST, method=method, headers=headers, **options) + body


def first_line(line):
    return raw(line, f"Host: {HOST}")


# Good requests, oddly written.

group(
    "RFC 9110 section 5.1, 5.5, RFC 9112 section 5: case, order and blanks of fields mean nothing",
    200,
    "on",
    {
        "plain": GET,
        "host without a space": raw(f"GET {PATH} HTTP/1.1", f"Host:{HOST}"),
        "host with blanks around": raw(f"GET {PATH} HTTP/1.1", f"Host: \t {HOST} \t "),
        "header name in upper case": raw(f"GET {PATH} HTTP/1.1", f"HOST: {HOST}"),
        "host last": raw(f"GET {PATH} HTTP/1.1", "Accept: */*", "User-Agent: x", f"Host: {HOST}"),
        "an empty value": get("X-Empty:", "X-Blank: "),
        "bytes above 127 in a value": get("X-Latin: M\xfcller", "X-All: \x80\xa0\xff"),
        "every character of a header name": get("!#$%&'*+-.^_`|~09aZ: x"),
        "a tab in a value": get("X-Tab: a\tb"),
        "colons in a value": get("X-A: b: c:", "X-B:: :"),
    },
)
group(
    "RFC 9110 section 4.2.3, 7.2: a host has no case, its port is not looked at",
    200,
    "on",
    {
        "upper-case host": request(HOST.upper()),
        "trailing dot": request(HOST + "."),
        "port": request(HOST + ":443"),
        "another port": request(HOST + ":8443"),
        "empty port": request(HOST + ":"),
        "trailing dot and port": request(HOST + ".:443"),
    },
)
group(
    "RFC 9112 section 3.2.2: absolute-form must be taken, and the Host beside it does not count",
    200,
    "on",
    {
        "absolute form": get(target=f"https://{HOST}{PATH}"),
        "absolute form, upper case": get(target=f"HTTPS://{HOST.upper()}{PATH}"),
        "absolute form with another Host": request(FOREIGN, target=f"https://{HOST}{PATH}"),
        "absolute form with port": get(target=f"https://{HOST}:443{PATH}"),
        "absolute form with another port": get(target=f"https://{HOST}:8443{PATH}"),
        "absolute form with an empty port": get(target=f"https://{HOST}:{PATH}"),
        "absolute form with a trailing dot": get(target=f"https://{HOST}.{PATH}"),
    },
)
group(
    "RFC 9110 section 7.8, 10.1.1, 12.5, 13, 14.2: what a server may leave unheeded",
    200,
    "on",
    {
        "conditions": get("If-None-Match: *", "If-Modified-Since: Sun, 06 Nov 2044 08:49:37 GMT"),
        "ranges": get("Range: bytes=0-3"),
        "compression": get("Accept-Encoding: gzip, br, deflate, identity;q=0"),
        "another type": get("Accept: application/json"),
        "upgrade to h2c": get(
            "Connection: upgrade, http2-settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAA"
        ),
        "upgrade to a websocket": get("Connection: Upgrade", "Upgrade: websocket"),
        "expectation without a body": get("Expect: 100-continue"),
        "unknown expectation": get("Expect: the-unexpected"),
        "trailers announced": get("TE: trailers, chunked", "Trailer: Host"),
        "names that only look like framing": get(
            "Content_Length: 5", "Transfer_Encoding: chunked", "Content-Encoding: chunked"
        ),
        "host named hop by hop": get("Connection: host, content-length, keep-alive"),
        "method overridden": get("X-HTTP-Method-Override: POST", "X-Method: DELETE"),
        "host and path overridden": get(
            f"X-Forwarded-Host: {FOREIGN}", "X-Original-URL: /", "X-Rewrite-URL: /", "Forwarded: host=x"
        ),
    },
)
group(
    "RFC 9110 section 2.5: a higher minor version is read as the highest that is known",
    200,
    "on",
    {"HTTP/1.2": get(version="HTTP/1.2"), "HTTP/1.9": get(version="HTTP/1.9")},
)
group(
    "RFC 9110 section 8.6: no body is a body of length 0",
    200,
    "on",
    {"length 0": get("Content-Length: 0"), "length 0 with blanks": get("Content-Length: \t0\t ")},
)
group(
    "RFC 9112 section 2.2: one empty line before a request is ignored",
    200,
    "on",
    {"one empty line first": b"\r\n" + GET},
)
group(
    "RFC 9112 section 9.3: several requests, the answers in their order",
    (200, 404, 421, 200),
    "on",
    {
        "pipeline": GET + get(target="/") + request(FOREIGN) + GET,
        "pipeline with empty lines": b"\r\n".join([GET, get(target="/"), request(FOREIGN), GET]),
        "pipeline with lengths of 0": get("Content-Length: 0")
        + get("Content-Length: 0", target="/")
        + request(FOREIGN, headers=["Content-Length: 0"])
        + GET,
    },
)
group(
    "our limits are inclusive",
    200,
    "on",
    {
        "the longest head": get("X-Pad: " + "x" * (HEAD_LIMIT - len(get("X-Pad: ")))),
        "the most headers": get(*[f"X-{number}: x" for number in range(HEADERS_LIMIT - 1)]),
    },
)

# Requests that are understood and get nothing.

group(
    "RFC 9110 section 4.2.3, RFC 3986 section 6: a path is compared byte for byte",
    404,
    "on",
    {
        "root": get(target="/"),
        "longer path": get(target=PATH + "/"),
        "suffix": get(target=PATH + ".bak"),
        "prefix": get(target=PATH[:-1]),
        "query": get(target=PATH + "?"),
        "parameter": get(target=PATH + ";a=b"),
        "another case": get(target="/.well-known/MTA-STS.txt"),
        "double slash": get(target="//.well-known/mta-sts.txt"),
        "network-path reference": get(target=f"//{FOREIGN}{PATH}"),
        "dot segments": get(target="/.well-known/../.well-known/mta-sts.txt"),
        "percent-encoded letter": get(target="/.well-known/mta%2Dsts.txt"),
        "percent-encoded slash": get(target="/.well-known%2Fmta-sts.txt"),
        "percent-encoded NUL": get(target=PATH + "%00"),
        "percent-encoded line end": get(target=PATH + "%0d%0aX:%20y"),
        "percent sign alone": get(target=PATH + "%"),
        "other well-known": get(target="/.well-known/security.txt"),
        "absolute form of another path": get(target=f"https://{HOST}/"),
        "absolute form without a path": get(target=f"https://{HOST}"),
        "absolute form with a query for a path": get(target=f"https://{HOST}?{PATH}"),
    },
)
group(
    "RFC 9110 section 9.1: methods have case, and DESIGN answers every other one alike",
    405,
    "on",
    {
        "method in lower case": get(method="get"),
        "method in mixed case": get(method="Get"),
        "method cut": get(method="GE"),
        "method with more": get(method="GETT"),
        "method of the oddest token": get(method="!#$%&'*+-.^_`|~"),
        "DELETE": get(method="DELETE"),
        "TRACE": get(method="TRACE"),
        "POST without a length": post(),
        "POST with length 0": post("Content-Length: 0"),
        "OPTIONS of the server": get(method="OPTIONS", target="*"),
    },
)
group(
    "RFC 9110 section 7.4, 15.5.20: a host that the handshake was not for",
    421,
    "on",
    {
        "another host of ours": request(FOREIGN),
        "no host of ours": request("mta-sts.example.edu"),
        "the domain itself": request("example.com"),
        "a host below": request("www." + HOST),
        "a prefix": request(HOST[:-1]),
        "two trailing dots": request(HOST + ".."),
        "a percent-encoded dot": request("mta-sts%2eexample.com"),
        "a percent-encoded NUL": request(HOST + "%00"),
        "an address": request("127.0.0.1"),
        "an IPv6 address": request("[::1]:443"),
        "an IPv6 address, mapped": request("[::ffff:127.0.0.1]"),
        "localhost": request("localhost"),
        "a list without blanks": request(f"{HOST},{FOREIGN}"),
        "HTTP/1.2 for another": request(FOREIGN, version="HTTP/1.2"),
        "absolute form of another": request(FOREIGN, target=f"https://{FOREIGN}{PATH}"),
        "absolute form of another, Host of ours": get(target=f"https://{FOREIGN}{PATH}"),
        "absolute form of another, and POST": post(
            "Content-Length: 0", target=f"https://{FOREIGN}{PATH}"
        ),
        "absolute form of an address": get(target=f"https://[::1]{PATH}"),
    },
)
group(
    "RFC 9110 section 7.4: this is an origin of https, and http is another one",
    421,
    "on",
    {
        "http": get(target=f"http://{HOST}{PATH}"),
        "http with our port": get(target=f"http://{HOST}:443{PATH}"),
        "http in upper case": get(target=f"HTTP://{HOST}{PATH}"),
    },
)
group(
    "RFC 9110 section 9.3.6: whoever asks for a tunnel may already be talking through it",
    405,
    "end",
    {
        "CONNECT": get(method="CONNECT", target=f"{HOST}:443"),
        "CONNECT elsewhere": get(method="CONNECT", target="mail.example.com:25"),
        "CONNECT and a hello": get(method="CONNECT", target="[::1]:443") + b"\x16\x03\x01\x00\x05",
        "CONNECT of HTTP/1.0": get("Connection: keep-alive", method="CONNECT", target=f"{HOST}:1"),
    },
)

# Where a body would be.

SMUGGLED = get(target="/")
LENGTH = f"Content-Length: {len(SMUGGLED)}"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
group(
    "RFC 9112 section 9.3: a body that is not read ends the connection; it is never a request",
    405,
    "end",
    {
        "POST by length": post(LENGTH, body=SMUGGLED),
        "POST by length, no body yet": post("Content-Length: 5"),
        "POST by length in part": post("Content-Length: 5", body=b"he"),
        "POST by a length with zeros": post("Content-Length: 00005", body=b"hello"),
        "POST by no length, almost": post("Content-Length: 00"),
        "POST by an endless length": post("Content-Length: 99999999999999999999999"),
        "POST by a length that wraps": post("Content-Length: 18446744073709551616"),
        "POST that waits for 100": post(LENGTH, "Expect: 100-continue", body=SMUGGLED),
        "POST that wants to stay": post(LENGTH, "Connection: keep-alive", body=SMUGGLED),
        "OPTIONS by length": post(LENGTH, method="OPTIONS", body=SMUGGLED),
        "an unknown method by length": post(LENGTH, method="QUERY", body=SMUGGLED),
        "POST by chunks": post("Transfer-Encoding: chunked", body=CHUNKS),
        "OPTIONS by chunks": post("Transfer-Encoding: chunked", method="OPTIONS", body=CHUNKS),
        "chunks with a bare LF": post("Transfer-Encoding: chunked", body=b"0\n\n" + SMUGGLED),
        "chunks with an extension": post("Transfer-Encoding: chunked", body=b"0;a\nb\r\n\r\n"),
        "chunks with a wrapped size": post("Transfer-Encoding: chunked", body=b"1" + b"0" * 16),
        "chunks with a trailer": post("Transfer-Encoding: chunked", body=b"0\r\nHost: x\r\n\r\n"),
        "chunks twice": post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=CHUNKS),
        "chunks and identity": post("Transfer-Encoding: chunked, identity", body=CHUNKS),
        "chunks before gzip": post("Transfer-Encoding: chunked, gzip", body=CHUNKS),
        "chunks misspelt": post("Transfer-Encoding: xchunked", body=CHUNKS),
        "chunks in quotes": post('Transfer-Encoding: "chunked"', body=CHUNKS),
        "chunks in mixed case": post("tRANSFER-eNCODING: cHUNKED", body=CHUNKS),
        "chunks after a tab": post("Transfer-Encoding:\tchunked", body=CHUNKS),
        "chunks with 8-bit bytes": post("Transfer-Encoding: chunked\xa0", body=CHUNKS),
        "no coding": post("Transfer-Encoding:", body=SMUGGLED),
        "chunks of HTTP/1.0": post("Transfer-Encoding: chunked", body=CHUNKS, version="HTTP/1.0"),
    },
)
group(
    "RFC 9112 section 6.1, 6.3: Content-Length beside Transfer-Encoding",
    400,
    "end",
    {
        "CL.TE": post("Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        "TE.CL": post("Transfer-Encoding: chunked", "Content-Length: 5", body=CHUNKS),
        "CL.TE, length 0": post("Content-Length: 0", "Transfer-Encoding: chunked", body=CHUNKS),
        "CL.TE, apart": post(LENGTH, "X-A: b", "Transfer-Encoding: identity", body=SMUGGLED),
        "CL.TE of HTTP/1.0": post(
            LENGTH, "Transfer-Encoding: chunked", version="HTTP/1.0", body=CHUNKS
        ),
        "CL.TE of GET": get("Content-Length: 0", "Transfer-Encoding: chunked"),
    },
)
group(
    "RFC 9110 section 8.6, RFC 9112 section 6.3: a Content-Length that is no number, or is several",
    400,
    "end",
    {
        f"{method}, length {name}": request(HOST, method=method, headers=headers) + b"hello"
        for method in ("GET", "POST")
        for name, headers in {
            "of a letter": ["Content-Length: x"],
            "negative": ["Content-Length: -1"],
            "negative zero": ["Content-Length: -0"],
            "signed": ["Content-Length: +5"],
            "hexadecimal": ["Content-Length: 0x5"],
            "with a fraction": ["Content-Length: 5.0"],
            "with an exponent": ["Content-Length: 5e0"],
            "with a blank": ["Content-Length: 5 5"],
            "with an underscore": ["Content-Length: 0_5"],
            "with 8-bit bytes": ["Content-Length: 5\xa0"],
            "in quotes": ['Content-Length: "5"'],
            "empty": ["Content-Length:"],
            "twice": ["Content-Length: 5", "Content-Length: 5"],
            "twice, zero": ["Content-Length: 0", "Content-Length: 0"],
            "twice, different": ["Content-Length: 0", "content-length: 5"],
            "twice, apart": ["Content-Length: 5", "X-A: b", "Content-Length: 6"],
            "in a list": ["Content-Length: 5, 5"],
            "in a list with nothing": ["Content-Length: 5,"],
        }.items()
    },
)
group(
    "RFC 9110 section 9.3.1, RFC 9112 section 11.2: a body with GET is a way to smuggle",
    400,
    "end",
    {
        "GET by length": get(LENGTH) + SMUGGLED,
        "GET by a length with zeros": get("Content-Length: 00"),
        "GET by an endless length": get("Content-Length: 99999999999999999999999"),
        "GET by a length that wraps": get("Content-Length: 18446744073709551616"),
        "GET that waits for 100": get(LENGTH, "Expect: 100-continue") + SMUGGLED,
        "GET by chunks": get("Transfer-Encoding: chunked") + CHUNKS,
        "GET by an unknown coding": get("Transfer-Encoding: identity") + SMUGGLED,
        "GET by no coding": get("Transfer-Encoding:") + SMUGGLED,
        "GET by chunks in HTTP/1.0": get("Transfer-Encoding: chunked", version="HTTP/1.0") + CHUNKS,
        "HEAD by length": get(LENGTH, method="HEAD") + SMUGGLED,
    },
)
group(
    "RFC 9112 section 5.1, 5.5: a header that hides from one of two readers",
    400,
    "end",
    {
        f"{name} {mark}": post(line, LENGTH if name == "coding" else "X-A: b", body=SMUGGLED)
        for name, field in (("coding", "Transfer-Encoding: chunked"), ("length", LENGTH))
        for mark, line in {
            "with a space before the colon": field.replace(":", " :"),
            "with a tab before the colon": field.replace(":", "\t:"),
            "after a space": " " + field,
            "after a tab": "\t" + field,
            "with a NUL in its name": field.replace(":", "\0:"),
            "with a form feed": field.replace(": ", ":\x0c"),
            "with a vertical tab": field.replace(": ", ":\x0b"),
            "behind a bare LF": "X-B: c\n" + field,
            "behind a bare CR": "X-B: c\r" + field,
            "behind CR CR LF": "X-B: c\r\r\n" + field,
            "behind LF CR": "X-B: c\n\r" + field,
            "on two lines": field.replace(": ", ":\r\n "),
            "without a colon": field.replace(":", ""),
            "with 8-bit bytes in its name": field.replace("-", "\xad"),
        }.items()
    },
)

# The grammar.

group(
    "RFC 9112 section 2.2: lines end with CR LF here, a bare one of them is refused",
    400,
    "end",
    {
        "bare LF everywhere": raw(f"GET {PATH} HTTP/1.1", f"Host: {HOST}", end="\n"),
        "bare CR everywhere": raw(f"GET {PATH} HTTP/1.1", f"Host: {HOST}", end="\r"),
        "LF CR everywhere": raw(f"GET {PATH} HTTP/1.1", f"Host: {HOST}", end="\n\r"),
        "bare LF after the request line": GET.replace(b"\r\n", b"\n", 1),
        "bare LF at the end": GET[:-2] + b"\n",
        "bare LF before the end": GET[:-4] + b"\n\r\n",
        "bare LF splits a header": get("X-A: a\nX-B: b"),
        "bare LF hides a Host": get(f"X-A: a\nHost: {FOREIGN}"),
        "bare LF ends the head": get("X-A: a\n\nGET / HTTP/1.1"),
        "bare CR in a header": get("X-A: a\rX-B: b"),
        "bare CR in the request line": GET.replace(b" HTTP", b"\r HTTP", 1),
        "bare CR at the end": GET[:-2] + b"\rX",
        "CR CR LF": GET.replace(b"\r\n", b"\r\r\n", 1),
        "two empty lines first": b"\r\n\r\n" + GET,
        "bare LF first": b"\n" + GET,
        "bare CR first": b"\r" + GET,
        "a blank line first": b" \r\n" + GET,
    },
)
group(
    "RFC 9110 section 5.5: NUL and other control bytes are in no line",
    400,
    "end",
    {
        "NUL in a header": get("X-A: a\0b"),
        "NUL in the target": get(target=PATH + "\0"),
        "NUL in the method": get(method="GET\0"),
        "NUL in the version": get(version="HTTP/1.1\0"),
        "NUL in Host": request(HOST + "\0"),
        "NUL first": b"\0" + GET,
        "NUL alone in a line": get("\0"),
        "control character in a header": get("X-A: a\x01b"),
        "escape in a header": get("X-A: \x1b[2J"),
        "DEL in a header": get("X-A: a\x7fb"),
    },
)
group(
    "RFC 9112 section 5.1, 5.2: folds, colons and names of fields",
    400,
    "end",
    {
        "obs-fold": get("X-A: a", " b"),
        "obs-fold with a tab": get("X-A: a", "\tb"),
        "obs-fold of nothing": get("X-A: a", " "),
        "obs-fold in Host": raw(f"GET {PATH} HTTP/1.1", "Host:", f" {HOST}"),
        "obs-fold after Host": raw(f"GET {PATH} HTTP/1.1", f"Host: {HOST}", f" {FOREIGN}"),
        "first header begins with a space": raw(f"GET {PATH} HTTP/1.1", f" Host: {HOST}"),
        "a space before the colon": raw(f"GET {PATH} HTTP/1.1", f"Host : {HOST}"),
        "no colon": get("X-A"),
        "no name": get(": x"),
        "only a colon": get(":"),
        "a space in a name": get("X A: x"),
        "a bracket in a name": get("X(A): x"),
        "a quote in a name": get('"X-A": x'),
        "a byte above 127 in a name": get("X-\xe4: x"),
        "a request line for a header": get(f"GET {PATH} HTTP/1.1"),
    },
)
group(
    "RFC 9112 section 3: method SP target SP version, and nothing else",
    400,
    "end",
    {
        "no version": first_line(f"GET {PATH}"),
        "HTTP/0.9": f"GET {PATH}\r\n\r\n".encode(),
        "no target": first_line("GET HTTP/1.1"),
        "an empty target": first_line("GET  HTTP/1.1"),
        "no method": first_line(f" {PATH} HTTP/1.1"),
        "a space first": first_line(f" GET {PATH} HTTP/1.1"),
        "two spaces": first_line(f"GET  {PATH} HTTP/1.1"),
        "two spaces before the version": first_line(f"GET {PATH}  HTTP/1.1"),
        "a space after the version": first_line(f"GET {PATH} HTTP/1.1 "),
        "tabs for spaces": first_line(f"GET\t{PATH}\tHTTP/1.1"),
        "a fourth word": first_line(f"GET {PATH} x HTTP/1.1"),
        "a space in the target": get(target=PATH + " "),
        "two request lines": raw(f"GET {PATH} HTTP/1.1", "GET / HTTP/1.1", f"Host: {HOST}"),
        "a bad character in the method": get(method="GE(T"),
        "a byte above 127 in the method": get(method="G\xcbT"),
        "a byte order mark": b"\xef\xbb\xbf" + GET,
        "version in lower case": get(version="http/1.1"),
        "version with words after": get(version="HTTP/1.1x"),
        "version with two digits": get(version="HTTP/1.10"),
        "version with a zero": get(version="HTTP/01.1"),
        "version without a minor": get(version="HTTP/1"),
        "version with a comma": get(version="HTTP/1,1"),
        "version with a sign": get(version="HTTP/+1.1"),
        "another protocol": get(version="ICY/1.1"),
        "a response": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "SMTP": b"EHLO mail.example.com\r\n",
        "PROXY": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n" + GET,
        "PROXY version 2": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + GET,
        "TLS within TLS": b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00" + GET,
    },
)
group(
    "RFC 9112 section 3.2, RFC 3986 section 2, 3.2: targets that are of no form",
    400,
    "end",
    {
        "a target without a slash": get(target=PATH[1:]),
        "a byte above 127 in the target": get(target=PATH + "\xe4"),
        "DEL in the target": get(target=PATH + "\x7f"),
        "a fragment": get(target=PATH + "#"),
        "a fragment in absolute form": get(target=f"https://{HOST}#{PATH}"),
        "a backslash": get(target="/.well-known\\mta-sts.txt"),
        "a quote": get(target=PATH + '"'),
        "angle brackets": get(target=f"<{PATH}>"),
        "braces": get(target="/{.well-known}/mta-sts.txt"),
        "authority-form with GET": get(target=f"{HOST}:443"),
        "asterisk-form with GET": get(target="*"),
        "asterisk-form with POST": post(target="*"),
        "asterisk-form with more": get(method="OPTIONS", target="*/"),
        "CONNECT without a port": get(method="CONNECT", target=HOST),
        "CONNECT with a user": get(method="CONNECT", target=f"user@{HOST}:443"),
        "CONNECT with a path": get(method="CONNECT", target=PATH),
        "CONNECT in absolute form": get(method="CONNECT", target=f"https://{HOST}:443/"),
        "absolute form with a user": get(target=f"https://user@{HOST}{PATH}"),
        "absolute form with user and password": get(target=f"https://user:secret@{HOST}{PATH}"),
        "absolute form with our name as user": get(target=f"https://{HOST}@{FOREIGN}{PATH}"),
        "absolute form with a backslash": get(target=f"https://{HOST}\\@{FOREIGN}{PATH}"),
        "absolute form without an authority": get(target=f"https://{PATH}"),
        "absolute form with only a port": get(target=f"https://:443{PATH}"),
        "absolute form with port 0": get(target=f"https://{HOST}:0{PATH}"),
        "absolute form with port 65536": get(target=f"https://{HOST}:65536{PATH}"),
        "absolute form with a signed port": get(target=f"https://{HOST}:+443{PATH}"),
        "absolute form without slashes": get(target=f"https:{PATH}"),
        "absolute form with one slash": get(target=f"https:/{HOST}{PATH}"),
        "absolute form of ftp": get(target=f"ftp://{HOST}{PATH}"),
        "absolute form of wss": get(target=f"wss://{HOST}{PATH}"),
        "absolute form of a longer scheme": get(target=f"https+x://{HOST}{PATH}"),
        "absolute form with a zone": get(target=f"https://[fe80::1%25lo]{PATH}"),
        "absolute form, no Host": request(None, target=f"https://{HOST}{PATH}"),
        "absolute form, two Hosts": get(f"Host: {HOST}", target=f"https://{HOST}{PATH}"),
        "absolute form, a bad Host": request("a b", target=f"https://{HOST}{PATH}"),
    },
)
group(
    "RFC 9112 section 3.2: no Host, several, or one that is none",
    400,
    "end",
    {
        "no Host": request(None),
        "an empty Host": request(""),
        "two Hosts, alike": get(f"Host: {HOST}"),
        "two Hosts": get(f"Host: {FOREIGN}"),
        "two Hosts, apart": get("Accept: */*", f"host: {FOREIGN}"),
        "two Hosts, one empty": get("Host:"),
        "two Hosts in HTTP/1.0": get(f"Host: {HOST}", version="HTTP/1.0"),
        "a list of Hosts": request(f"{HOST}, {FOREIGN}"),
        "Host with a path": request(HOST + "/"),
        "Host with a query": request(HOST + "?"),
        "Host with a user": request("user@" + HOST),
        "Host with a scheme": request("https://" + HOST),
        "Host with a space": request("mta-sts. example.com"),
        "Host with a tab": request("mta-sts.\texample.com"),
        "Host with 8-bit bytes": request(HOST + "\xa0"),
        "Host with a backslash": request(HOST + "\\"),
        "Host with a bad port": request(HOST + ":443a"),
        "Host with a signed port": request(HOST + ":-443"),
        "Host with port 0": request(HOST + ":0"),
        "Host with port 65536": request(HOST + ":65536"),
        "Host with two ports": request(HOST + ":443:443"),
        "Host with only a port": request(":443"),
        "Host with a percent sign": request(HOST + "%"),
        "Host with a bare IPv6 address": request("::1"),
        "Host with an open bracket": request("[::1"),
        "Host with brackets around a name": request(f"[{HOST}]"),
        "Host with a zone": request("[fe80::1%lo]"),
    },
)
group(
    "RFC 9110 section 15.6.6: a major version that is not ours",
    505,
    "end",
    {
        "HTTP/2.0": get(version="HTTP/2.0"),
        "HTTP/3.0": get(version="HTTP/3.0"),
        "HTTP/9.9": get(version="HTTP/9.9"),
        "HTTP/0.9, written out": get(version="HTTP/0.9"),
        "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    },
)
group(
    "RFC 6585 section 5, RFC 9112 section 3: longer than anyone needs",
    431,
    "end",
    {
        "one byte too long": get("X-Pad: " + "x" * (HEAD_LIMIT + 1 - len(get("X-Pad: ")))),
        "one header too many": get(*[f"X-{number}: x" for number in range(HEADERS_LIMIT)]),
        "thousands of headers": get(*[f"X-{number}: x" for number in range(5000)]),
        "thousands of empty headers": get(*["X:"] * 5000),
        "a long target": get(target="/" + "x" * HEAD_LIMIT),
        "a huge target": get(target="/" + "x" * 200_000),
        "a huge host": request("x" * 200_000),
        "a huge header": get("X-A: " + "x" * 200_000),
        "a long header name": get("x" * HEAD_LIMIT + ": a"),
        "a long method": get(method="G" * HEAD_LIMIT),
        "a long version": get(version="HTTP/1." + "1" * HEAD_LIMIT),
        "a long length": get("Content-Length: " + "0" * HEAD_LIMIT),
        "a head that never ends": GET[:-2] + b"X-A: " + b"x" * HEAD_LIMIT,
    },
)


@pytest.fixture(scope="module")
def alone(program, authority, tmp_path_factory):
    """One server with one worker for all rows: what a row breaks, the next one meets."""
    del program
    setup = Setup(tmp_path_factory.mktemp("alone"), authority)
    setup.certify("example.com")
    setup.certify("example.net")
    listen = ["127.0.0.1:0", {"address": "127.0.0.3:0", "tls": False}]
    config = setup.write(["example.com", "example.net"], listen=listen, workers=1)
    with Server.running(config) as server:
        yield server


@pytest.fixture(autouse=True)
def unharmed(alone, trusted):
    """After the test: the same worker lives and serves, and nothing was said."""
    workers, since = alone.workers(), alone.mark()
    assert len(workers) == 1
    yield
    response = client.fetch(alone.port, HOST, trusted)
    assert (response.status, response.body) == (200, BODY)
    assert alone.workers() == workers, alone.log()
    assert alone.mark() == since, alone.log()


def check_answers(connection, row):
    """Reads what must come, to the end or to the answer to the good request behind the row."""
    method = "HEAD" if row.data.startswith(b"HEAD ") else "GET"
    for number, status in enumerate(row.answers, 1):
        response = connection.response(method)
        assert response.status == status, (response, row.why)
        if status == 200:
            assert response.body == BODY
        else:
            check_error(response, method)
        last = number == len(row.answers) and not row.goes_on
        assert response.header("Connection") == ("close" if last else None), row.why
    if row.goes_on:
        response = connection.response()
        assert (response.status, response.body) == (200, BODY), row.why
    else:
        assert connection.rest() == b"", f"a second interpretation; {row.why}"


def send_with_next(connection, data):
    """The data and the good request behind it: in one record when the library has room for that."""
    data += GET
    for at in range(0, len(data), HEAD_LIMIT):
        connection.send(data[at : at + HEAD_LIMIT])


@pytest.mark.parametrize("name", ROWS)
def test_row(alone, trusted, name):
    row = ROWS[name]
    with client.Connection(alone.port, HOST, trusted) as connection:
        send_with_next(connection, row.data)
        check_answers(connection, row)


# Behind a proxy each request has its own host, and the proxy has the say about the scheme.
PLAIN_ROWS = [name for name, row in ROWS.items() if 421 not in row.answers]


@pytest.mark.parametrize("name", PLAIN_ROWS)
def test_row_behind_a_proxy(alone, name):
    row = ROWS[name]
    with client.Connection(alone.ports[1], None, None, address="127.0.0.3") as connection:
        send_with_next(connection, row.data)
        check_answers(connection, row)


def cuts_of(data):
    """Each byte of the lines that make the row what it is; the ends of all others."""
    usual, cuts, at = set(GET.split(b"\r\n")), set(), 0
    for line in data.split(b"\r\n"):
        after = at + len(line) + 2
        if line in usual or len(line) > 50:
            cuts |= {at + len(line) // 2, after - 2, after - 1}
        else:
            cuts |= set(range(at + 1, after))
        at = after
        if len(cuts) > 120:
            break
    return sorted(cut for cut in cuts if 0 < cut < len(data))


# Of each row a part of the cuts, another part of the next row: a test of the parser alone has tried
# all (test_http.c), so here it is about how the pieces come together.
CUT_EVERY = 40 if instrumented() else 4


@pytest.mark.parametrize("why", dict.fromkeys(row.why for row in ROWS.values()))
def test_rows_of_a_group_in_two_halves(alone, trusted, why):
    """Cut into two records, a row is the same row."""
    rows = [(name, row) for name, row in ROWS.items() if row.why == why]
    for number, (name, row) in enumerate(rows):
        for cut in cuts_of(row.data)[number % CUT_EVERY :: CUT_EVERY]:
            with client.Connection(alone.port, HOST, trusted) as connection:
                connection.send(row.data[:cut])
                send_with_next(connection, row.data[cut:])
                try:
                    check_answers(connection, row)
                except AssertionError as error:
                    raise AssertionError(f"{name}, cut at {cut}") from error

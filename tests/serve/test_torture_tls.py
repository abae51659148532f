"""TLS torture: records that no library sends, before, during and after the handshake.

Each row says what comes of it: the alert, "close notify" after an answer, None for an end without a
word, or "goes on". After every row the same worker serves. Where the library is milder than the
standard, the row says so; all such connections end at their deadline at the latest.
"""

import random
import socket
import struct

import pytest

from support import client, hello
from support.sealed import ALERT, CHANGE_CIPHER_SPEC, DATA, HANDSHAKE, HEARTBEAT, Sealed
from support.server import Server, alive
from support.setup import DEFAULT_POLICY, Setup, body_of
from support.tree import LIMITS, instrumented

HOST = "mta-sts.example.com"
BODY = body_of(DEFAULT_POLICY)
GET = client.request(HOST)
LAST = client.request(HOST, close=True)
HELLO_13 = hello.client_hello(HOST)
HELLO_12 = hello.client_hello(HOST, versions=None)
GOES_ON = "goes on"
UNEXPECTED, OVERFLOW = "unexpected_message", "record_overflow"


@pytest.fixture(scope="module")
def alone(program, authority, tmp_path_factory):
    """One server with one worker for all rows: what a row breaks, the next one meets."""
    del program
    setup = Setup(tmp_path_factory.mktemp("alone"), authority)
    setup.certify("example.com")
    with Server.running(setup.write(["example.com"], workers=1)) as server:
        (server.worker,) = server.workers()
        server.key_log = setup.root / "keys"
        server.root_file = authority.root_file
        yield server


@pytest.fixture(autouse=True)
def unharmed(alone, trusted):
    """After the test: the same worker lives and serves, and nothing was said."""
    since = alone.mark()
    yield
    response = client.fetch(alone.port, HOST, trusted)
    assert (response.status, response.body) == (200, BODY)
    assert alive(alone.worker), alone.log()
    assert alone.mark() == since, alone.log()


def record(content, kind=HANDSHAKE, version=hello.TLS12):
    return hello.record(content, kind, version)


def fragments(message, size):
    return b"".join(record(message[at : at + size]) for at in range(0, len(message), size))


def padded_hello(size, **options):
    """A good hello of about so many bytes."""
    names = tuple(b"x" * 200 for _ in range(size // 201)) + (b"http/1.1",)
    return hello.client_hello(HOST, alpn=names, **options)


# In clear: what comes before and instead of a handshake.

CLEAR = {
    # RFC 8446 section 5: a type of record that is not expected.
    "plain HTTP": (GET, UNEXPECTED),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", UNEXPECTED),
    "SMTP": (b"EHLO mail.example.com\r\n", UNEXPECTED),
    "PROXY": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n" + record(HELLO_13), UNEXPECTED),
    "zeros": (bytes(64), UNEXPECTED),
    "application data first": (record(GET, DATA), UNEXPECTED),
    "heartbeat first": (record(b"\x01\x40\x00", HEARTBEAT), UNEXPECTED),
    "unknown type": (record(b"abc", 99), UNEXPECTED),
    "type 255": (record(b"abc", 255), UNEXPECTED),
    # RFC 8446 section 4: messages that no client begins with.
    "hello request first": (record(b"\0\0\0\0"), UNEXPECTED),
    "server hello first": (record(b"\x02\x00\x00\x26\x03\x03" + bytes(36)), UNEXPECTED),
    "finished first": (record(b"\x14\0\0\x0c" + bytes(12)), UNEXPECTED),
    "key update first": (record(b"\x18\0\0\x01\0"), UNEXPECTED),
    # RFC 8446 appendix D.5: SSL 2, and a hello in its form.
    "SSL 2": (b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37), UNEXPECTED),
    "SSL 2 for TLS 1.0": (b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + bytes(37), UNEXPECTED),
    # RFC 8446 section 5.1: the version of a record means nothing, but the first byte is 3.
    "record of SSL 3": (record(HELLO_13, version=0x0300), GOES_ON),
    "record of TLS 1.3": (record(HELLO_13, version=0x0304), GOES_ON),
    "record of TLS 9": (record(HELLO_13, version=0x0C00), UNEXPECTED),
    # RFC 8446 section 5.1: no records of the handshake without content, none beyond 2^14.
    "empty record": (record(b"") + record(HELLO_13), UNEXPECTED),
    "empty records": (record(b"") * 2000, UNEXPECTED),
    "record of 65535 bytes": (b"\x16\x03\x01\xff\xff" + b"\x01" * 70000, OVERFLOW),
    "record of 65535 bytes, announced": (b"\x16\x03\x01\xff\xff", OVERFLOW),
    # RFC 8446 section 5.1: a record may be full, and with post-quantum key shares a hello is long.
    "hello of 5000 bytes": (record(padded_hello(5000)), GOES_ON),
    "hello of 5000 bytes in pieces": (fragments(padded_hello(5000), 2000), GOES_ON),
    "hello of 5000 bytes of TLS 1.2": (record(padded_hello(5000, versions=None)), GOES_ON),
    "hello of 16000 bytes": (record(padded_hello(16000)), GOES_ON),
    "hello of 16000 bytes in pieces": (fragments(padded_hello(16000), 100), GOES_ON),
    "hello of 24000 bytes": (fragments(padded_hello(24000), 4000), OVERFLOW),
    "hello of 4000 bytes": (record(padded_hello(4000)), GOES_ON),
    "hello of 4000 bytes in pieces": (fragments(padded_hello(4000), 500), GOES_ON),
    # RFC 8446 section 5.1: a message in several records. The library wants its head in the first.
    "hello in pieces of 4": (fragments(HELLO_13, 4), GOES_ON),
    "hello in pieces of 100": (fragments(HELLO_13, 100), GOES_ON),
    "hello of TLS 1.2 in pieces of 4": (fragments(HELLO_12, 4), GOES_ON),
    "hello in pieces of 1": (fragments(HELLO_13, 1), UNEXPECTED),
    "empty record within a hello": (
        record(HELLO_13[:50]) + record(b"") + record(HELLO_13[50:]),
        UNEXPECTED,
    ),
    "alert within a hello": (
        record(HELLO_13[:50]) + record(b"\x01\x5a", ALERT) + record(HELLO_13[50:]),
        UNEXPECTED,
    ),
    "change within a hello": (
        record(HELLO_13[:50]) + record(b"\x01", CHANGE_CIPHER_SPEC) + record(HELLO_13[50:]),
        UNEXPECTED,
    ),
    "two hellos in a record": (record(HELLO_13 * 2), UNEXPECTED),
    "hello that claims less": (record(b"\x01\x00\x00\x28" + HELLO_13[4:]), UNEXPECTED),
    # The rest would have to come, so what ends it is the client or the deadline.
    "hello that claims more": (record(b"\x01\xff\xff\xff" + HELLO_13[4:]), None),
    "hello that is cut": (record(HELLO_13)[:-7], None),
    "one byte": (b"\x16", None),
    "nothing": (b"", None),
    # RFC 8446 section 5: the library ignores a change of ciphers that comes too early.
    "change of ciphers first": (record(b"\x01", CHANGE_CIPHER_SPEC) + record(HELLO_13), GOES_ON),
    "bad change of ciphers first": (record(b"\x02", CHANGE_CIPHER_SPEC), UNEXPECTED),
    # RFC 5246 section 7.4: in TLS 1.2, after the server's flight and in place of the client's.
    "TLS 1.2, hello again": (record(HELLO_12) * 2, UNEXPECTED),
    "TLS 1.2, data early": (record(HELLO_12) + record(GET, DATA), UNEXPECTED),
    "TLS 1.2, finished early": (
        record(HELLO_12) + record(b"\x14\0\0\x0c" + bytes(12)),
        UNEXPECTED,
    ),
    "TLS 1.2, change of ciphers early": (
        record(HELLO_12) + record(b"\x01", CHANGE_CIPHER_SPEC) * 500,
        UNEXPECTED,
    ),
    "TLS 1.2, no point for a key": (record(HELLO_12) + record(b"\x10\0\0\1\0"), "decode_error"),
    # RFC 8446 section 6: an alert of another size.
    "short alert": (record(b"\x02", ALERT), UNEXPECTED),
    "two alerts in a record": (record(b"\x01\x5a\x01\x5a", ALERT), UNEXPECTED),
    "empty alert": (record(b"", ALERT), UNEXPECTED),
}


def answer_in_clear(port, data, **options):
    """Sends, ends our side, and tells what the server says first: an alert, a hello or nothing."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        try:
            plain.sendall(data)
            plain.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass  # It has seen enough.
        answer = hello.read_answer(plain, **options)
    return GOES_ON if answer.hello else answer.alert_name


@pytest.mark.parametrize("name", CLEAR)
def test_in_clear(alone, name):
    data, expected = CLEAR[name]
    after_hello = name.startswith("TLS 1.2, ")
    assert answer_in_clear(alone.port, data, to_the_end=after_hello) == expected


@pytest.mark.parametrize("message", [HELLO_12, HELLO_13], ids=["1.2", "1.3"])
def test_alerts_before_the_handshake(alone, message):
    """All 256 at both levels. A fatal one is the end, and no alert answers it (RFC 8446 section 6);
    of the others close_notify is the end. The library takes the rest for warnings to be ignored, but
    for no_renegotiation."""
    mildly = {0: None, 100: UNEXPECTED}
    for number in range(256):
        fatal = record(bytes([2, number]), ALERT) + record(message)
        assert answer_in_clear(alone.port, fatal) is None, number
        mild = record(bytes([1, number]), ALERT) + record(message)
        assert answer_in_clear(alone.port, mild) == mildly.get(number, GOES_ON), number


def test_alerts_within_a_handshake_of_tls_1_2(alone):
    for number in range(256):
        fatal = record(HELLO_12) + record(bytes([2, number]), ALERT)
        assert answer_in_clear(alone.port, fatal, to_the_end=True) is None, number


# Encrypted: a good handshake, and then.

BOTH = tuple(client.VERSIONS)
ONLY_12, ONLY_13 = BOTH[:1], BOTH[1:]


def seal(alone, version):
    return Sealed(
        alone.port, HOST, alone.root_file, client.VERSIONS[version], alone.key_log
    )


def of(kind, *contents):
    """Records of one type."""
    return lambda sealed: b"".join(sealed.record(kind, content) for content in contents)


def clear(data):
    return lambda sealed: data


def then_get(build):
    """What a client that notices nothing would do next."""
    return lambda sealed: build(sealed) + sealed.record(DATA, LAST)


def twice(build):
    def built(sealed):
        data = build(sealed)
        return data + data

    return built


SPLIT = [LAST[at : at + 1] for at in range(len(LAST))]
EMPTY = [b""] * 3

# What is sent, in which versions, how many answers come and what the end is.
AFTER = {
    "a request": (of(DATA, LAST), BOTH, 1, "close notify"),
    "a record a byte": (of(DATA, *SPLIT), BOTH, 1, "close notify"),
    # RFC 8446 section 5.1, 5.4, RFC 5246 section 6.2.1: data without data, and padding.
    "empty data first": (of(DATA, *EMPTY, LAST), BOTH, 1, "close notify"),
    "empty data within": (of(DATA, LAST[:9], *EMPTY, LAST[9:]), BOTH, 1, "close notify"),
    "empty data between": (of(DATA, GET, *EMPTY, LAST), BOTH, 2, "close notify"),
    # After three in a row the library takes it for an attack.
    "empty data, four": (of(DATA, *EMPTY, b"", LAST), BOTH, 0, "bad record mac"),
    "empty data, a flood": (of(DATA, *[b""] * 3000, LAST), BOTH, 0, "bad record mac"),
    "padding": (
        lambda sealed: sealed.record(DATA, LAST, padding=500),
        ONLY_13,
        1,
        "close notify",
    ),
    # RFC 8446 section 5.2: too long. We do have a buffer for an answer, but none for the record.
    "record a little beyond our buffer": (
        of(DATA, b"x" * (LIMITS["LIMIT_REQUEST_HEAD"] + 1)),
        BOTH,
        1,
        "close notify",
    ),
    "record beyond our buffer": (of(DATA, b"x" * 16384), BOTH, 1, "close notify"),
    "record beyond every buffer": (of(DATA, b"x" * 20000), BOTH, 1, "close notify"),
    # RFC 8446 section 5: types of records that are not expected.
    "heartbeat": (of(HEARTBEAT, b"\x01\x40\x00"), BOTH, 0, "unexpected message"),
    "unknown type": (of(99, b"abc"), BOTH, 0, "unexpected message"),
    "type 0": (of(0, b"abc"), BOTH, 0, "unexpected message"),
    "plain HTTP": (clear(GET), BOTH, 0, "unexpected message"),
    "change of ciphers": (of(CHANGE_CIPHER_SPEC, b"\x01"), ONLY_12, 0, "unexpected message"),
    # The library ignores these, in clear and encrypted.
    "change of ciphers in clear": (
        then_get(clear(record(b"\x01", CHANGE_CIPHER_SPEC))),
        ONLY_13,
        1,
        "close notify",
    ),
    "change of ciphers in clear, a flood": (
        then_get(clear(record(b"\x01", CHANGE_CIPHER_SPEC) * 10000)),
        ONLY_13,
        1,
        "close notify",
    ),
    # RFC 8446 section 4.6: messages after the handshake. The library has no KeyUpdate.
    "key update": (of(HANDSHAKE, b"\x18\0\0\x01\0"), BOTH, 0, "unexpected message"),
    "key updates": (of(HANDSHAKE, *[b"\x18\0\0\x01\x01"] * 1000), BOTH, 0, "unexpected message"),
    "ticket": (of(HANDSHAKE, b"\x04\0\0\x0c" + bytes(12)), BOTH, 0, "unexpected message"),
    "finished again": (of(HANDSHAKE, b"\x14\0\0\x0c" + bytes(12)), BOTH, 0, "unexpected message"),
    "empty handshake": (of(HANDSHAKE, b""), BOTH, 0, "unexpected message"),
    "hello again": (of(HANDSHAKE, HELLO_13), ONLY_13, 0, "unexpected message"),
    # RFC 5246 section 7.4.1.1: a renegotiation is refused with a warning, which OpenSSL takes badly.
    "renegotiation": (of(HANDSHAKE, HELLO_12), ONLY_12, 0, "no renegotiation"),
    "renegotiation in pieces": (
        of(HANDSHAKE, HELLO_12[:50], HELLO_12[50:]),
        ONLY_12,
        0,
        "no renegotiation",
    ),
    # RFC 8446 section 5.2: records that were not made with the keys.
    "data in clear": (clear(record(GET, DATA)), BOTH, 0, "bad record mac"),
    "alert in clear": (clear(record(b"\x02\x28", ALERT)), BOTH, 0, "bad record mac"),
    "garbage": (clear(record(bytes(range(60)), DATA)), BOTH, 0, "bad record mac"),
    "replay": (twice(of(DATA, GET)), BOTH, 1, "bad record mac"),
    # RFC 8446 section 6: alerts of another size.
    "short alert": (of(ALERT, b"\x02"), BOTH, 0, "unexpected message"),
    "two alerts in a record": (of(ALERT, b"\x01\x5a\x01\x5a"), BOTH, 0, "unexpected message"),
    "empty alert": (of(ALERT, b""), BOTH, 0, "unexpected message"),
    "warnings, a flood": (
        then_get(of(ALERT, *[b"\x01\x5a"] * 2000)),
        BOTH,
        1,
        "close notify",
    ),
    # The library gives up the call for this one, while the request is here already.
    "no renegotiation and a request": (then_get(of(ALERT, b"\x01\x64")), BOTH, 1, "close notify"),
    # RFC 8446 section 6.1: close_notify ends one side. What came before it is answered.
    "request and close_notify": (
        lambda sealed: of(DATA, GET)(sealed) + of(ALERT, b"\x01\0")(sealed),
        BOTH,
        1,
        "close notify",
    ),
    "half a request and close_notify": (
        lambda sealed: of(DATA, GET[:20])(sealed) + of(ALERT, b"\x01\0")(sealed),
        BOTH,
        0,
        "close notify",
    ),
    "close_notify and a request": (then_get(of(ALERT, b"\x01\0")), BOTH, 0, "close notify"),
}
AFTER_ROWS = [(name, version) for name, row in AFTER.items() for version in row[1]]

# The client is done when it has seen the server's Finished, and says something instead of its own.
INSTEAD = {
    "data": (of(DATA, GET), UNEXPECTED),
    "data with the keys of later": (clear(record(bytes(60), DATA)), "bad_record_mac"),
    "data in clear": (clear(record(GET, DATA)), "bad_record_mac"),
    "finished in clear": (clear(record(b"\x14\0\0\x30" + bytes(48))), "bad_record_mac"),
    # Of SHA-384, which is what OpenSSL asks for first.
    "a wrong finished": (of(HANDSHAKE, b"\x14\0\0\x30" + bytes(48)), "decrypt_error"),
    "a longer finished": (of(HANDSHAKE, b"\x14\0\0\x40" + bytes(64)), "decode_error"),
    "key update": (of(HANDSHAKE, b"\x18\0\0\x01\0"), UNEXPECTED),
    "certificate": (of(HANDSHAKE, b"\x0b\0\0\x04" + bytes(4)), UNEXPECTED),
    "heartbeat": (of(HEARTBEAT, b"\x01\x40\x00"), UNEXPECTED),
    "bad change of ciphers": (clear(record(b"\x02", CHANGE_CIPHER_SPEC)), UNEXPECTED),
    "empty handshake": (of(HANDSHAKE, b""), UNEXPECTED),
    "fatal alert": (of(ALERT, b"\x02\x28"), None),
    "close_notify": (of(ALERT, b"\x01\0"), None),
}


def check_end(sealed, count, end):
    data, ended = sealed.answer()
    assert (data.count(b"HTTP/1.1 "), ended) == (count, end), data


@pytest.mark.parametrize("name, version", AFTER_ROWS)
def test_after_the_handshake(alone, name, version):
    build, _, count, end = AFTER[name]
    with seal(alone, version) as sealed:
        sealed.complete()
        sealed.send(build(sealed))
        check_end(sealed, count, end)


@pytest.mark.parametrize("name", INSTEAD)
def test_instead_of_finished_in_tls_1_3(alone, name):
    build, alert = INSTEAD[name]
    with seal(alone, "TLSv1.3") as sealed:
        sealed.send(build(sealed))
        sealed.plain.shutdown(socket.SHUT_WR)
        assert sealed.early_alert() == alert


def test_change_of_ciphers_before_finished_is_ignored(alone):
    """RFC 8446 appendix D.4: for the sake of middle boxes; one or many."""
    with seal(alone, "TLSv1.3") as sealed:
        sealed.send(record(b"\x01", CHANGE_CIPHER_SPEC) * 500)
        sealed.complete()
        sealed.send(sealed.record(DATA, LAST))
        check_end(sealed, 1, "close notify")


@pytest.mark.parametrize("version", client.VERSIONS)
def test_alerts_after_the_handshake(alone, version):
    """All 256 at both levels: as before the handshake."""
    for number in range(0, 256, 8 if instrumented() else 1):
        for level in (1, 2):
            with seal(alone, version) as sealed:
                sealed.complete()
                # In one piece: the library hands some up, and must be asked again for the rest.
                alert = sealed.record(ALERT, bytes([level, number]))
                sealed.send(alert + sealed.record(DATA, LAST))
                if level == 2:
                    check_end(sealed, 0, None)
                else:
                    check_end(sealed, 1 if number else 0, "close notify")


# Ends at any time.


def poke(port, data, *, reset=False):
    """Sends bytes, ends our side, and reads what comes until the server is done."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        try:
            plain.sendall(data)
            if reset:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return b""
            plain.shutdown(socket.SHUT_WR)
            received = b""
            while part := plain.recv(65536):
                received += part
            return received
        except (ConnectionResetError, BrokenPipeError):
            return b""


def test_random_bytes_do_no_harm(alone):
    chance = random.Random(8461)
    good = record(HELLO_13)
    for _ in range(150):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        poke(alone.port, bytes(data[: chance.randrange(1, len(data) + 1)]))
    for _ in range(50):
        received = poke(alone.port, chance.randbytes(chance.randrange(1, 600)))
        assert received == b"" or received[0] in (21, 22), received


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
def test_hello_that_stops_anywhere_does_no_harm(alone, reset):
    good = record(HELLO_13)
    for size in range(0, len(good), 5):
        assert poke(alone.port, good[:size], reset=reset) == b""


@pytest.mark.parametrize("version", client.VERSIONS)
@pytest.mark.parametrize("end", ["end", "reset"])
def test_handshake_and_request_that_stop_anywhere_do_no_harm(alone, version, end):
    """The last words of the handshake, and then a request; answered is only what is whole."""
    for part in range(4):
        with seal(alone, version) as sealed:
            if part == 0:
                sealed.send(sealed.last[: len(sealed.last) // 2])
            else:
                sealed.complete()
                data = sealed.record(DATA, GET[: len(GET) // 2 if part == 2 else None])
                sealed.send(data[: len(data) // 2] if part == 1 else data)
            if end == "reset":
                linger = struct.pack("ii", 1, 0)
                sealed.plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                continue
            sealed.plain.shutdown(socket.SHUT_WR)
            data, ended = sealed.answer()
            assert data.count(b"HTTP/1.1 200 ") == (1 if part == 3 else 0)
            assert ended == (None if part == 0 else "close notify")


@pytest.mark.parametrize("version", client.VERSIONS)
def test_handshake_in_single_bytes(alone, authority, version):
    context = client.trusting(authority.root_file, client.VERSIONS[version])
    stepped = client.Stepped(HOST, context)
    with socket.create_connection(("127.0.0.1", alone.port), timeout=15) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.handshake_in_pieces(plain, stepped, 1)
        for byte in stepped.take() + stepped.encrypt(LAST):
            plain.sendall(bytes([byte]))
        answer = b""
        while (part := stepped.decrypt()) is not None:
            answer += part
            if not part:
                stepped.give(plain.recv(65536))
    assert answer.endswith(b"\r\n\r\n" + BODY)


def test_many_requests_in_one_record(alone, trusted):
    """As many as the library has room for; a longer record nobody needs to send us."""
    count = min(LIMITS["LIMIT_REQUEST_HEAD"] // len(GET), LIMITS["LIMIT_REQUESTS_A_CONNECTION"])
    with client.Connection(alone.port, HOST, trusted) as connection:
        connection.send(GET * count)
        for _ in range(count):
            assert connection.response().body == BODY

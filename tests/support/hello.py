"""ClientHellos made by hand, for what no TLS library would send, and what comes back in clear."""

import dataclasses
import os
import socket
import struct

# RFC 8446 section 6 and RFC 6066, RFC 7301.
ALERTS = {
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    47: "illegal_parameter",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    109: "missing_extension",
    112: "unrecognized_name",
    116: "certificate_required",
    120: "no_application_protocol",
}

# Cipher suites (RFC 5288, 5289, 7905, 8446) by their names in OpenSSL.
SUITES = {
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
    "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C,
    "ECDHE-RSA-AES128-GCM-SHA256": 0xC02F,
    "ECDHE-RSA-AES256-GCM-SHA384": 0xC030,
    "ECDHE-RSA-CHACHA20-POLY1305": 0xCCA8,
    "ECDHE-ECDSA-CHACHA20-POLY1305": 0xCCA9,
    "ECDHE-ECDSA-AES128-SHA": 0xC009,
    "ECDHE-ECDSA-AES128-SHA256": 0xC023,
    "ECDHE-RSA-AES128-SHA": 0xC013,
    "ECDHE-RSA-AES128-SHA256": 0xC027,
    "DHE-RSA-AES128-GCM-SHA256": 0x009E,
    "AES128-GCM-SHA256": 0x009C,
    "AES128-SHA": 0x002F,
    "DES-CBC3-SHA": 0x000A,
    "RC4-SHA": 0x0005,
    "NULL-SHA": 0x0002,
    "ECDHE-ECDSA-NULL-SHA": 0xC006,
    "AECDH-AES128-SHA": 0xC018,
    "PSK-AES128-GCM-SHA256": 0x00A8,
    "ECDHE-ECDSA-AES128-CCM8": 0xC0AE,
}

GROUPS = {
    "P-256": 0x0017,
    "P-384": 0x0018,
    "P-521": 0x0019,
    "X25519": 0x001D,
    "X448": 0x001E,
    "brainpoolP256r1": 0x001A,
    "secp256k1": 0x0016,
    "ffdhe2048": 0x0100,
    "ffdhe8192": 0x0104,
}

SIGNATURES = {
    "rsa_pkcs1_sha256": 0x0401,
    "ecdsa_secp256r1_sha256": 0x0403,
    "ecdsa_secp384r1_sha384": 0x0503,
    "rsa_pss_rsae_sha256": 0x0804,
    "rsa_pkcs1_sha1": 0x0201,
    "ecdsa_sha1": 0x0203,
}

TLS10, TLS11, TLS12, TLS13 = 0x0301, 0x0302, 0x0303, 0x0304
GOOD_SUITES_13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384")
GOOD_SUITES_12 = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256")
GOOD_SIGNATURES = (
    "ecdsa_secp256r1_sha256",
    "ecdsa_secp384r1_sha384",
    "rsa_pss_rsae_sha256",
    "rsa_pkcs1_sha256",
)


def _vector(data, width):
    return len(data).to_bytes(width, "big") + data


def _numbers(values, table):
    return b"".join(struct.pack("!H", table.get(value, value)) for value in values)


def _extension(number, data):
    return struct.pack("!H", number) + _vector(data, 2)


def _key_share(group):
    """A share that has the right form; the point of a curve is its generator."""
    if group == GROUPS["X25519"]:
        return struct.pack("!H", group) + _vector(os.urandom(32), 2)
    if group == GROUPS["P-256"]:
        point = (
            "04"
            "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
        )
        return struct.pack("!H", group) + _vector(bytes.fromhex(point), 2)
    if group == GROUPS["P-384"]:
        point = (
            "04"
            "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a38"
            "5502f25dbf55296c3a545e3872760ab7"
            "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c0"
            "0a60b1ce1d7e819d7a431d7c90ea0e5f"
        )
        return struct.pack("!H", group) + _vector(bytes.fromhex(point), 2)
    return b""


def server_names(*names, kind=0):
    """The body of the extension server_name."""
    entries = b"".join(bytes([kind]) + _vector(name, 2) for name in names)
    return _vector(entries, 2)


def client_hello(
    server_name=None,
    *,
    versions=(TLS13, TLS12),
    legacy_version=TLS12,
    suites=GOOD_SUITES_13 + GOOD_SUITES_12,
    groups=("X25519", "P-256"),
    signatures=GOOD_SIGNATURES,
    alpn=(),
    raw_server_name=None,
):
    """The handshake message. versions None leaves the extension out, as TLS 1.2 and older do."""
    extensions = b""
    if server_name is not None:
        raw_server_name = server_names(server_name.encode("latin-1"))
    if raw_server_name is not None:
        extensions += _extension(0, raw_server_name)
    numbers = [GROUPS.get(group, group) for group in groups]
    extensions += _extension(10, _vector(_numbers(groups, GROUPS), 2))
    extensions += _extension(11, b"\x01\x00")
    extensions += _extension(13, _vector(_numbers(signatures, SIGNATURES), 2))
    if alpn:
        extensions += _extension(16, _vector(b"".join(_vector(name, 1) for name in alpn), 2))
    extensions += _extension(23, b"")
    if versions is not None:
        extensions += _extension(43, _vector(_numbers(versions, {}), 1))
        if TLS13 in versions:
            extensions += _extension(45, b"\x01\x01")
            extensions += _extension(51, _vector(_key_share(numbers[0]), 2))
    body = struct.pack("!H", legacy_version) + os.urandom(32) + _vector(os.urandom(32), 1)
    body += _vector(_numbers(suites, SUITES), 2) + b"\x01\x00" + _vector(extensions, 2)
    return b"\x01" + _vector(body, 3)


def record(message, kind=22, version=TLS10):
    return bytes([kind]) + struct.pack("!H", version) + _vector(message, 2)


@dataclasses.dataclass
class Answer:
    """What came back first: an alert, a ServerHello, or nothing but the end."""

    alert: int = None
    version: int = None
    suite: int = None
    retry: bool = False

    @property
    def alert_name(self):
        return ALERTS.get(self.alert, self.alert)

    @property
    def hello(self):
        return self.suite is not None


RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def _read(plain, count):
    data = b""
    while len(data) < count:
        try:
            part = plain.recv(count - len(data))
        except ConnectionResetError:
            return None
        if not part:
            return None
        data += part
    return data


def read_record(plain):
    """The head and the body of the next record; None at the end."""
    head = _read(plain, 5)
    body = None if head is None else _read(plain, int.from_bytes(head[3:5], "big"))
    return None if body is None else (head, body)


def _parse_server_hello(message):
    body = message[4:]
    version = int.from_bytes(body[:2], "big")
    random, session = body[2:34], body[34]
    at = 35 + session
    suite = int.from_bytes(body[at : at + 2], "big")
    at += 3
    end = at + 2 + int.from_bytes(body[at : at + 2], "big")
    at += 2
    while at + 4 <= min(end, len(body)):
        number, size = struct.unpack("!HH", body[at : at + 4])
        if number == 43:
            version = int.from_bytes(body[at + 4 : at + 6], "big")
        at += 4 + size
    return Answer(version=version, suite=suite, retry=random == RETRY)


def read_answer(plain, to_the_end=False):
    """Reads records until one says what the server thinks of the hello. To the end: a ServerHello
    is not the last word, for in TLS 1.2 the key exchange comes after it."""
    while True:
        received = read_record(plain)
        if received is None:
            return Answer()
        head, body = received
        if head[0] == 21 and len(body) == 2 and body[0] == 2:
            return Answer(alert=body[1])
        if head[0] == 22 and body[0] == 2 and not to_the_end:
            return _parse_server_hello(body)


def answer_to(port, message, *, to_the_end=False, timeout=15.0):
    """Sends a ClientHello (or any other bytes) and tells what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as plain:
        plain.sendall(message)
        return read_answer(plain, to_the_end)

"""Encrypted records made by hand, for what no TLS library would send.

Python's ssl shakes hands and tells the secrets to a key log; from them come the keys of the client's
side (RFC 8446 section 7.3 and 5.2; RFC 5246 section 6.3 and RFC 5288).
"""

import hashlib
import hmac
import socket
import ssl
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from . import client, hello

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA, HEARTBEAT = 20, 21, 22, 23, 24
SUITES_12 = "ECDHE-ECDSA-AES128-GCM-SHA256"
RANDOM = slice(11, 43)  # of a hello at the start of a flight: record, message, version


def _expand_label(secret, label, size, digest):
    label = b"tls13 " + label
    info = struct.pack("!HB", size, len(label)) + label + b"\0"
    return HKDFExpand(digest(), size, info).derive(secret)


def _prf(secret, seed, size):
    """RFC 5246 section 5, with SHA-256."""
    out, link = b"", seed
    while len(out) < size:
        link = hmac.digest(secret, link, hashlib.sha256)
        out += hmac.digest(secret, link + seed, hashlib.sha256)
    return out[:size]


def _nonce(salt, number):
    return bytes(a ^ b for a, b in zip(salt, bytes(4) + number))


class Sealed:
    """A connection that is about to say its last words of the handshake: last holds them. complete()
    sends them. record() encrypts for the state that it is in."""

    def __init__(self, port, server_name, root_file, version, key_log):
        self._key_log = key_log
        context = ssl.create_default_context(cafile=str(root_file))
        context.minimum_version = context.maximum_version = version
        context.keylog_filename = str(key_log)
        context.set_ciphers(SUITES_12)
        self.new = version == client.TLS13
        self.stepped = client.Stepped(server_name, context)
        self.plain = socket.create_connection(("127.0.0.1", port), timeout=15)
        self.plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first, flight = self.stepped.take(), b""
        self.plain.sendall(first)
        # TLS 1.2 has one more flight each way; its Finished is the last of the client's all the same.
        while not (last := self.stepped.take()):
            flight += self._receive()
        self.last = last
        self._randoms = flight[RANDOM] + first[RANDOM]
        if self.new:
            self._use(self._secret("CLIENT_HANDSHAKE_TRAFFIC_SECRET"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.plain.close()

    def _receive(self):
        data = self.plain.recv(65536)
        if not data:
            raise EOFError("closed during the handshake")
        self.stepped.give(data)
        return data

    def _secret(self, label):
        """The newest with this label, for the log is added to."""
        lines = [line.split() for line in open(self._key_log) if line.startswith(label + " ")]
        return bytes.fromhex(lines[-1][2])

    def _keys(self, secret):
        """For the records of TLS 1.3."""
        suite = self.stepped.tls.cipher()[0]
        assert "AES" in suite, suite
        digest, size = (SHA384, 32) if "256" in suite else (SHA256, 16)
        key = AESGCM(_expand_label(secret, b"key", size, digest))
        return key, _expand_label(secret, b"iv", 12, digest)

    def _use(self, secret):
        self._aead, self._salt = self._keys(secret)
        self._number = 0

    def complete(self):
        """Ends the handshake; the records after it are made by record() alone."""
        self.plain.sendall(self.last)
        while not self.stepped.done:
            self._receive()
        if self.new:
            self._use(self._secret("CLIENT_TRAFFIC_SECRET_0"))
            return self
        keys = _prf(self._secret("CLIENT_RANDOM"), b"key expansion" + self._randoms, 40)
        self._aead, self._salt, self._number = AESGCM(keys[:16]), keys[32:36], 1
        return self

    def record(self, kind, content, *, padding=0):
        """One encrypted record. padding: zeros, in TLS 1.3 alone."""
        number = struct.pack("!Q", self._number)
        self._number += 1
        if not self.new:
            head = number + struct.pack("!BHH", kind, 0x0303, len(content))
            body = number + self._aead.encrypt(self._salt + number, content, head)
            return struct.pack("!BHH", kind, 0x0303, len(body)) + body
        content += bytes([kind]) + bytes(padding)
        head = struct.pack("!BHH", DATA, 0x0303, len(content) + 16)
        return head + self._aead.encrypt(_nonce(self._salt, number), content, head)

    def early_alert(self):
        """The name of the alert before the handshake of TLS 1.3 was complete, or None. The server
        makes it with the keys of the handshake, which the client has put away by then."""
        alert = None
        key, salt = self._keys(self._secret("SERVER_HANDSHAKE_TRAFFIC_SECRET"))
        while (received := hello.read_record(self.plain)) is not None:
            head, body = received
            for number in range(16):  # the flight was of so many at most
                try:
                    nonce = _nonce(salt, struct.pack("!Q", number))
                    content = key.decrypt(nonce, body, head).rstrip(b"\0")
                except InvalidTag:
                    continue
                assert content[-1] == ALERT and content[0] == 2, content
                alert = hello.ALERTS[content[1]]
        return alert

    def send(self, data):
        self.plain.sendall(data)

    def answer(self):
        """What comes until the server ends it: the data, and the words of the alert, "close notify",
        or None for an end without a word."""
        data = b""
        while True:
            try:
                part = self.stepped.decrypt()
            except ssl.SSLError as error:
                return data, client.alert_of(error)
            if part is None:
                return data, "close notify"
            data += part
            if not part:
                try:
                    received = self.plain.recv(65536)
                except ConnectionResetError:
                    received = b""
                if not received:
                    return data, None
                self.stepped.give(received)

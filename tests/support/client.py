"""TLS clients for the tests: polite ones, and ones that stop half-way."""

import dataclasses
import functools
import re
import select
import socket
import ssl

PATH = "/.well-known/mta-sts.txt"
TLS12 = ssl.TLSVersion.TLSv1_2
TLS13 = ssl.TLSVersion.TLSv1_3
VERSIONS = {"TLSv1.2": TLS12, "TLSv1.3": TLS13}


@functools.lru_cache(maxsize=None)
def trusting(root_file, version=None, alpn=(), ciphers=None, check=True):
    """A context that trusts the root and nothing else. One for all connections that are alike."""
    context = ssl.create_default_context(cafile=str(root_file))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if ciphers:
        context.set_ciphers(ciphers)
    if not check:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def ended(plain):
    """True when the server has closed or reset the connection."""
    waiting = select.poll()  # select() knows no descriptor above 1023
    waiting.register(plain, select.POLLIN)
    if not waiting.poll(0):
        return False
    try:
        return plain.recv(1) == b""
    except ConnectionResetError:
        return True


def request(host, *, method="GET", target=PATH, version="HTTP/1.1", headers=(), close=False):
    """The bytes of a request; host None leaves the header out."""
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += headers
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclasses.dataclass
class Response:
    version: str
    status: int
    reason: str
    headers: list
    body: bytes

    def header(self, name):
        """The value of the header, which must be there once; None when it is not there."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None

    @property
    def names(self):
        return sorted(key.lower() for key, _ in self.headers)


STATUS_LINE = re.compile(rb"(HTTP/1\.1) ([1-5][0-9][0-9]) ([A-Za-z0-9' -]+)")
HEADER_LINE = re.compile(rb"([A-Za-z0-9-]+): ([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")


def parse_head(head):
    """Reads a response head without any leniency."""
    first, *rest = head.split(b"\r\n")
    status = STATUS_LINE.fullmatch(first)
    assert status, f"a malformed status line: {first!r}"
    headers = []
    for line in rest:
        match = HEADER_LINE.fullmatch(line)
        assert match, f"a malformed header line: {line!r}"
        headers.append((match[1].decode(), match[2].decode()))
    return Response(status[1].decode(), int(status[2]), status[3].decode(), headers, b"")


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


def check_error(response, method="GET"):
    """An error body is one plain word that no policy parser takes for "key: value"."""
    assert response.reason == REASONS[response.status]
    assert response.header("Location") is None
    assert response.header("Content-Type") == "text/plain"
    assert response.header("Allow") == ("GET, HEAD" if response.status == 405 else None)
    assert (response.header("Retry-After") is None) == (response.status != 503)
    if method != "HEAD":
        assert re.fullmatch(rb"[a-z-]+\r?\n", response.body), response.body


def dial(port, address="127.0.0.1", timeout=15.0):
    """A connected socket; port may be the path of a Unix socket."""
    if isinstance(port, int):
        plain = socket.create_connection((address, port), timeout=timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return plain
    plain = socket.socket(socket.AF_UNIX)
    plain.settimeout(timeout)
    plain.connect(str(port))
    return plain


class Connection:
    """One connection: with TLS, where server_name is what SNI says and a missing close_notify is an
    error, or plain when there is no context. preface is sent before everything else."""

    def __init__(
        self, port, server_name, context, *, address="127.0.0.1", timeout=15.0, preface=b""
    ):
        plain = dial(port, address, timeout)
        try:
            plain.sendall(preface)
            self.tls = plain
            if context is not None:
                self.tls = context.wrap_socket(
                    plain, server_hostname=server_name, suppress_ragged_eofs=False
                )
        except BaseException:
            plain.close()
            raise
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.tls.close()

    def send(self, data):
        self.tls.sendall(data)

    def _fill(self):
        data = self.tls.recv(65536)
        self._buffer += data
        return data

    def response(self, method="GET"):
        """Reads one response; asserts that it is well-formed and whole."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._fill():
                raise EOFError(f"closed in the middle of a head: {self._buffer!r}")
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        response = parse_head(head)
        length = response.header("Content-Length")
        assert length is not None, f"no Content-Length: {head!r}"
        if method != "HEAD":
            while len(self._buffer) < int(length):
                if not self._fill():
                    raise EOFError(f"closed in the middle of a body: {self._buffer!r}")
            response.body = self._buffer[: int(length)]
            self._buffer = self._buffer[int(length) :]
        return response

    def exchange(self, data, method="GET"):
        self.send(data)
        return self.response(method)

    def rest(self):
        """Everything up to the server's close_notify."""
        while self._fill():
            pass
        data, self._buffer = self._buffer, b""
        return data


def fetch(port, host, context, **options):
    """What a sender does: a new connection, one GET, to the end. Options as for Connection."""
    with Connection(port, host, context, **options) as connection:
        connection.send(request(host, close=True))
        response = connection.response()
        assert connection.rest() == b"", "bytes after the response"
        return response


def alert_of(error):
    """The words of the alert in an SSLError, such as "unrecognized name"."""
    text = re.sub(r"^\[.*?\]\s*|\s*\(_ssl\.c.*$", "", str(error)).lower()
    return re.sub(r"^(tlsv1[0-9]*|sslv3|ssl/tls|tls)( alert)? ", "", text)


class Stepped:
    """A TLS client without a socket: its bytes are handed out, to be sent in any portion."""

    def __init__(self, server_name, context):
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname=server_name)
        self.done = False
        self._step()

    def _step(self):
        try:
            self.tls.do_handshake()
            self.done = True
        except ssl.SSLWantReadError:
            pass

    def take(self):
        """What is to be sent now."""
        return self._out.read()

    def give(self, data):
        """What the server has sent."""
        self._in.write(data)
        if not self.done:
            self._step()

    def encrypt(self, data):
        self.tls.write(data)
        return self.take()

    def decrypt(self):
        """The decrypted bytes so far; b"" when a record is not whole yet; None at the end."""
        try:
            return self.tls.read(65536) or None
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLZeroReturnError:
            return None


def handshake_in_pieces(plain, stepped, piece=None):
    """Runs a handshake over the socket, each flight in pieces of so many bytes."""
    while True:
        data = stepped.take()
        size = piece or len(data) or 1
        for start in range(0, len(data), size):
            plain.sendall(data[start : start + size])
        if stepped.done:
            return
        received = plain.recv(65536)
        if not received:
            raise EOFError("closed during the handshake")
        stepped.give(received)


def refuses(port, *, address="127.0.0.1"):
    """True when nobody listens there any more. Who connects at the very moment of the end is reset,
    which does not tell yet: whoever waits asks again."""
    try:
        socket.create_connection((address, port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass
    return False

"""A web server of other make (Python's own ssl) that is wrong in every way that a test asks for.

The name that a client sends by SNI decides which certificate it gets and what it is answered.
"""

import contextlib
import socket
import ssl
import threading
from pathlib import Path

GOOD_BODY = b"version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmax_age: 1209600\r\n"


def response(body=GOOD_BODY, *, status="200 OK", content_type="text/plain", headers=()):
    """A response as any server would send it, or with what a test wants to be different."""
    lines = [f"HTTP/1.1 {status}"]
    if content_type is not None:
        lines.append(f"Content-Type: {content_type}")
    lines += [f"Content-Length: {len(body)}", *headers, "Connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def chunked(*chunks, end=b"0\r\n\r\n"):
    """The same, with the body in chunks."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def server_context(folder, leaf, *, chain=None, versions=None, ciphers="DEFAULT@SECLEVEL=0"):
    """A context for the leaf. chain: the PEM to send, if not the leaf's own; versions: a pair."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chain.pem").write_bytes(leaf.chain_pem() if chain is None else chain)
    leaf.write(folder, chain="unused.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(ciphers)
    if versions is not None:
        context.minimum_version, context.maximum_version = versions
    context.load_cert_chain(folder / "chain.pem", folder / "privkey.pem")
    return context


class Listener:
    """A port on the loopback interface; each client is handled in a thread of its own."""

    def __init__(self, handle, address="127.0.0.1", port=0):
        self._handle = handle
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, port), family=family, backlog=256)
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            client.settimeout(20)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        # What becomes of a client that hangs up is its own affair.
        with contextlib.suppress(OSError, ValueError), client:
            self._handle(client)

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def read_head(stream):
    """The request head, to its empty line."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = stream.recv(4096)
        if not data:
            break
        head += data
    return head


class Faulty(Listener):
    """hosts: a name to its context and its answer, which is bytes or a function of the stream."""

    def __init__(self, hosts, **options):
        self._hosts = hosts
        self.requests = []
        # Only a template: every name brings its own.
        self._first = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._first.set_ciphers("DEFAULT@SECLEVEL=0")
        self._first.sni_callback = self._choose
        super().__init__(self._talk, **options)

    def _choose(self, stream, name, _):
        stream.host = name
        if name not in self._hosts:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        stream.context = self._hosts[name][0]
        return None

    def _talk(self, client):
        with self._first.wrap_socket(client, server_side=True) as stream:
            head = read_head(stream)
            self.requests.append(head)
            answer = self._hosts[stream.host][1]
            if callable(answer):
                answer(stream)
            else:
                stream.sendall(answer)
            stream.unwrap()

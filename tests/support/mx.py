"""Mail servers that say exactly what a test wants. Run as a program inside a namespace with the path of a
JSON file, a list of {"address", "chain", "key", "version", "script"}; it says "ready", then a line of JSON with
what each client said and the name that it sent by SNI, and ends with its standard input.

A script is a list: "<" reads a line, "tls" is the handshake, "wait" waits until the client hangs up,
["again", TEXT, SECONDS] sends the text again and again, and any other text is sent as it is.
"""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

from .faulty import Listener

GREETING = "220 mx.example ESMTP\r\n"
OFFER = "250-mx.example\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"
READY = "220 go on\r\n"
GOOD = [GREETING, "<", OFFER, "<", READY, "tls", "<"]


class Session:
    def __init__(self, entry, stream):
        self._entry, self._stream = entry, stream
        self.heard = {"address": entry["address"], "name": None, "lines": []}

    def _context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        if self._entry.get("version"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion[self._entry["version"]]
        context.load_cert_chain(self._entry["chain"], self._entry["key"])
        context.sni_callback = lambda _, name, __: self.heard.update(name=name)
        context.set_alpn_protocols(["smtp"])
        return context

    def _line(self):
        line = b""
        while not line.endswith(b"\n"):
            data = self._stream.recv(1)
            if not data:
                raise OSError("closed")
            line += data
        self.heard["lines"].append(line.decode("latin-1"))

    def run(self):
        for step in self._entry["script"]:
            if step == "<":
                self._line()
            elif step == "tls":
                self._stream = self._context().wrap_socket(self._stream, server_side=True)
            elif step == "wait":
                while self._stream.recv(4096):
                    pass
            elif isinstance(step, list):
                while True:
                    self._stream.sendall(step[1].encode("latin-1"))
                    time.sleep(step[2])
            else:
                self._stream.sendall(step.encode("latin-1"))
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_WR)


def serve(entry):
    def handle(stream):
        session = Session(entry, stream)
        try:
            session.run()
        finally:
            sys.stdout.write(json.dumps(session.heard) + "\n")
            sys.stdout.flush()

    Listener(handle, entry["address"], 25)


@contextlib.contextmanager
def running(namespace, folder, entries):
    """All of them inside the namespace. The list, which grows, of what they heard."""
    (folder / "mx.json").write_text(json.dumps(entries))
    heard = []
    with subprocess.Popen(
        [*namespace.prefix, sys.executable, "-m", "support.mx", str(folder / "mx.json")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1"},
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        reader = threading.Thread(target=lambda: heard.extend(map(json.loads, process.stdout)), daemon=True)
        reader.start()
        yield heard
        process.stdin.close()
        process.wait(20)
        reader.join(20)


def main():
    for entry in json.loads(Path(sys.argv[1]).read_text()):
        serve(entry)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

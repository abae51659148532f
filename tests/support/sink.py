"""A mail server for a test: takes every message and says how it came.

Run as a program with the path of a JSON file, a list of {"address", "port", "certificate", "key"};
without a certificate it offers no STARTTLS. It says "ready", then a JSON line for each message,
and ends with its standard input.
"""

import contextlib
import json
import socketserver
import ssl
import subprocess
import sys
import threading
from pathlib import Path


class Session(socketserver.StreamRequestHandler):
    """One SMTP session (RFC 5321, 3207), with just what a sender needs."""

    timeout = 30

    def _say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def _start_tls(self):
        self._say("220 go on")
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        self.setup()

    def _data(self):
        self._say("354 end with a dot")
        lines = []
        while (line := self.rfile.readline().rstrip(b"\r\n")) != b".":
            lines.append(line.decode())
        tls = self.request.version() if isinstance(self.request, ssl.SSLSocket) else None
        message = {"address": self.server.server_address[0], "tls": tls}
        message |= {"recipients": self.recipients, "lines": lines}
        print(json.dumps(message), flush=True)
        self._say("250 taken")

    def handle(self):
        # A sender that likes the certificate not hangs up, which is its right.
        with contextlib.suppress(OSError):
            self._converse()

    def _converse(self):
        self.recipients = []
        self._say("220 sink.example ESMTP")
        while line := self.rfile.readline().decode().strip():
            verb = line.split()[0].upper()
            if verb == "QUIT":
                self._say("221 bye")
                return
            if verb == "EHLO":
                offers = self.server.tls and not isinstance(self.request, ssl.SSLSocket)
                self._say("250-sink.example\r\n250 STARTTLS" if offers else "250 sink.example")
            elif verb == "STARTTLS" and self.server.tls:
                self._start_tls()
            elif verb == "DATA":
                self._data()
            else:
                if verb == "RCPT":
                    self.recipients.append(line.partition("<")[2].partition(">")[0])
                self._say("250 yes")


class Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address, port, certificate=None, key=None):
        self.tls = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate, key)
        super().__init__((address, port), Session)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Sink:
    """The program inside a namespace, for with. messages: what came so far."""

    def __init__(self, namespace, folder, listeners):
        self._command = [*namespace.prefix, sys.executable, __file__, str(folder / "sink.json")]
        (folder / "sink.json").write_text(json.dumps(listeners))
        self.messages = []

    def __enter__(self):
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout.readline() == b"ready\n"
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def _read(self):
        for line in self._process.stdout:
            self.messages.append(json.loads(line))

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(20)
        self._reader.join(20)
        self._process.stdout.close()


def main():
    for listener in json.loads(Path(sys.argv[1]).read_text()):
        Listener(**listener)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

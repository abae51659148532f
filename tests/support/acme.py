"""A certificate authority that speaks ACME: Debian's pebble with a name server to which every name is
this machine. It validates on the ports of the server under test."""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import urllib.request

from .server import free_port
from .wait import until


def _answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Pebble:
    """directory: the URL for clients; ca: the file with what they trust it by; roots: the file with
    the root of what it issues."""

    def __init__(self, folder, port, management, ca):
        self.folder = folder
        self.directory = f"https://localhost:{port}/dir"
        self.ca = ca
        self.roots = folder / "roots.pem"
        self._management = f"https://localhost:{management}"

    def fetch_roots(self):
        context = ssl.create_default_context(cafile=self.ca)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(f"{self._management}/roots/0", timeout=10) as answer:
            self.roots.write_bytes(answer.read())

    def log(self):
        return (self.folder / "pebble.log").read_text()


@contextlib.contextmanager
def _background(command, log, **options):
    with open(log, "wb") as output, subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, **options
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def pebble(folder, authority, *, tls_port, http_port):
    """Runs until the end of the block. folder is new; authority certifies the directory."""
    folder.mkdir()
    authority.issue("localhost", "127.0.0.1").write(folder)
    port, management, dns = free_port(), free_port(), free_port()
    configuration = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(folder / "fullchain.pem"),
        "privateKey": str(folder / "privkey.pem"),
        "httpPort": http_port,
        "tlsPort": tls_port,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": configuration}))
    names = ["pebble-challtestsrv", "-defaultIPv6", "", "-defaultIPv4", "127.0.0.1"]
    names += ["-dns01", f"127.0.0.1:{dns}", "-http01", "", "-https01", "", "-tlsalpn01", ""]
    names += ["-management", f"127.0.0.1:{free_port()}"]
    command = ["pebble", "-config", str(folder / "pebble.json")]
    command += ["-dnsserver", f"127.0.0.1:{dns}", "-strict"]
    environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
    # Every order asks for new validations, as those of an authority without a memory.
    environment["PEBBLE_AUTHZREUSE"] = "0"
    with _background(names, folder / "names.log"), _background(
        command, folder / "pebble.log", env=environment
    ):
        until(lambda: _answers(port) and _answers(management) and _answers(dns), "pebble", 20)
        running = Pebble(folder, port, management, authority.root_file)
        running.fetch_roots()
        yield running

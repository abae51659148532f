"""A flood of ClientHellos at a fixed rate from many addresses, and an honest client beside it, each in a
process of its own. As a script it is one of them: its argument is the task in JSON.

flood: sends its hellos one after the other, each when the one before was answered, and then resets the
connection ("reset"), ends its own side and waits ("fin"), or waits ("keep"). "late" resets before any
answer. Prints "begun", and at the end of its input how many connections it made.
fetch: fetches the policy again and again, and prints a list with the seconds that each took; null for
one that was not answered in time.
"""

import collections
import contextlib
import ipaddress
import json
import os
import selectors
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import client, hello
from support.flood import limit_descriptors, plain_from

TICK = 0.005
# A connection that is kept is closed after this time, lest there be too many.
KEPT = 3.0


def hellos(task):
    """The messages of one client, with the headers of their records."""
    groups, version = task["groups"], task.get("version", "1.3")
    versions = None if version == "1.2" else (hello.TLS13, hello.TLS12)
    options = {"versions": versions, "groups": groups}
    sent = [hello.record(hello.client_hello(task["host"], **options))]
    if task.get("retry"):
        # The first has a share that the server has no use for, so that it asks for another one.
        options["groups"] = ("X448", *groups)
        sent.insert(0, hello.record(hello.client_hello(task["host"], **options)))
    return sent


class Flood:
    def __init__(self, task):
        self._task = task
        self._hellos = hellos(task)
        self._sources = sources(task["network"], task["sources"])
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        self._open = collections.OrderedDict()
        self.made = 0

    def _begin(self):
        with contextlib.suppress(OSError):  # no port is left for a moment
            source = self._sources[self.made % len(self._sources)]
            plain = plain_from(source, self._task["port"], blocking=False)
            self._open[plain] = time.monotonic()
            self._selector.register(plain, selectors.EVENT_WRITE, list(self._hellos))
            self.made += 1

    def _end(self, plain):
        del self._open[plain]
        self._selector.unregister(plain)
        plain.close()

    def _go_on(self, plain, event, left):
        if event & selectors.EVENT_READ and not plain.recv(65536):
            raise ConnectionResetError
        if left:
            plain.send(left.pop(0))
            self._selector.modify(plain, selectors.EVENT_READ, left)
            if self._task["end"] == "late":
                raise ConnectionResetError
            if self._task["end"] == "fin" and not left:
                plain.shutdown(socket.SHUT_WR)
        elif self._task["end"] == "reset":
            raise ConnectionResetError

    def run(self):
        begin = time.monotonic()
        print("begun", flush=True)
        while True:
            wanted = int((time.monotonic() - begin) * self._task["rate"])
            # Who could not keep up does not make up for it all at once.
            for _ in range(min(wanted - self.made, self._task["rate"] // 20)):
                self._begin()
            for key, event in self._selector.select(TICK):
                if key.data is None:
                    return
                try:
                    self._go_on(key.fileobj, event, key.data)
                except OSError:
                    self._end(key.fileobj)
            while self._open and next(iter(self._open.values())) < time.monotonic() - KEPT:
                self._end(next(iter(self._open)))
            time.sleep(TICK)  # the rate of a client, not a wait


def sources(network, count):
    """So many addresses that are spread over the network, each of another /64 in IPv6."""
    network = ipaddress.ip_network(network)
    step = 1 << 64 if network.version == 6 else 1
    return [str(network[1 + number * step]) for number in range(count)]


def fetch(task):
    context = client.trusting(task["root"])
    times = []
    end = time.monotonic() + task["seconds"]
    while time.monotonic() < end:
        begin = time.monotonic()
        try:
            with plain_from(task["source"], task["port"], blocking=False) as plain:
                plain.settimeout(task["within"])
                with context.wrap_socket(plain, server_hostname=task["host"]) as tls:
                    tls.sendall(client.request(task["host"], close=True))
                    assert tls.recv(65536).startswith(b"HTTP/1.1 200 ")
            took = time.monotonic() - begin
            times.append(took if took < task["within"] else None)
        except (OSError, ssl.SSLError):
            times.append(None)
        time.sleep(0.05)  # the pace of the client
    print(json.dumps(times))


def _process(task, prefix, nice):
    return subprocess.Popen(
        [*prefix, "nice", "-n", nice, sys.executable, __file__, json.dumps(task)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def beside(flood_task, fetch_task, prefix=()):
    """Runs both: the number of connections of the flood, and the seconds of the fetches. The flood may
    not take the server's processor, for in earnest it has its own."""
    with _process({"do": "flood", **flood_task}, prefix, "19") as flood:
        try:
            assert flood.stdout.readline() == b"begun\n", "the flood did not come to pass"
            with _process({"do": "fetch", **fetch_task}, prefix, "0") as honest:
                said = honest.communicate(timeout=60)[0]
            made = flood.communicate(b".", timeout=60)[0]
        finally:
            flood.kill()
    return int(made), json.loads(said)


def main():
    task = json.loads(sys.argv[1])
    if task["do"] == "fetch":
        fetch(task)
        return
    limit_descriptors(20000)
    flood = Flood(task)
    flood.run()
    print(flood.made)


if __name__ == "__main__":
    main()

"""Many clients from one source address, in a process of their own so that they share no lock with
the test. As a script it is that process: it prints "begun" when every client has had its answer,
and at the end of its input the number of rounds it made.

hello      sends a ClientHello, reads the answer, hangs up, and again: cheap here, dear for a server
handshake  makes a whole handshake, hangs up, and again
idle       makes a whole handshake, asks for a policy now and then to be kept, and stays
"""

import collections
import contextlib
import json
import os
import resource
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import client
from support.tree import LIMITS

# Well before a connection without a request, or one after it, is over.
FIRST_ASK = LIMITS["LIMIT_UNFINISHED_MS"] / 1000 * 0.6
ASK_AGAIN = LIMITS["LIMIT_IDLE_MS"] / 1000 * 0.6
# Of those who stay: how many come at a time, lest the first are over before the last are there.
AT_A_TIME = 50
IPV6_FREEBIND = 78


def limit_descriptors(count):
    """Raises this process's limit; False when the machine does not allow so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        return False
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return True


def plain_from(source, port, blocking=True):
    """A socket that is connected, or on its way, from the source address to the server. To close it
    is to reset the connection, so that no port stays used up."""
    v6 = ":" in source
    plain = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if v6:  # for an address that is this machine's by a route alone
        plain.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    plain.bind((source, 0))
    target = ("::1" if v6 else "127.0.0.1", port)
    if blocking:
        plain.settimeout(15)
        plain.connect(target)
    else:
        plain.setblocking(False)
        plain.connect_ex(target)
    return plain


class Attacker:
    """One client. It says what it waits for: a selector's event, 0 for a later time, None when its
    round is over."""

    def __init__(self, task, context, hello):
        self._task = task
        self._context = context
        self._hello = hello
        self._stepped = None
        self._begun = False
        self.plain = plain_from(task["source"], task["port"], blocking=False)

    def _greet(self):
        self._begun = True
        data = self._hello
        if self._task["kind"] != "hello":
            self._stepped = client.Stepped(self._task["host"], self._context)
            data = self._stepped.take()
        self.plain.send(data)
        return selectors.EVENT_READ

    def step(self):
        if not self._begun:
            return self._greet()
        data = self.plain.recv(65536)
        if not data or self._stepped is None:
            return None
        if self._stepped.done:
            return 0  # an answer that nobody looks at
        self._stepped.give(data)
        if not self._stepped.done:
            return selectors.EVENT_READ
        self.plain.send(self._stepped.take())
        return None if self._task["kind"] == "handshake" else 0

    def ask(self):
        self.plain.send(self._stepped.encrypt(client.request(self._task["host"])))


class Crowd:
    """All the clients of this process."""

    def __init__(self, task):
        self._task = task
        self._context = client.trusting(task["root"], check=False)
        self._hello = client.Stepped(task["host"], self._context).take()
        self._selector = selectors.DefaultSelector()
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        # Two queues, each in the order of its times.
        self._first_asks = collections.deque()
        self._next_asks = collections.deque()
        self._quiet = set()
        self._open = 0
        self._reported = False
        self.rounds = 0

    def _begin(self):
        attacker = Attacker(self._task, self._context, self._hello)
        self._selector.register(attacker.plain, selectors.EVENT_WRITE, attacker)
        self._open += 1

    def _begin_some(self):
        most = self._task["count"]
        if self._task["kind"] == "idle":
            most = min(most, len(self._quiet) + AT_A_TIME)
        while self._open < most:
            self._begin()

    def _end(self, attacker):
        self._quiet.discard(attacker)
        self._selector.unregister(attacker.plain)
        attacker.plain.close()
        self._open -= 1
        self.rounds += 1

    def _go_on(self, attacker):
        try:
            wish = attacker.step()
        except OSError:
            wish = None
        if wish is None:
            self._end(attacker)
            return
        self._selector.modify(attacker.plain, wish or selectors.EVENT_READ, attacker)
        if wish == 0 and attacker not in self._quiet:
            self._quiet.add(attacker)
            self._first_asks.append((time.monotonic() + FIRST_ASK, attacker))

    def _ask(self, queue):
        while queue and queue[0][0] <= time.monotonic():
            _, attacker = queue.popleft()
            if attacker not in self._quiet:
                continue
            with contextlib.suppress(OSError):  # The next event tells.
                attacker.ask()
            self._next_asks.append((time.monotonic() + ASK_AGAIN, attacker))

    def _report(self):
        count = len(self._quiet) if self._task["kind"] == "idle" else self.rounds
        if not self._reported and count >= self._task["count"]:
            self._reported = True
            print("begun", flush=True)

    def run(self):
        while True:
            self._begin_some()
            for key, _ in self._selector.select(0.1 if self._quiet else None):
                if key.data is None:
                    return
                self._go_on(key.data)
            self._ask(self._next_asks)
            self._ask(self._first_asks)
            self._report()


class Flood:
    """with Flood(…) as flood: the clients are at it, each as fast as it is answered. They may not
    take the server's processor, for in earnest they have their own."""

    def __init__(self, port, host, root, *, kind, count, source="127.9.9.9"):
        task = {"port": port, "host": host, "root": str(root)}
        task.update(kind=kind, count=count, source=source)
        self.rounds = None
        self._process = subprocess.Popen(
            ["nice", "-n", "19", sys.executable, __file__, json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def __enter__(self):
        assert self._process.stdout.readline() == b"begun\n", "the flood did not come to pass"
        return self

    def __exit__(self, kind, error, trace):
        try:
            said = self._process.communicate(b".", timeout=60)[0]
            self.rounds = int(said or 0)
        finally:
            self._process.kill()
            self._process.wait()


def main():
    task = json.loads(sys.argv[1])
    limit_descriptors(task["count"] + 100)
    crowd = Crowd(task)
    crowd.run()
    print(crowd.rounds)


if __name__ == "__main__":
    main()

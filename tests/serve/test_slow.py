"""Slow and idle clients: one deadline that none can extend, and nobody else waits for them.

Every client of the first part runs at the same time against one server, for the deadlines are long.
"""

import resource
import select
import socket
import threading
import time
from pathlib import Path

import pytest

from support import client
from support.client import ended
from support.server import Server
from support.setup import Setup, body_of
from support.tree import LIMITS
from support.wait import until

HOST = "mta-sts.example.com"
BIG = "mta-sts.big.example"
GET = client.request(HOST)
UNFINISHED = LIMITS["LIMIT_UNFINISHED_MS"] / 1000
IDLE = LIMITS["LIMIT_IDLE_MS"] / 1000
LINGER = LIMITS["LIMIT_LINGER_MS"] / 1000
SLACK = 3.0
PAUSE = 0.3


def server_holds(port, plain):
    """True while the server's end of the connection belongs to a process: an orphan has inode 0."""
    ends = (f":{port:04X}", f":{plain.getsockname()[1]:04X}")
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1][-5:], fields[2][-5:]) == ends:
            return fields[9] != "0"
    return False


class Client:
    """A client in a thread of its own. What it did is read after finish()."""

    def __init__(self, port, context, act):
        self._arguments = (port, context)
        self._act = act
        self.elapsed = None
        self.received = b""
        self.error = None
        self.begin = None
        self.plain = None
        self.stepped = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self):
        self._thread.join(UNFINISHED + IDLE + LINGER + 3 * SLACK)
        assert not self._thread.is_alive(), "the client is still being held"
        if self.error:
            raise self.error
        return self

    def _run(self):
        port, context = self._arguments
        self.begin = time.monotonic()
        try:
            with socket.socket() as self.plain:
                self.plain.settimeout(UNFINISHED + IDLE + LINGER + 2 * SLACK)
                self.plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._act(self, port, context)
        except (ConnectionResetError, BrokenPipeError):
            pass
        except Exception as error:
            self.error = error
        self.elapsed = time.monotonic() - self.begin

    def connect(self, port):
        self.plain.connect(("127.0.0.1", port))

    def shake_hands(self, port, context, host=HOST):
        self.connect(port)
        self.stepped = client.Stepped(host, context)
        client.handshake_in_pieces(self.plain, self.stepped)
        self.plain.sendall(self.stepped.take())

    def take(self):
        """Reads once; False at the end."""
        data = self.plain.recv(65536)
        self.received += data
        return bool(data)

    def read_to_the_end(self):
        while self.take():
            pass

    def read_response(self):
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"\r\n"):
            self.stepped.give(self.plain.recv(65536))
            answer += self.stepped.decrypt() or b""
        return answer

    def drip(self, pieces, pause=PAUSE):
        """Sends a piece at a time until the server ends it; then True. False when all were sent."""
        for piece in pieces:
            self.plain.sendall(piece)
            if select.select([self.plain], [], [], pause)[0] and not self.take():
                return True
        return False


def endless(make):
    while True:
        yield make()


def bytes_of(data):
    return [bytes([byte]) for byte in data]


def silent(self, port, context):
    del context
    self.connect(port)
    self.read_to_the_end()


def hello_in_drops(self, port, context):
    self.connect(port)
    self.drip(bytes_of(client.Stepped(HOST, context).take()))
    self.read_to_the_end()


def half_a_handshake(self, port, context):
    self.connect(port)
    self.plain.sendall(client.Stepped(HOST, context).take())
    self.read_to_the_end()


def nothing_after_the_handshake(self, port, context):
    self.shake_hands(port, context)
    self.read_to_the_end()


def request_in_drops(self, port, context):
    self.shake_hands(port, context)
    self.drip(self.stepped.encrypt(byte) for byte in bytes_of(GET[:-4] + b"x" * 500))
    self.read_to_the_end()


def headers_in_drops(self, port, context):
    self.shake_hands(port, context)
    self.plain.sendall(self.stepped.encrypt(GET[:-2]))
    self.drip(endless(lambda: self.stepped.encrypt(b"X-A: b\r\n")))
    self.read_to_the_end()


def half_a_request(self, port, context):
    self.shake_hands(port, context)
    self.plain.sendall(self.stepped.encrypt(GET[:-2]))
    self.read_to_the_end()


def half_a_record(self, port, context):
    self.shake_hands(port, context)
    self.plain.sendall(self.stepped.encrypt(GET)[:-1])
    self.read_to_the_end()


def idle_after_a_fetch(self, port, context):
    self.shake_hands(port, context)
    self.plain.sendall(self.stepped.encrypt(GET))
    assert self.read_response().startswith(b"HTTP/1.1 200 ")
    self.begin = time.monotonic()
    self.read_to_the_end()


def drops_after_a_fetch(self, port, context):
    self.shake_hands(port, context)
    self.plain.sendall(self.stepped.encrypt(GET))
    assert self.read_response().startswith(b"HTTP/1.1 200 ")
    self.begin = time.monotonic()
    self.drip(self.stepped.encrypt(byte) for byte in bytes_of(GET[:-4] + b"x" * 500))
    self.read_to_the_end()


def slow_but_in_time(self, port, context):
    """Over half the deadline for one request: late, and yet served."""
    self.shake_hands(port, context)
    size = len(GET) // 15
    pieces = [GET[at : at + size] for at in range(0, len(GET) - size, size)]
    rest = GET[len(b"".join(pieces)) :]
    self.drip(self.stepped.encrypt(piece) for piece in pieces)
    self.plain.sendall(self.stepped.encrypt(rest))
    assert self.read_response().startswith(b"HTTP/1.1 200 ")


def reads_nothing(self, port, context):
    """Asks for a megabyte and does not read it. Closing is seen from the kernel's table."""
    self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    self.shake_hands(port, context, BIG)
    count = LIMITS["LIMIT_REQUESTS_A_CONNECTION"]
    self.plain.sendall(self.stepped.encrypt(client.request(BIG) * count))
    assert server_holds(port, self.plain)
    limit = 2 * UNFINISHED + LINGER + SLACK
    until(lambda: not server_holds(port, self.plain), "the server to let go", limit, PAUSE)


def asks_and_reads_nothing_small(self, port, context):
    """The same with one response, which fits the kernel's buffers."""
    self.shake_hands(port, context)
    self.plain.sendall(self.stepped.encrypt(client.request(HOST, close=True)))
    until(lambda: not server_holds(port, self.plain), "the server to let go", UNFINISHED, PAUSE)


# Each with the earliest and the latest time of its end, in seconds.
AT_THE_DEADLINE = (UNFINISHED - 1.5, UNFINISHED + SLACK)
CLIENTS = {
    silent: AT_THE_DEADLINE,
    hello_in_drops: AT_THE_DEADLINE,
    half_a_handshake: AT_THE_DEADLINE,
    nothing_after_the_handshake: AT_THE_DEADLINE,
    request_in_drops: AT_THE_DEADLINE,
    headers_in_drops: AT_THE_DEADLINE,
    half_a_request: AT_THE_DEADLINE,
    half_a_record: AT_THE_DEADLINE,
    idle_after_a_fetch: (IDLE - 1.5, IDLE + SLACK),
    drops_after_a_fetch: (IDLE - 1.5, UNFINISHED + IDLE + SLACK),
    slow_but_in_time: (UNFINISHED / 4, UNFINISHED),
    reads_nothing: (0, 2 * UNFINISHED + LINGER + SLACK),
    asks_and_reads_nothing_small: (0, UNFINISHED),
}


class Others:
    """Fetches one policy after the other while the slow ones are at it."""

    def __init__(self, port, context):
        self._stop = threading.Event()
        self.count = 0
        self.slowest = 0.0
        self.error = None
        self._thread = threading.Thread(target=self._run, args=(port, context), daemon=True)
        self._thread.start()

    def _run(self, port, context):
        try:
            # The pause leaves the machine to the slow ones; it is no wait for anything.
            while not self._stop.wait(0.05):
                begin = time.monotonic()
                response = client.fetch(port, HOST, context)
                assert response.status == 200
                self.slowest = max(self.slowest, time.monotonic() - begin)
                self.count += 1
        except Exception as error:
            self.error = error

    def finish(self):
        self._stop.set()
        self._thread.join(30)
        if self.error:
            raise self.error
        return self


@pytest.fixture(scope="module")
def slow(program, authority, tmp_path_factory):
    """All the slow clients, started at once; yields them by name, and the others beside them."""
    del program
    setup = Setup(tmp_path_factory.mktemp("slow"), authority)
    setup.certify("example.com")
    setup.certify("big.example")
    mx = [f"mx{number}.{'x' * 60}.example" for number in range(120)]
    big = {"mode": "enforce", "max_age": "2w", "mx": mx}
    assert len(body_of(big)) > LIMITS["LIMIT_BODY"] * 3 // 4
    context = client.trusting(authority.root_file)
    config = setup.write({"example.com": None, "big.example": big})
    # Such a long policy is warned of.
    expect = [r"mta-sts\.yaml:\d+:\d+: warning: ", r"^\s+(why|fix): "]
    with Server.running(config, expect=expect) as server:
        workers = server.workers()
        clients = {act.__name__: Client(server.port, context, act) for act in CLIENTS}
        others = Others(server.port, context)
        yield clients, others
        others.finish()
        assert server.workers() == workers


@pytest.mark.parametrize("act", CLIENTS, ids=lambda act: act.__name__)
def test_slow_client_ends_in_time(slow, act):
    earliest, latest = CLIENTS[act]
    elapsed = slow[0][act.__name__].finish().elapsed
    assert earliest <= elapsed <= latest


def test_others_are_served_meanwhile(slow):
    """After the tests above, so that it covers their whole time."""
    for each in slow[0].values():
        each.finish()
    others = slow[1].finish()
    assert others.count > 50
    assert others.slowest < 5


def served_within(server, context, host=HOST):
    response = client.fetch(server.port, host, context, timeout=5)
    assert response.status == 200


def close_all(connections):
    for each in connections:
        each.close()


SHORTAGE = r"(connection|descriptor|open files)"


@pytest.mark.parametrize("most", [64, 128])
def test_flood_of_silent_clients_evicts_the_oldest(start, setup, trusted, most):
    """With few descriptors the limit is near; a fresh client is served all the time."""
    setup.certify("example.com")
    config = setup.write(["example.com"], workers=1)
    server = start(config, prefix=["prlimit", f"--nofile={most}:{most}"], expect=[SHORTAGE])
    flood = []
    try:
        for number in range(3 * most):
            flood.append(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            if number % 16 == 15:
                served_within(server, trusted)
        states = [ended(plain) for plain in flood]
        assert all(states[:most]), "an old one was held while the limit was passed"
        assert not any(states[-most // 4 :]), "a new one had to go while older ones were held"
        assert states == sorted(states, reverse=True), "not the oldest first"
    finally:
        close_all(flood)
    served_within(server, trusted)


def test_flood_of_half_handshakes_evicts_too(start, setup, trusted):
    setup.certify("example.com")
    config = setup.write(["example.com"], workers=1)
    server = start(config, prefix=["prlimit", "--nofile=64:64"], expect=[SHORTAGE])
    flood = []
    try:
        for number in range(200):
            plain = socket.create_connection(("127.0.0.1", server.port), timeout=5)
            flood.append(plain)
            plain.sendall(client.Stepped(HOST, trusted).take())
            if number % 20 == 19:
                served_within(server, trusted)
    finally:
        close_all(flood)


def test_flood_of_idle_clients_does_not_lock_others_out(start, setup, trusted):
    """Those that have been served and stay are no reason to refuse anybody either."""
    setup.certify("example.com")
    config = setup.write(["example.com"], workers=1)
    server = start(config, prefix=["prlimit", "--nofile=64:64"], expect=[SHORTAGE])
    idle = []
    try:
        for _ in range(150):
            connection = client.Connection(server.port, HOST, trusted, timeout=5)
            idle.append(connection)
            assert connection.exchange(GET).status == 200
    finally:
        close_all(idle)


def test_flood_at_the_real_limit(start, setup, trusted):
    """More connections than a worker may hold, at its own limit."""
    count = LIMITS["LIMIT_CONNECTIONS"] + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count + 500:
        pytest.skip(f"this machine allows {hard} descriptors only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 500), hard))
    setup.certify("example.com")
    server = start(setup.write(["example.com"], workers=1), expect=[SHORTAGE])
    flood = []
    try:
        for number in range(count):
            flood.append(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            if number % 500 == 499:
                served_within(server, trusted)
        served_within(server, trusted)
        assert ended(flood[0]) and not ended(flood[-1])
    finally:
        close_all(flood)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    served_within(server, trusted)

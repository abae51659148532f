"""What the server says leaves in as few pieces as it can, and arrives whole however it is read."""

import re
import socket
from collections import Counter

import pytest

from cryptography.hazmat.primitives.serialization import Encoding

from support import client, tracer
from support.server import descriptors_of
from support.setup import body_of
from support.tracer import Tracer
from support.tree import LIMITS
from support.wait import until

HOST = "mta-sts.example.com"
GET = client.request(HOST)
LAST = client.request(HOST, close=True)
BIG = {"mode": "enforce", "max_age": "2w"}
BIG["mx"] = [f"mx{number}.{'x' * 60}.example" for number in range(120)]
WRITES = "trace=write,writev,sendto,sendmsg,sendmmsg"


@pytest.fixture
def server(start, setup):
    setup.certify("example.com")
    return start(setup.write(["example.com"], workers=1))


@tracer.needed
@pytest.mark.parametrize("version, flights", [("TLSv1.2", 3), ("TLSv1.3", 2)])
def test_one_write_a_flight(server, authority, version, flights):
    """TLS 1.2 has one flight more; the response takes the goodbye along."""
    context = client.trusting(authority.root_file, client.VERSIONS[version])
    (worker,) = server.workers()
    with Tracer(worker, WRITES) as traced:
        assert client.fetch(server.port, HOST, context).status == 200
    assert len(traced.lines) == flights, "\n".join(traced.lines)


@tracer.needed
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_fetch_takes_no_needless_call(server, authority, version):
    """Where clients come one at a time, nobody else is looked for; an option is set only where TLS
    needs it, and closing is enough for epoll."""
    context = client.trusting(authority.root_file, client.VERSIONS[version])
    (worker,) = server.workers()
    before = descriptors_of(worker)

    def fetch():
        assert client.fetch(server.port, HOST, context).status == 200
        until(lambda: descriptors_of(worker) == before, "the connection to be closed")

    fetch()
    with Tracer(worker, "trace=accept4,epoll_ctl,setsockopt,shutdown,close") as traced:
        fetch()
    calls = Counter(re.search(r"(\w+)\(", line)[1] for line in traced.lines)
    options = calls.pop("setsockopt", 0)
    assert calls == {"accept4": 1, "epoll_ctl": 1, "shutdown": 1, "close": 1}, traced.lines
    assert options <= (version == "TLSv1.3"), traced.lines


@tracer.needed
def test_responses_to_what_came_together_leave_together(server, trusted):
    (worker,) = server.workers()
    with client.Connection(server.port, HOST, trusted) as connection:
        assert connection.exchange(GET).status == 200
        with Tracer(worker, WRITES) as traced:
            connection.send(GET * 9)
            assert [connection.response().status for _ in range(9)] == [200] * 9
        assert len(traced.lines) == 1, "\n".join(traced.lines)


class SlowReader:
    """Takes a little at a time from a kernel that holds little; beside it somebody else is served."""

    def __init__(self, port, context, beside):
        self.plain = socket.socket()
        self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.plain.settimeout(15)
        self.plain.connect(("127.0.0.1", port))
        self._stepped = client.Stepped(HOST, context)
        self._beside = beside

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.plain.close()

    def shake_hands(self, size):
        while not self._stepped.done:
            self.plain.sendall(self._stepped.take())
            self._beside()
            self._stepped.give(self.plain.recv(size))
        self.plain.sendall(self._stepped.take())

    def exchange(self, data, size):
        """Everything up to the server's goodbye."""
        self.plain.sendall(self._stepped.encrypt(data))
        answer, reads = b"", 0
        while (part := self._stepped.decrypt()) is not None:
            answer += part
            if part:
                continue
            received = self.plain.recv(size)
            assert received, "it ends without a goodbye"
            self._stepped.give(received)
            reads += 1
            if reads % 50 == 0:
                self._beside()
        return answer


@pytest.mark.parametrize("version", client.VERSIONS)
def test_slow_reader_gets_every_byte(start, setup, authority, version):
    """More responses than all buffers hold, so that the server has to wait in the midst of them."""
    setup.certify("example.com")
    server = start(
        setup.write({"example.com": BIG}, workers=1),
        expect=[r"mta-sts\.yaml:\d+:\d+: warning: ", r"^\s+(why|fix): "],
    )
    context = client.trusting(authority.root_file, client.VERSIONS[version])
    count = (LIMITS["LIMIT_REQUEST_HEAD"] - len(LAST)) // len(GET)
    assert count * len(body_of(BIG)) > 3 * LIMITS["LIMIT_SOCKET_SEND"]

    def beside():
        assert client.fetch(server.port, HOST, context).body == body_of(BIG)

    with SlowReader(server.port, context, beside) as reader:
        reader.shake_hands(700)
        answer = reader.exchange(GET * count + LAST, 2000)
    head = answer[: answer.index(b"\r\n\r\n") + 4]
    assert client.parse_head(head[:-4]).status == 200
    bodies = answer.split(body_of(BIG))
    assert len(bodies) == count + 2 and bodies[-1] == b""
    assert all(part.startswith(b"HTTP/1.1 200 OK\r\n") for part in bodies[:-1])


@pytest.mark.parametrize("version", client.VERSIONS)
def test_longest_chain_in_pieces(start, setup, authority, version):
    """As long as it may be: one flight, one record for the chain, and a client who reads slowly."""
    names = [f"n{number}.{'long-name.' * 14}example" for number in range(75)]
    leaf = setup.certify("example.com", *names)
    size = sum(len(part) for part in (leaf.der, *(c.public_bytes(Encoding.DER) for c in leaf.intermediates)))
    assert LIMITS["LIMIT_CHAIN_BYTES"] - 1000 < size <= LIMITS["LIMIT_CHAIN_BYTES"]
    server = start(setup.write(["example.com"], workers=1))
    context = client.trusting(authority.root_file, client.VERSIONS[version])

    def beside():
        assert client.fetch(server.port, HOST, context).status == 200

    with SlowReader(server.port, context, beside) as reader:
        reader.shake_hands(1500)
        answer = reader.exchange(LAST, 100)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")

"""Many connections from few networks: each network has its share of places and of time, and beside
whatever flood a fresh client is answered within a second. The figures are printed (pytest -rP).
"""

import contextlib
import os
import re
import signal
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from support import client, hello
from support.client import ended
from support.flood import Flood, limit_descriptors, plain_from
from support.fresh import Fresh
from support.server import descriptors_of
from support.setup import body_of
from support.tree import LIMITS, instrumented, uses_system_library
from support.wait import until

HOST = "mta-sts.example.com"
GET = client.request(HOST)
SHORTAGE = r"(connection|descriptor|open files)"
# Sources of clients: the whole of 127.0.0.0/8 is the loopback interface's.
FLOOD, OTHER_FLOOD, HONEST = "127.66.0.1", "127.77.0.1", "127.88.0.{}"
# Descriptors of a small worker, and a number of connections that it surely cannot hold.
SMALL, OVER = 128, 300


@pytest.fixture
def small(start, setup):
    """A worker that cannot hold many connections."""
    setup.certify("example.com")

    def begin(**options):
        config = setup.write(["example.com"], workers=1, **options)
        return start(config, prefix=["prlimit", f"--nofile={SMALL}:{SMALL}"], expect=[SHORTAGE])

    return begin


class Held:
    """Connections that say nothing, closed at the end. A fetch afterwards makes sure that the worker
    has accepted them, for it takes them in their order."""

    def __init__(self, port):
        self._port = port
        self.all = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in self.all:
            each.close()

    def add(self, source, count=1):
        added = [plain_from(source, self._port) for _ in range(count)]
        self.all += added
        return added


def fetched(server, context, address="127.0.0.1"):
    response = client.fetch(server.port, HOST, context, address=address, timeout=10)
    assert response.status == 200


def handshaken(source, port, context, host=HOST):
    """A connection from the source whose handshake is through."""
    plain = plain_from(source, port)
    stepped = client.Stepped(host, context)
    client.handshake_in_pieces(plain, stepped)
    plain.sendall(stepped.take())
    return plain, stepped


def asked(plain, stepped, data=GET):
    plain.sendall(stepped.encrypt(data))
    answer = b""
    while b"\r\n\r\n" not in answer or not answer.endswith(b"\r\n"):
        stepped.give(plain.recv(65536))
        answer += stepped.decrypt() or b""
    return answer


def test_network_at_its_limit_loses_its_own(small, trusted):
    """One floods; the connections of the others were there before it, and stay."""
    server = small()
    with Held(server.port) as held:
        honest = [held.add(HONEST.format(number))[0] for number in range(1, 11)]
        flood = held.add(FLOOD, OVER)
        fetched(server, trusted)
        assert not any(ended(plain) for plain in honest), "an honest one had to go"
        states = [ended(plain) for plain in flood]
        assert states == sorted(states, reverse=True), "not the oldest first"
        kept = states.count(False)
        assert SMALL // 4 < kept <= SMALL // 2, f"the flood kept {kept}"


def test_network_of_an_ipv6_listener(small, trusted):
    """IPv4 clients come to it with addresses of IPv6, and are told apart nevertheless."""
    server = small(listen="[::]:0")
    with Held(server.port) as held:
        honest = [held.add(HONEST.format(number))[0] for number in range(1, 6)]
        honest += held.add("::1", 5)
        flood = held.add(FLOOD, OVER)
        fetched(server, trusted)
        fetched(server, trusted, address="::1")
        assert not any(ended(plain) for plain in honest), "an honest one had to go"
        assert ended(flood[0]) and not ended(flood[-1])


def test_two_floods_fill_it_and_lose_for_a_newcomer(small, trusted):
    """All is full; who comes from a third network pushes out one of those that hold most."""
    server = small()
    with Held(server.port) as held:
        honest = []
        for number in range(1, 9):
            held.add(FLOOD, OVER // 8)
            held.add(OTHER_FLOOD, OVER // 8)
            honest += held.add(HONEST.format(number))
        fetched(server, trusted)
        assert not any(ended(plain) for plain in honest), "an honest one had to go"


def test_single_clients_lose_the_oldest(small, trusted):
    """No network holds more than a few, so there is no flood to blame: the oldest goes, as ever."""
    server = small()
    with Held(server.port) as held:
        crowd = [held.add(HONEST.format(number % 100 + 1))[0] for number in range(OVER)]
        fetched(server, trusted)
        states = [ended(plain) for plain in crowd]
        assert states == sorted(states, reverse=True), "not the oldest first"
        assert SMALL // 2 < states.count(False) < SMALL


def test_single_clients_lose_what_is_no_loss_first(small, trusted):
    """Idle connections of whomever go before older ones that are in the middle of something."""
    server = small()
    with Held(server.port) as held:
        unfinished = [held.add(HONEST.format(number))[0] for number in range(1, 41)]
        fetched(server, trusted)
        for number in range(100, 220):
            plain, stepped = handshaken(HONEST.format(number), server.port, trusted)
            held.all.append(plain)
            assert asked(plain, stepped).startswith(b"HTTP/1.1 200 ")
        assert not any(ended(plain) for plain in unfinished)


def test_idle_goes_before_unfinished_in_a_network(small, trusted):
    """Of its own a network loses first what is no loss."""
    server = small()
    with Held(server.port) as held:
        unfinished = held.add(FLOOD, SMALL // 8)
        fetched(server, trusted)
        for _ in range(SMALL):
            plain, stepped = handshaken(FLOOD, server.port, trusted)
            held.all.append(plain)
            assert asked(plain, stepped).startswith(b"HTTP/1.1 200 ")
        assert not any(ended(plain) for plain in unfinished)
        assert not ended(held.all[-1])


def test_handshakes_have_a_limit_of_their_own(start, setup, trusted):
    """Those of a network that are through with theirs do not go for those that are not."""
    count = LIMITS["LIMIT_HANDSHAKES_A_NETWORK"]
    if not limit_descriptors(2 * count):
        pytest.skip("this machine allows too few descriptors")
    setup.certify("example.com")
    server = start(setup.write(["example.com"], workers=1), expect=[SHORTAGE])
    with Held(server.port) as held:
        through = [handshaken(FLOOD, server.port, trusted) for _ in range(20)]
        held.all += [plain for plain, _ in through]
        flood = held.add(FLOOD, count + 50)
        fetched(server, trusted)
        states = [ended(plain) for plain in flood]
        assert states == [True] * 50 + [False] * count
        for plain, stepped in through:
            assert asked(plain, stepped).startswith(b"HTTP/1.1 200 ")


@pytest.mark.alone
@pytest.mark.parametrize("kind, count", [("handshake", 200), ("hello", 200), ("hello", 2000)])
def test_flood_of_handshakes_does_not_take_all_the_time(
    start, setup, authority, trusted, kind, count
):
    """One worker, so that there is no other processor to go to."""
    setup.certify("example.com")
    server = start(setup.write(["example.com"], workers=1), expect=[SHORTAGE])
    with Flood(server.port, HOST, authority.root_file, kind=kind, count=count) as flood:
        with Fresh(server.port, HOST, trusted) as fresh:
            fresh.wait_fetches(60)
    print(f"{count} clients, {kind}, {flood.rounds} rounds: {fresh.summary()}")
    assert flood.rounds >= count
    fresh.assert_prompt()


@pytest.mark.alone
@pytest.mark.parametrize("count", [1000, 4000])
def test_idle_connections_are_held_beside_a_fresh_client(start, setup, authority, trusted, count):
    """All from one address, as behind a proxy, and in one worker."""
    if instrumented() and count > 1000:
        pytest.skip("with the sanitizers there is no time for so many handshakes")
    setup.certify("example.com")
    server = start(setup.write(["example.com"], workers=1))
    worker = server.workers()[0]
    with Fresh(server.port, HOST, trusted) as fresh:
        fresh.wait_fetches(5)
        before = anonymous_bytes(worker)
        with Flood(server.port, HOST, authority.root_file, kind="idle", count=count) as crowd:
            fresh.wait_fetches(50)
            held = descriptors_of(worker)
            cost = (anonymous_bytes(worker) - before) / count
    print(f"{count} idle connections of {cost:.0f} bytes: {fresh.summary()}")
    # Its incoming buffer of 4 KB is not there while it waits.
    assert instrumented() or uses_system_library() or cost < 6000
    assert held >= count, f"{held} descriptors"
    assert crowd.rounds == 0, "some were not held"
    fresh.assert_prompt()


def anonymous_bytes(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^RssAnon:\s+(\d+) kB$", status, re.M)[1]) * 1024


@pytest.mark.skipif(instrumented(), reason="the sanitizers take memory of their own")
@pytest.mark.parametrize("sent", [1, 6, 1000, 3900])
def test_half_a_client_hello_costs_little_more_than_its_bytes(start, setup, trusted, sent):
    """However little is missing of it."""
    count = 1500
    if not limit_descriptors(count + 100):
        pytest.skip("this machine allows too few descriptors")
    setup.certify("example.com")
    server = start(setup.write(["example.com"], workers=1))
    worker = server.workers()[0]
    long = hello.record(hello.client_hello(HOST, alpn=(b"x" * 250,) * 20))
    with Held(server.port) as held:
        for address in ("127.66.0.1", "127.77.0.1"):
            held.add(address, 10)
        fetched(server, trusted)
        before = anonymous_bytes(worker)
        for plain in held.add(FLOOD, count):
            plain.sendall(long[:sent])
        fetched(server, trusted)
        cost = (anonymous_bytes(worker) - before) / count
    print(f"{sent} bytes of a ClientHello cost {cost:.0f}")
    assert cost <= sent + 1024


def header_for(address):
    return f"PROXY TCP4 {address} 192.0.2.2 1 2\r\n".encode()


def test_batch_whose_first_event_ends_the_connection_of_the_second(start, setup, trusted):
    """While the worker stands still, a proxy names a client of a network that is full, and the oldest
    one of that network sends a byte: the worker meets both in one batch."""
    setup.certify("example.com")
    listen = {"address": "127.0.0.1:0", "proxy_protocol": {"from": ["127.7.0.0/16", FLOOD]}}
    config = setup.write(["example.com"], workers=1, listen=listen)
    server = start(config, prefix=["prlimit", f"--nofile={SMALL}:{SMALL}"], expect=[SHORTAGE])
    worker = server.workers()[0]
    for number in range(20):
        victims = header_for(f"198.51.100.{number}")
        with Held(server.port) as held:
            oldest = held.add(FLOOD, SMALL)
            for plain in oldest:
                plain.sendall(victims + b"\x16\x03\x01")
            fetched(server, trusted)
            # A network of its own, which has used no time yet, so that its event comes first.
            mover = held.add(f"127.7.{number}.1")[0]
            fetched(server, trusted)
            kept = [plain for plain in oldest if not ended(plain)]
            os.kill(worker, signal.SIGSTOP)
            mover.sendall(victims)
            for plain in kept:
                plain.sendall(b"\x02")
            os.kill(worker, signal.SIGCONT)
            fetched(server, trusted)
            assert ended(kept[0]) and not ended(mover)
    assert server.workers() == [worker]


TCP_REPAIR = 19


def vanish(plain):
    """The client's machine lost its power: no good-bye of any kind."""
    plain.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    plain.close()


def unsent(port, peer):
    """Bytes that the kernel keeps to be sent to this client; None when it knows nothing of it."""
    ends = (f":{port:04X}", f":{peer:04X}")
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1][-5:], fields[2][-5:]) == ends:
            return int(fields[4].partition(":")[0], 16)
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a connection vanish")
def test_half_open_connections_go_at_the_deadline(start, setup, trusted):
    setup.certify("example.com")
    server = start(setup.write(["example.com"], workers=1))
    worker = server.workers()[0]
    before = descriptors_of(worker)
    silent = [plain_from(FLOOD, server.port) for _ in range(50)]
    through = [handshaken(FLOOD, server.port, trusted)[0] for _ in range(50)]
    assert descriptors_of(worker) >= before + 100
    for plain in silent + through:
        vanish(plain)
    assert descriptors_of(worker) >= before + 100, "the server cannot know yet"
    fetched(server, trusted)
    limit = (LIMITS["LIMIT_UNFINISHED_MS"] + LIMITS["LIMIT_LINGER_MS"]) / 1000 + 3
    until(lambda: descriptors_of(worker) <= before, "the server to let go", limit, 0.1)
    fetched(server, trusted)


BIG = {"mode": "enforce", "max_age": "2w", "mx": [f"mx{number}.{'x' * 60}.example" for number in range(120)]}


def start_with(policy, start, setup):
    setup.certify("example.com")
    return start(
        setup.write({"example.com": policy}, workers=1),
        expect=[r"mta-sts\.yaml:\d+:\d+: warning: ", r"^\s+(why|fix): "],
    )


@contextlib.contextmanager
def small_window(server, trusted):
    """A client after its handshake, for whom the kernel takes little: its socket, its TLS, its port."""
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        plain.settimeout(15)
        plain.connect(("127.0.0.1", server.port))
        stepped = client.Stepped(HOST, trusted)
        client.handshake_in_pieces(plain, stepped)
        yield plain, stepped, plain.getsockname()[1]


def test_little_is_kept_for_who_hardly_reads_and_not_for_long(start, setup, trusted):
    """Nor does the kernel go on for the server when the deadline has come."""
    server = start_with(BIG, start, setup)
    with small_window(server, trusted) as (plain, stepped, peer):
        # As many as the server reads at once: it would reset a connection with unread bytes anyway.
        data = stepped.encrypt(GET * (LIMITS["LIMIT_REQUEST_HEAD"] // len(GET)))
        plain.sendall(stepped.take() + data)
        fetched(server, trusted)
        assert 0 < unsent(server.port, peer) <= 2 * LIMITS["LIMIT_SOCKET_SEND"]
        limit = LIMITS["LIMIT_UNFINISHED_MS"] / 1000 + 5
        plain.setblocking(False)

        def gone():
            """It reads, for a client who does not is gone sooner or later anyway, but too slowly."""
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                plain.recv(60)
            return unsent(server.port, peer) is None

        until(gone, "the kernel to let go", limit, 0.2)


def test_response_is_not_lost_to_what_comes_after_the_request(start, setup, trusted):
    """The server is through and the client still sends: closing at once would be a reset, which
    overtakes the response."""
    setup.certify("example.com")
    server = start(setup.write(["example.com"], workers=1))
    for _ in range(20):
        with client.Connection(server.port, HOST, trusted) as connection:
            connection.send(client.request(HOST, close=True))
            connection.send(b"x" * 30000)
            response = connection.response()
            assert response.status == 200
            assert connection.rest() == b""


def test_half_closed_client_gets_what_it_has_not_taken_yet(start, setup, trusted):
    """close_notify that comes when everything was sent, and before the client has taken it: a server
    that had closed its socket by then would reset the connection, and its kernel would send no more."""
    server = start_with(BIG, start, setup)
    with small_window(server, trusted) as (plain, stepped, peer):
        plain.sendall(stepped.take() + stepped.encrypt(client.request(HOST, close=True)))
        fetched(server, trusted)
        assert unsent(server.port, peer) > 0
        with contextlib.suppress(ssl.SSLWantReadError):
            stepped.tls.unwrap()
        plain.sendall(stepped.take())
        fetched(server, trusted)
        answer = b""
        while (part := stepped.decrypt()) is not None:
            answer += part
            if not part:
                stepped.give(plain.recv(65536))
        assert answer.endswith(body_of(BIG))


def test_lingering_ends_though_the_client_goes_on(start, setup, trusted):
    """Who never stops sending is thrown out after the time for lingering."""
    setup.certify("example.com")
    server = start(setup.write(["example.com"], workers=1))
    plain, stepped = handshaken("127.0.0.1", server.port, trusted)
    thrown_out = threading.Event()

    def babble():
        try:
            while True:
                plain.sendall(stepped.encrypt(b"x" * 1000))
                time.sleep(0.01)  # a rate, not a wait
        except OSError:
            thrown_out.set()

    begin = time.monotonic()
    plain.sendall(stepped.encrypt(client.request(HOST, close=True)))
    babbler = threading.Thread(target=babble, daemon=True)
    babbler.start()
    assert thrown_out.wait(LIMITS["LIMIT_LINGER_MS"] / 1000 + 3)
    assert time.monotonic() - begin >= LIMITS["LIMIT_LINGER_MS"] / 1000 - 0.5
    babbler.join(5)
    plain.close()
    fetched(server, trusted)

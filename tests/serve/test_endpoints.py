"""Endpoints behind a proxy: plain HTTP, Unix sockets, and the PROXY protocol."""

import socket
import stat
import threading
import struct

import pytest

from support import client, server
from support.setup import DEFAULT_POLICY, Setup, body_of

DOMAIN = "example.com"
HOST = "mta-sts." + DOMAIN
BODY = body_of(DEFAULT_POLICY)
PLAIN = {"address": "127.0.0.1:0", "tls": False}

# Where TLS is spoken, and where it is not.
ADDRESSES = {True: "127.0.0.1", False: "127.0.0.3"}

V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command=1, family=0x11, addresses=None, extensions=b""):
    if addresses is None:
        addresses = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2")
        addresses += struct.pack("!HH", 56324, 443)
    payload = addresses + extensions
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(payload)) + payload


V6 = v2(family=0x21, addresses=socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2 + b"\1\2\1\2")
HEADERS = {
    "v1": V1,
    "v1 unknown": b"PROXY UNKNOWN\r\n",
    "v2": v2(),
    "v2 IPv6": V6,
    "v2 local": v2(command=0, addresses=b"", family=0),
    "v2 with extensions": v2(extensions=b"\x04\x04\x00" + bytes(1024)),
}


@pytest.fixture(name="plain")
def fixture_plain(setup, start):
    """A server with nothing but plain HTTP, which needs no certificate."""
    setup.write([DOMAIN, "example.net"], listen=PLAIN, certificates=None)
    return start(setup.config)


def test_plain_http_serves_by_host(plain):
    for host in (HOST, HOST.upper() + ".", HOST + ":80"):
        response = client.fetch(plain.port, host, None)
        assert (response.status, response.body) == (200, BODY)
    response = client.fetch(plain.port, "mta-sts.example.net", None)
    assert response.status == 200


def test_plain_http_answers_as_the_table_says(plain):
    rows = [
        (client.request("mta-sts.unknown.example"), 421),
        (client.request("example.com"), 421),
        (client.request(None, version="HTTP/1.0"), 421),
        (client.request(None), 400),
        (client.request(HOST, target="/"), 404),
        (client.request(HOST, method="POST", headers=["Content-Length: 0"]), 405),
        (client.request(HOST, target=f"http://{HOST}{client.PATH}"), 200),
        (client.request(HOST, target=f"https://{HOST}{client.PATH}"), 200),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 400),
    ]
    for data, status in rows:
        with client.Connection(plain.port, None, None) as connection:
            assert connection.exchange(data).status == status, data


def test_plain_connection_is_reused_for_other_hosts(plain):
    """A proxy sends the requests of many clients through one connection."""
    with client.Connection(plain.port, None, None) as connection:
        for host in (HOST, "mta-sts.example.net", "mta-sts.unknown.example", HOST):
            status = 421 if "unknown" in host else 200
            assert connection.exchange(client.request(host)).status == status


def test_check_asks_for_no_certificate_behind_a_proxy(setup):
    setup.write([DOMAIN], listen=PLAIN, certificates=None)
    done = server.run("check", "-c", setup.config)
    assert (done.returncode, b"certificate" in done.stderr) == (0, False), done.stderr


def test_unix_socket(setup, start):
    path = setup.root / "http.sock"
    setup.write([DOMAIN], listen={"address": f"unix:{path}", "tls": False}, certificates=None)
    running = start(setup.config)
    assert running.listeners == [f"unix:{path}"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert client.fetch(str(path), HOST, None).body == BODY
    assert running.reload()
    assert client.fetch(str(path), HOST, None).body == BODY
    running.stop()
    assert not path.exists()


def test_unix_socket_is_for_everybody_whatever_the_mask(setup, start):
    path = setup.root / "http.sock"
    setup.write([DOMAIN], listen={"address": f"unix:{path}", "tls": False}, certificates=None)
    start(setup.config, prefix=["sh", "-c", 'umask 077; exec "$@"', "sh"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o666


def test_owner_of_the_folder_changes_no_other_file(setup):
    """He puts a link in place of the socket as often as he can; the file that it leads to stays as it
    was, whoever wins."""
    path, secret = setup.root / "http.sock", setup.root / "secret"
    secret.touch(mode=0o600)
    setup.write([DOMAIN], listen={"address": f"unix:{path}", "tls": False}, certificates=None)
    over = threading.Event()

    def replace():
        spare = setup.root / "spare"
        while not over.is_set():
            spare.symlink_to(secret)
            spare.replace(path)
            path.unlink(missing_ok=True)  # so that the next one binds

    racer = threading.Thread(target=replace)
    racer.start()
    try:
        for _ in range(5):
            racing = server.Server(setup.config, expect=[r"."])
            try:
                racing.wait_line(r"ready: generation|not started", seconds=30)
            finally:
                racing.kill()
            assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    finally:
        over.set()
        racer.join()


def test_unix_socket_that_a_killed_server_left(setup, start):
    path = setup.root / "http.sock"
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(path))
    setup.write([DOMAIN], listen={"address": f"unix:{path}", "tls": False}, certificates=None)
    start(setup.config)
    assert client.fetch(str(path), HOST, None).body == BODY
    second = server.run("serve", "-c", setup.config)
    assert second.returncode == 1
    assert b"another program (or another instance of this one) listens there" in second.stderr
    assert client.fetch(str(path), HOST, None).body == BODY


def test_file_in_place_of_a_unix_socket_is_left_alone(setup):
    path = setup.root / "precious"
    path.write_text("data")
    setup.write([DOMAIN], listen={"address": f"unix:{path}", "tls": False}, certificates=None)
    assert server.run("serve", "-c", setup.config).returncode == 1
    assert path.read_text() == "data"


def port_of_both_families():
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as sock:
        return sock.getsockname()[1]


def test_both_families_by_name(setup, start, trusted):
    """Each has a socket of its own then, and a reload from and to "[::]" alone closes no port."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    setup.certify(DOMAIN)
    port = port_of_both_families()
    v4, v6 = f"0.0.0.0:{port}", f"[::]:{port}"
    setup.write([DOMAIN], listen=[v4, v6])
    assert server.run("check", "-c", setup.config).returncode == 0
    running = start(setup.config)
    for listen, listeners in (([v4, v6], [v4, v6]), (v6, [v6, v4]), ([v6, v4], [v6, v4]), (v4, [v4])):
        if listen != [v4, v6]:
            setup.write([DOMAIN], listen=listen)
            assert running.reload()
        assert sorted(running.listeners) == sorted(listeners)
        for address in ("127.0.0.1", "::1"):
            if address == "::1" and listen == v4:
                continue
            response = client.fetch(port, HOST, trusted, address=address)
            assert (response.status, response.body) == (200, BODY)


def test_both_families_with_different_services(setup, start, trusted):
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    setup.certify(DOMAIN)
    port = port_of_both_families()
    setup.write([DOMAIN], listen=[f"[::]:{port}", {"address": f"0.0.0.0:{port}", "tls": False}])
    start(setup.config)
    assert client.fetch(port, HOST, trusted, address="::1").status == 200
    assert client.fetch(port, HOST, None, address="127.0.0.1").status == 200


def test_reload_from_one_family_to_both(setup, start, trusted):
    """The socket of "[::]" takes IPv4 already, which is no reason to refuse."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    setup.certify(DOMAIN)
    port = port_of_both_families()
    setup.write([DOMAIN], listen=f"[::]:{port}")
    running = start(setup.config)
    setup.write([DOMAIN], listen=[f"0.0.0.0:{port}", f"[::]:{port}"])
    assert running.reload()
    for address in ("127.0.0.1", "::1"):
        assert client.fetch(port, HOST, trusted, address=address).status == 200


@pytest.fixture(name="proxied", scope="module")
def fixture_proxied(program, authority, tmp_path_factory):
    """TLS and plain HTTP, both believing a proxy at 127.0.0.1 and nobody else."""
    del program
    setup = Setup(tmp_path_factory.mktemp("proxied"), authority)
    setup.certify(DOMAIN)
    believed = {"proxy_protocol": {"from": ["127.0.0.1", "2001:db8::/32"]}}
    setup.write(
        [DOMAIN],
        workers=1,
        listen=[
            {"address": f"{ADDRESSES[True]}:0", **believed},
            {"address": f"{ADDRESSES[False]}:0", "tls": False, **believed},
        ],
    )
    with server.Server.running(setup.config) as running:
        yield running


class Door:
    """One of the two, as a proxy sees it."""

    def __init__(self, running, trusted, tls):
        self.tls = tls
        self.port = running.ports[0 if tls else 1]
        self.address = ADDRESSES[tls]
        self.context = trusted if tls else None

    def dial(self, source="127.0.0.1"):
        sock = socket.socket()
        sock.settimeout(15)
        sock.bind((source, 0))
        sock.connect((self.address, self.port))
        return sock

    def fetch(self, header):
        options = {"address": self.address, "preface": header}
        return client.fetch(self.port, HOST, self.context, **options)

    def refuses(self, data):
        """The connection is closed without an answer."""
        with self.dial() as sock:
            sock.sendall(data)
            return is_closed(sock)


def is_closed(sock):
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.fixture(params=[True, False], ids=["tls", "plain"])
def door(request, proxied, trusted):
    return Door(proxied, trusted, request.param)


@pytest.mark.parametrize("header", HEADERS)
def test_header_of_a_proxy(door, header):
    assert door.fetch(HEADERS[header]).body == BODY


@pytest.mark.parametrize("header", HEADERS)
def test_header_in_two_pieces(door, header):
    """Cut at a few places; the rest comes with the beginning of what follows."""
    data = HEADERS[header]
    for cut in sorted({1, 5, 6, 12, 14, len(data) - 1}):
        with door.dial() as sock:
            sock.sendall(data[:cut])
            sock.sendall(data[cut:] + client.request(HOST, close=True))
            # Behind TLS these bytes are no handshake, and the answer is an alert.
            assert sock.recv(2) == (b"\x15\x03" if door.tls else b"HT")


def test_proxy_that_says_nothing_sound(door):
    rows = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n\n",
        v2(command=2),
        v2(family=0x41),
        v2(extensions=bytes(60000)),
        SIGNATURE + b"\x11\x11\x00\x00",
    ]
    for data in rows:
        assert door.refuses(data), data[:60]


def test_header_twice(door):
    """The second is the client's, and neither a request nor TLS."""
    with door.dial() as sock:
        sock.sendall(V1 + V1 + client.request(HOST))
        assert sock.recv(65536).startswith(b"\x15\x03" if door.tls else b"HTTP/1.1 400 ")


@pytest.mark.parametrize("header", ["v1", "v2"])
def test_spoofed_header_is_refused(door, header):
    """127.0.0.2 is no proxy: it is served as itself, and its header is neither a request nor TLS."""
    with door.dial("127.0.0.2") as stranger:
        stranger.sendall(HEADERS[header] + client.request(HOST))
        assert stranger.recv(65536).startswith(b"\x15\x03" if door.tls else b"HTTP/1.1 400 ")


def test_stranger_is_served_as_himself(door):
    with door.dial("127.0.0.2") as sock:
        stranger = door.context.wrap_socket(sock, server_hostname=HOST) if door.tls else sock
        stranger.sendall(client.request(HOST))
        assert stranger.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_proxy_that_stops_half_way_is_not_waited_for(door):
    with door.dial() as sock:
        sock.sendall(V1[:10])
        assert is_closed(sock)


def test_endpoints_are_judged(setup):
    rows = {
        '{address: "127.0.0.1:0", tls: maybe}': 'tls "maybe" is neither true nor false',
        '{address: "unix:http.sock", tls: false}': "is not an address with a port",
        '{address: "127.0.0.1:0", proxy_protocol: {}}': "does not say which proxies to trust",
        '{address: "127.0.0.1:0", proxy_protocol: {from: []}}': "does not say which proxies",
        '{address: "127.0.0.1:0", proxy_protocol: {from: proxy.example}}': "neither an IP address",
        '{address: "127.0.0.1:0", proxy_protocol: {from: 10.0.0.1/8}}': "bits set after the length",
        '{address: "127.0.0.1:0", proxy_protocol: {form: 10.0.0.1}}': 'did you mean "from"?',
    }
    for value, words in rows.items():
        setup.config.write_text(f"listen: {value}\ndomains:\n")
        done = server.run("check", "-c", setup.config)
        assert done.returncode == 1
        assert words in done.stderr.decode(), (value, done.stderr.decode())

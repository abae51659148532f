"""Reload: not one connection suffers, and what cannot be used never replaces what can."""

import os
import re
import signal
import socket
import threading

import pytest

from support import client, hello, tree
from support.authority import PKCS8, SECRET
from support.server import descriptors_of, memory_of
from support.setup import DEFAULT_POLICY, body_of, replace_file
from support.wait import until

HOST = "mta-sts.example.com"
OTHER = {"mode": "testing", "max_age": "1d", "mx": ["other.example.com"]}
BROKEN = {"mode": "enforce", "max_age": "2w", "mx": ["mail_1.example.com"]}
ADVICE = r"^\s+(why|fix): "
REFUSED = r"reload refused"


def body(running, context, domain="example.com", port=None):
    response = client.fetch(port or running.port, f"mta-sts.{domain}", context)
    assert response.status == 200, response
    return response.body


def is_host(running, domain):
    """Whether the domain's policy host is known at all."""
    message = hello.record(hello.client_hello(f"mta-sts.{domain}"))
    return hello.answer_to(running.port, message).hello


class Fetchers:
    """Threads that fetch without pause, each time over a new connection. One failure is the end."""

    def __init__(self, port, context, accept, count=8):
        self._stop = threading.Event()
        self.failures = []
        self.counts = [0] * count
        arguments = (port, context, accept)
        self._threads = [
            threading.Thread(target=self._run, args=(index, *arguments), daemon=True)
            for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, index, port, context, accept):
        try:
            while not self._stop.is_set():
                response = client.fetch(port, HOST, context)
                if response.status != 200 or response.body not in accept:
                    raise AssertionError(f"got {response}")
                self.counts[index] += 1
        except Exception as error:
            self.failures.append(repr(error))

    def finish(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a fetch hangs"


def test_two_hundred_reloads_under_load(start, setup, trusted, capsys):
    """Not one fetch fails, and the supervisor grows neither in descriptors nor in memory."""
    setup.certify("example.com")
    setup.certify("example.net", kind="RSA 2048")
    running = start(setup.write({"example.com": OTHER, "example.net": None}))
    accept = (body_of(DEFAULT_POLICY), body_of(OTHER))
    fetchers = Fetchers(running.port, trusted, accept)
    sizes = {}
    port, descriptors = running.port, descriptors_of(running.pid)
    try:
        for number in range(1, 201):
            changed = None if number % 2 else OTHER
            setup.write({"example.com": changed, "example.net": None})
            assert running.reload(settle=False), running.log()
            assert running.port == port
            assert not fetchers.failures, fetchers.failures
            if number in (20, 200):
                # The old generation's sockets and memory go when it has drained.
                running.wait_workers(2)
                until(lambda: descriptors_of(running.pid) == descriptors, "as few as before")
                sizes[number] = memory_of(running.pid)
    finally:
        fetchers.finish()
    assert not fetchers.failures, fetchers.failures
    assert all(fetchers.counts), "a thread never fetched"
    with capsys.disabled():
        print(f"\n  200 reloads during {sum(fetchers.counts)} fetches;", end=" ")
        print(f"{descriptors} descriptors, PSS {sizes[20]} and {sizes[200]} KB after 20 and 200")
    if not tree.instrumented():
        assert sizes[200] <= sizes[20] * 1.1 + 512, "memory leaks"
    assert body(running, trusted) == body_of(OTHER)


def test_connection_that_was_begun_before_is_finished(start, setup, trusted):
    setup.certify("example.com")
    running = start(setup.write(["example.com"]))
    old = running.workers()
    with client.Connection(running.port, HOST, trusted) as half:
        half.send(client.request(HOST)[:-2])
        with client.Connection(running.port, HOST, trusted) as idle:
            assert idle.exchange(client.request(HOST)).status == 200
            setup.write({"example.com": OTHER})
            assert running.reload(settle=False)
            until(lambda: body(running, trusted) == body_of(OTHER), "the new policy")
            # One that is idle may be let go, but politely.
            assert idle.rest() == b""
        half.send(b"\r\n")
        response = half.response()
        assert response.status == 200
        assert response.body in (body_of(DEFAULT_POLICY), body_of(OTHER))
        assert half.rest() == b""
    until(lambda: not set(old) & set(running.workers()), "the old generation to go", 20)


def test_handshake_over_a_reload_is_finished(start, setup, trusted):
    setup.certify("example.com")
    running = start(setup.write(["example.com"]))
    stepped = client.Stepped(HOST, trusted)
    first = stepped.take()
    with socket.create_connection(("127.0.0.1", running.port), timeout=15) as plain:
        plain.sendall(first[:50])
        setup.write({"example.com": OTHER})
        assert running.reload(settle=False)
        plain.sendall(first[50:])
        stepped.give(plain.recv(65536))
        client.handshake_in_pieces(plain, stepped)
        plain.sendall(stepped.encrypt(client.request(HOST, close=True)))
        answer = b""
        while (part := stepped.decrypt()) is not None:
            answer += part
            if not part:
                stepped.give(plain.recv(65536))
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_changed_policy_becomes_visible(start, setup, trusted):
    setup.certify("example.com")
    running = start(setup.write(["example.com"]))
    assert body(running, trusted) == body_of(DEFAULT_POLICY)
    setup.write({"example.com": OTHER})
    assert body(running, trusted) == body_of(DEFAULT_POLICY), "seen before it was asked for"
    assert running.reload()
    assert body(running, trusted) == body_of(OTHER)
    assert running.generation == 2


def test_domains_come_and_go(start, setup, trusted):
    for domain in ("example.com", "example.net"):
        setup.certify(domain)
    running = start(setup.write(["example.com"]))
    assert not is_host(running, "example.net")
    setup.write(["example.com", "example.net"])
    assert running.reload()
    assert body(running, trusted, "example.net") == body_of(DEFAULT_POLICY)
    setup.write(["example.net"])
    assert running.reload()
    assert not is_host(running, "example.com")
    assert body(running, trusted, "example.net") == body_of(DEFAULT_POLICY)


def test_renewed_certificate_is_shown(start, setup, trusted):
    setup.certify("example.com", end=30)
    running = start(setup.write(["example.com"]))
    renewed = setup.certify("example.com", end=90)
    assert running.reload()
    with client.Connection(running.port, HOST, trusted) as connection:
        assert connection.tls.getpeercert(binary_form=True) == renewed.der


def test_reload_without_a_change(start, setup, trusted):
    setup.certify("example.com")
    running = start(setup.write(["example.com"]))
    for _ in range(3):
        assert running.reload()
    assert running.generation == 4
    assert body(running, trusted) == body_of(DEFAULT_POLICY)


def test_many_requests_at_once_are_folded(start, setup, trusted):
    """A hundred signals are not a hundred generations, and the last state of the file counts."""
    setup.certify("example.com")
    running = start(setup.write(["example.com"]))
    setup.write({"example.com": OTHER})
    for _ in range(100):
        running.send(signal.SIGHUP)
    until(lambda: body(running, trusted) == body_of(OTHER), "the new policy")
    running.wait_workers(2)
    running.generation = max(
        int(found) for found in re.findall(r"ready: generation (\d+)", running.log())
    )
    assert running.generation < 50
    until(lambda: quiet(running), "the last of them to be done")
    assert body(running, trusted) == body_of(OTHER)


def quiet(running):
    """True when the workers are two and no reload is on its way."""
    workers = running.workers()
    return len(workers) == 2 and workers == running.workers()


# What cannot be used.

FILE_FAULTS = {
    "a syntax error": ("domains:\n  example.com: [\n", r"mta-sts\.yaml:\d+:\d+: error: "),
    "an unknown key": ("domians:\n  example.com:\n", r"mta-sts\.yaml:1:1: error: .*domians"),
    "a bad listener": (
        'listen: "nowhere"\ndomains:\n  example.com:\n',
        r"mta-sts\.yaml:1:9: error: ",
    ),
    "a comment": ("# later\n", r"mta-sts\.yaml(:\d+:\d+)?: error: "),
    "nothing": ("", r"mta-sts\.yaml(:\d+:\d+)?: error: "),
    "another type": ("- a\n- b\n", r"mta-sts\.yaml:1:1: error: "),
    "two documents": ("domains:\n---\ndomains:\n", r"mta-sts\.yaml:\d+:\d+: error: "),
    "bytes that are no text": ("domains: \udcff\udcfe\n", r"mta-sts\.yaml(:\d+:\d+)?: error: "),
}


@pytest.mark.parametrize("name", FILE_FAULTS)
def test_broken_file_keeps_what_runs(start, setup, trusted, name):
    setup.certify("example.com")
    good = setup.write(["example.com"]).read_bytes()
    running = start(setup.config)
    workers = running.workers()
    text, pattern = FILE_FAULTS[name]
    running.expect(pattern, ADVICE, REFUSED, r"mta-sts\.yaml(:\d+:\d+)?: (note|warning|error): ")
    replace_file(setup.config, text.encode("utf-8", "surrogateescape"))
    since = running.mark()
    assert not running.reload()
    running.wait_line(pattern, since=since)
    assert running.workers() == workers
    assert body(running, trusted) == body_of(DEFAULT_POLICY)
    replace_file(setup.config, good)
    assert running.reload(), "it does not recover"
    assert running.generation == 2
    assert body(running, trusted) == body_of(DEFAULT_POLICY)


def test_missing_file_keeps_what_runs(start, setup, trusted):
    setup.certify("example.com")
    running = start(setup.write(["example.com"]))
    running.expect(r"mta-sts\.yaml.*: error: ", ADVICE, REFUSED)
    os.rename(setup.config, setup.root / "away")
    assert not running.reload()
    assert body(running, trusted) == body_of(DEFAULT_POLICY)
    os.rename(setup.root / "away", setup.config)
    assert running.reload()


def test_strict_refuses_a_reload_for_one_domain(start, setup, trusted):
    setup.certify("example.com")
    running = start(setup.write(["example.com"], strict=True))
    setup.write({"example.com": OTHER, "bad.example": BROKEN}, strict=True)
    line = setup.line_of("bad.example")
    running.expect(rf"mta-sts\.yaml:{line}:\d+: error: ", ADVICE, REFUSED)
    running.expect(r"mta-sts\.yaml:.*: (warning|error|note): ")
    assert not running.reload()
    assert body(running, trusted) == body_of(DEFAULT_POLICY)


def junk(label):
    return f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n"


def spoil_key(leaf, folder):
    del leaf
    replace_file(folder / "privkey.pem", junk("PRIVATE KEY"))


def spoil_certificate(leaf, folder):
    del leaf
    replace_file(folder / "fullchain.pem", junk("CERTIFICATE"))


def cut_certificate(leaf, folder):
    replace_file(folder / "fullchain.pem", leaf.chain_pem()[:300])


def cut_key(leaf, folder):
    replace_file(folder / "privkey.pem", leaf.key_pem()[:100])


def remove_key(leaf, folder):
    del leaf
    (folder / "privkey.pem").unlink()


def remove_certificate(leaf, folder):
    del leaf
    (folder / "fullchain.pem").unlink()


def remove_folder(leaf, folder):
    del leaf
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def encrypt_key(leaf, folder):
    replace_file(folder / "privkey.pem", leaf.key_pem(PKCS8, SECRET))


CERTIFICATE_FAULTS = {
    spoil_key: r"example\.com/privkey\.pem:\d+",
    spoil_certificate: r"example\.com/fullchain\.pem:\d+",
    cut_certificate: r"example\.com/fullchain\.pem:\d+",
    cut_key: r"example\.com/privkey\.pem:\d+",
    remove_key: r"example\.com/fullchain\.pem:\d+.*key",
    remove_certificate: r"example\.com",
    remove_folder: r"example\.com",
    encrypt_key: r"example\.com/privkey\.pem:\d+.*encrypted",
}


@pytest.mark.parametrize("spoil", CERTIFICATE_FAULTS, ids=lambda spoil: spoil.__name__)
def test_spoiled_certificate_keeps_the_last(start, setup, trusted, spoil):
    """The host keeps the credential of the last load, the fault is named, others don't notice."""
    leaf = setup.certify("example.com")
    setup.certify("example.net")
    running = start(setup.write(["example.com", "example.net"]))
    spoil(leaf, setup.certs / "example.com")
    pattern = rf"{CERTIFICATE_FAULTS[spoil]}"
    running.expect(r"example\.com\b", ADVICE)
    since = running.mark()
    assert running.reload(), running.log()
    running.wait_line(pattern, since=since)
    with client.Connection(running.port, HOST, trusted) as connection:
        assert connection.tls.getpeercert(binary_form=True) == leaf.der
        assert connection.exchange(client.request(HOST)).body == body_of(DEFAULT_POLICY)
    assert body(running, trusted, "example.net") == body_of(DEFAULT_POLICY)
    # It lasts over the next reload too, and ends when the certificate is mended.
    assert running.reload(), running.log()
    assert body(running, trusted) == body_of(DEFAULT_POLICY)
    renewed = setup.certify("example.com")
    since = running.mark()
    assert running.reload()
    assert len(running.lines) == since + 1, "nothing is wrong any more:\n" + running.log()
    with client.Connection(running.port, HOST, trusted) as connection:
        assert connection.tls.getpeercert(binary_form=True) == renewed.der


def test_bad_policy_keeps_the_last_valid_one(start, setup, trusted):
    for domain in ("example.com", "example.net"):
        setup.certify(domain)
    running = start(setup.write(["example.com", "example.net"]))
    setup.write({"example.com": BROKEN, "example.net": OTHER})
    line = setup.line_of("  example.com:")
    running.expect(rf"mta-sts\.yaml:{line}:\d+: error: ", ADVICE, r"stale")
    since = running.mark()
    assert running.reload()
    running.wait_line(rf"mta-sts\.yaml:{line}:\d+: error: .*underscore", since=since)
    running.wait_line(r"\(1 stale\)", since=since)
    assert body(running, trusted) == body_of(DEFAULT_POLICY)
    assert body(running, trusted, "example.net") == body_of(OTHER)
    # A stale policy is inherited by the next generation too.
    assert running.reload()
    assert body(running, trusted) == body_of(DEFAULT_POLICY)
    setup.write({"example.com": OTHER, "example.net": OTHER})
    since = running.mark()
    assert running.reload()
    assert not [line for line in running.lines[since:] if "stale" in line]
    assert body(running, trusted) == body_of(OTHER)


def test_new_domain_with_a_bad_policy_is_refused(start, setup, trusted):
    for domain in ("example.com", "example.net"):
        setup.certify(domain)
    running = start(setup.write(["example.com"]))
    setup.write({"example.com": None, "example.net": BROKEN})
    running.expect(r"mta-sts\.yaml:\d+:\d+: error: ", ADVICE)
    assert running.reload()
    assert client.fetch(running.port, "mta-sts.example.net", trusted).status == 503
    assert body(running, trusted) == body_of(DEFAULT_POLICY)
    setup.write(["example.com", "example.net"])
    assert running.reload()
    assert body(running, trusted, "example.net") == body_of(DEFAULT_POLICY)


def drop_in(domain, max_age="1d"):
    return f"domains:\n  {domain}: {{mode: testing, max_age: {max_age}, mx: [mx.{domain}]}}\n"


def test_broken_drop_in_is_the_fault_of_its_domains(start, setup, trusted):
    folder = setup.root / "domains.d"
    folder.mkdir()
    bodies = {}
    for domain in ("example.com", "one.example", "two.example"):
        setup.certify(domain)
    for domain in ("one.example", "two.example"):
        (folder / f"{domain}.yaml").write_text(drop_in(domain))
        policy = {"mode": "testing", "max_age": "1d", "mx": [f"mx.{domain}"]}
        bodies[domain] = body_of(policy)
    running = start(setup.write(["example.com"], include="domains.d/*.yaml"))
    for domain, expected in bodies.items():
        assert body(running, trusted, domain) == expected
    (folder / "one.example.yaml").write_text("domains:\n  one.example: {mode: testing,\n")
    (folder / "two.example.yaml").write_text(drop_in("two.example", "2d"))
    running.expect(r"one\.example", ADVICE, "stale")
    since = running.mark()
    assert running.reload(), running.log()
    running.wait_line(r"one\.example\.yaml:\d+:\d+: error: ", since=since)
    assert body(running, trusted, "one.example") == bodies["one.example"]
    assert b"max_age: 172800" in body(running, trusted, "two.example")
    assert body(running, trusted) == body_of(DEFAULT_POLICY)
    # Mended, it says nothing any more.
    (folder / "one.example.yaml").write_text(drop_in("one.example", "3d"))
    since = running.mark()
    assert running.reload()
    assert len(running.lines) == since + 1, running.log()
    assert b"max_age: 259200" in body(running, trusted, "one.example")


@pytest.mark.parametrize("text", ["", "# nothing yet\n"], ids=["empty", "comment"])
def test_empty_drop_in_does_no_harm(start, setup, trusted, text):
    """It is being written, or has nothing to say yet."""
    folder = setup.root / "domains.d"
    folder.mkdir()
    setup.certify("example.com")
    (folder / "one.yaml").write_text("policies: {}\n")
    running = start(setup.write(["example.com"], include="domains.d/*.yaml"))
    (folder / "one.yaml").write_text(text)
    running.expect(r"domains\.d/one\.yaml", ADVICE)
    setup.write({"example.com": OTHER}, include="domains.d/*.yaml")
    assert running.reload(), running.log()
    assert body(running, trusted) == body_of(OTHER)


def test_removed_drop_in_removes_its_domain(start, setup, trusted):
    folder = setup.root / "domains.d"
    folder.mkdir()
    for domain in ("example.com", "one.example"):
        setup.certify(domain)
    (folder / "one.yaml").write_text(drop_in("one.example"))
    running = start(setup.write(["example.com"], include="domains.d/*.yaml"))
    assert is_host(running, "one.example")
    (folder / "one.yaml").unlink()
    running.expect(r"include", ADVICE)
    assert running.reload()
    assert not is_host(running, "one.example")
    assert body(running, trusted) == body_of(DEFAULT_POLICY)


# Listeners.


def test_listeners_come_and_go(start, setup, trusted):
    setup.certify("example.com")
    running = start(setup.write(["example.com"], listen="127.0.0.1:0"))
    kept = running.port
    setup.write(["example.com"], listen=["127.0.0.1:0", "127.0.0.2:0"])
    assert running.reload()
    assert running.ports[0] == kept, "the first listener was opened anew"
    added = running.ports[1]
    response = client.fetch(added, HOST, trusted, address="127.0.0.2")
    assert response.status == 200
    setup.write(["example.com"], listen="127.0.0.2:0")
    assert running.reload()
    assert running.ports == [added]
    running.wait_workers(2)
    until(lambda: client.refuses(kept), "the first listener to close")
    assert client.fetch(added, HOST, trusted, address="127.0.0.2").status == 200


def test_removed_listener_is_closed_at_once(start, setup, trusted):
    """While the old generation finishes what it began, nobody waits in vain there."""
    setup.certify("example.com")
    running = start(setup.write(["example.com"], listen=["127.0.0.1:0", "127.0.0.2:0"]))
    with client.Connection(running.port, HOST, trusted) as half:
        half.send(client.request(HOST)[:-2])
        removed = running.ports[1]
        setup.write(["example.com"], listen="127.0.0.1:0")
        assert running.reload(settle=False)
        until(lambda: client.refuses(removed, address="127.0.0.2"), "the removed listener to close", 5)
        half.send(b"\r\n")
        assert half.response().status == 200


def test_listener_that_cannot_be_opened_refuses_the_reload(start, setup, trusted):
    setup.certify("example.com")
    running = start(setup.write(["example.com"]))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running.expect(rf"cannot listen on 127\.0\.0\.1:{port}: .*in use", REFUSED)
        setup.write({"example.com": OTHER}, listen=["127.0.0.1:0", f"127.0.0.1:{port}"])
        assert not running.reload()
        assert body(running, trusted) == body_of(DEFAULT_POLICY)
    assert running.reload()
    assert body(running, trusted) == body_of(OTHER)
    assert body(running, trusted, port=port) == body_of(OTHER)


def test_number_of_workers_changes(start, setup, trusted):
    setup.certify("example.com")
    running = start(setup.write(["example.com"], workers=1))
    for count in (3, 2):
        setup.write(["example.com"], workers=count)
        assert running.reload()
        running.wait_workers(count)
        assert body(running, trusted) == body_of(DEFAULT_POLICY)


def test_stop_during_a_reload(start, setup):
    setup.certify("example.com")
    running = start(setup.write(["example.com"]))
    running.send(signal.SIGHUP)
    running.stop()

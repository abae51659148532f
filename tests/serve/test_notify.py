"""The dialogue with a service manager: sd_notify, the watchdog, and sockets that it passes on."""

import os
import signal
import socket
import subprocess

import pytest

from support import client, tree
from support.manager import Manager
from support.server import Server
from support.setup import DEFAULT_POLICY, body_of

DOMAIN = "example.com"
HOST = "mta-sts." + DOMAIN


@pytest.fixture(name="manager", params=["path", "abstract"])
def fixture_manager(request, tmp_path):
    name = str(tmp_path / "notify") if request.param == "path" else f"\0mta-sts-{os.getpid()}"
    manager = Manager(name)
    yield manager
    manager.socket.close()


def test_states_are_told(setup, start, manager):
    setup.certify(DOMAIN)
    setup.write([DOMAIN])
    running = start(setup.config, environment=manager.environment())
    ready = manager.next()
    assert ready["READY"] == "1"
    assert ready["STATUS"].startswith("ready: generation 1, 2 workers, 1 domain, listening on ")

    assert running.reload()
    reloading = manager.next()
    assert (reloading["RELOADING"], reloading["MONOTONIC_USEC"].isdigit()) == ("1", True)
    assert manager.next()["STATUS"].startswith("ready: generation 2, ")

    setup.config.write_text("listen: nowhere\n")
    running.expect("nowhere", "fix:", "reload refused", "certificates", "why:", "no domain")
    assert not running.reload()
    assert manager.next()["RELOADING"] == "1"
    refused = manager.next()
    assert refused["READY"] == "1"
    assert refused["STATUS"] == "reload refused: generation 2 is still served"

    running.stop()
    assert manager.next() == {"STOPPING": "1"}


def test_nobody_is_told_of_a_start_that_failed(setup, manager):
    setup.config.write_text("listen: nowhere\n")
    done = subprocess.run(
        [tree.program(), "serve", "-c", setup.config],
        env=manager.environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.next()


def test_watchdog(setup, start, manager):
    setup.certify(DOMAIN)
    setup.write([DOMAIN])
    running = start(setup.config, environment=manager.environment(WATCHDOG_USEC="100000"))
    for _ in range(5):
        assert manager.next(but="READY") == {"WATCHDOG": "1"}
    running.send(signal.SIGSTOP)
    manager.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while True:
            manager.socket.recv(4096)
    running.send(signal.SIGCONT)


def test_watchdog_of_another_process(setup, start, manager):
    setup.certify(DOMAIN)
    setup.write([DOMAIN])
    variables = {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    running = start(setup.config, environment=manager.environment(**variables))
    assert manager.next(but="nothing")["READY"] == "1"
    running.stop()
    assert manager.next(but="nothing") == {"STOPPING": "1"}


def test_manager_that_is_gone(setup, start):
    setup.certify(DOMAIN)
    setup.write([DOMAIN])
    missing = str(setup.root / "missing")
    environment = {**os.environ, "NOTIFY_SOCKET": missing}
    expect = [rf"cannot reach the service manager at {missing}: No such file"]
    running = start(setup.config, environment=environment, expect=expect)
    assert running.workers()


# Passes on the descriptors that were left open, as a service manager does.
PASS_ON = [
    "sh",
    "-c",
    'LISTEN_PID=$$ LISTEN_FDS=$1 LISTEN_FDNAMES=$2 && shift 2 && '
    'export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES && exec "$@"',
    "sh",
]


class Passed:
    """Listening sockets at the descriptors 3, 4, … of the server's process."""

    def __init__(self, count):
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        self.ports = [sock.getsockname()[1] for sock in self.sockets]

    def prefix(self, names):
        """Run by a shell of bash's kind, which renumbers them."""
        moves = " ".join(f"{3 + i}<&{50 + i} {50 + i}<&-" for i in range(len(self.sockets)))
        return ["bash", "-c", f'exec "$@" {moves}', "bash", *PASS_ON, str(len(self.sockets)), names]


@pytest.fixture(name="passed")
def fixture_passed():
    passed = Passed(2)
    saved = [os.dup2(sock.fileno(), 50 + i) for i, sock in enumerate(passed.sockets)]
    yield passed
    for fd in saved:
        os.close(fd)
    for sock in passed.sockets:
        sock.close()


@pytest.fixture(name="activated")
def fixture_activated(start, passed, monkeypatch):
    """Starts the server with the two sockets, named https and http."""

    def begin(config, **options):
        original = subprocess.Popen

        def popen(*arguments, **keywords):
            return original(*arguments, pass_fds=(50, 51), **keywords)

        monkeypatch.setattr("support.server.subprocess.Popen", popen)
        try:
            return start(config, prefix=passed.prefix("https:http"), **options)
        finally:
            monkeypatch.undo()

    return begin


def test_sockets_of_the_service_manager(setup, activated, passed, trusted):
    setup.certify(DOMAIN)
    setup.write([DOMAIN], listen="systemd")
    running = activated(setup.config)
    assert running.ports == passed.ports
    for port in passed.ports:
        assert client.fetch(port, HOST, trusted).body == body_of(DEFAULT_POLICY)
    assert running.reload()
    for port in passed.ports:
        assert client.fetch(port, HOST, trusted).status == 200


def test_sockets_come_before_the_default_address(setup, activated, passed, trusted):
    setup.certify(DOMAIN)
    setup.write([DOMAIN], listen=None)
    running = activated(setup.config)
    assert running.ports == passed.ports
    assert client.fetch(passed.ports[1], HOST, trusted).status == 200


def test_named_socket_is_not_for_all(setup, activated, passed):
    setup.certify(DOMAIN)
    http = {"address": "systemd:http", "tls": False}
    setup.write([DOMAIN], listen=[http, "systemd"])
    running = activated(setup.config)
    assert running.ports == passed.ports[::-1]


def test_sockets_by_name_and_their_return(setup, activated, passed, trusted):
    setup.certify(DOMAIN)
    http = {"address": "systemd:http", "tls": False}
    setup.write([DOMAIN], listen=["systemd:https", http])
    running = activated(setup.config)
    assert client.fetch(passed.ports[0], HOST, trusted).status == 200
    assert client.fetch(passed.ports[1], HOST, None).status == 200
    setup.write([DOMAIN], listen="systemd:https", metrics="systemd:http")
    assert running.reload()
    assert running.ports == passed.ports[:1] and running.metrics == passed.ports[1]
    setup.write([DOMAIN], listen=["systemd:https", http])
    assert running.reload()
    assert client.fetch(passed.ports[1], HOST, None).status == 200


@pytest.mark.parametrize("metrics", [None, "systemd:monitor"], ids=["left out", "misspelt"])
def test_socket_whose_name_is_not_selected_is_refused_with_both_named(setup, activated, passed, trusted, metrics):
    """At the start as at a reload: its clients would wait for ever."""
    setup.certify(DOMAIN)
    http = {"address": "systemd:http", "tls": False}
    setup.write([DOMAIN], listen=["systemd:https", http])
    running = activated(setup.config)
    setup.write([DOMAIN], listen="systemd:https", **({"metrics": metrics} if metrics else {}))
    running.expect(
        rf'passed on a socket for {addresses(passed)[1]} named "http", which is not configured: '
        rf"listen systemd:https{f', metrics {metrics}' if metrics else ''}$",
        "metrics: cannot listen on systemd:monitor: ",
        "fix: ",
        "reload refused",
    )
    assert not running.reload()
    assert client.fetch(passed.ports[0], HOST, trusted).status == 200
    running.stop()
    done = subprocess.run([*passed.prefix("https:http"), tree.program(), "serve", "-c", setup.config],
                          pass_fds=(50, 51), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and 'named "http", which is not configured' in done.stderr


def addresses(passed):
    return [f"127.0.0.1:{port}" for port in passed.ports]


def test_configured_addresses_have_the_sockets_that_are_bound_to_them(setup, activated, passed, trusted):
    """One rule for policies, metrics and challenges, at the start as at a reload."""
    setup.certify(DOMAIN)
    first, second = addresses(passed)
    setup.write([DOMAIN], listen=second, metrics=first)
    running = activated(setup.config)
    assert running.ports == [passed.ports[1]] and running.metrics == passed.ports[0]
    assert client.fetch(passed.ports[1], HOST, trusted).status == 200
    setup.write([DOMAIN], listen=first, acme={"http": second, "webroot": str(setup.root)})
    assert running.reload()
    assert running.ports == [passed.ports[0]] and running.challenges == passed.ports[1]
    assert client.fetch(passed.ports[0], HOST, trusted).status == 200
    assert client.fetch(passed.ports[1], HOST, None).status == 404
    setup.write([DOMAIN], listen=None, metrics=second)
    assert running.reload()
    assert running.ports == [passed.ports[0]] and running.metrics == passed.ports[1]


def test_socket_that_is_not_configured_is_refused_with_both_named(setup, activated, passed, trusted):
    setup.certify(DOMAIN)
    first, second = addresses(passed)
    setup.write([DOMAIN], listen=first, metrics=second)
    running = activated(setup.config)
    setup.write([DOMAIN], listen=first)
    running.expect(
        rf"error: the service manager has passed on a socket for {second}, which is not configured: "
        rf"listen {first}$",
        r"error:     fix: configure it \(listen, metrics, or http of acme\), or take its ListenStream= out",
        "reload refused",
    )
    assert not running.reload()
    assert client.fetch(passed.ports[0], HOST, trusted).status == 200


def test_address_in_use_by_a_passed_socket_is_not_blamed_on_another_program(setup, activated, passed):
    setup.certify(DOMAIN)
    first, second = addresses(passed)
    setup.write([DOMAIN], listen=first, metrics=second)
    running = activated(setup.config)
    wildcard = f"0.0.0.0:{passed.ports[0]}"
    setup.write([DOMAIN], listen=wildcard, metrics=second)
    running.expect(
        rf"which is not configured: listen {wildcard}, metrics {second}$",
        rf"cannot listen on {wildcard}: .*: it is part of {first}, which the service manager has passed on",
        "fix: ",
        "reload refused",
    )
    assert not running.reload()


def test_socket_that_nobody_passed_on(setup):
    setup.certify(DOMAIN)
    setup.write([DOMAIN], listen="systemd")
    server = Server(setup.config)
    try:
        assert server.wait_exit() == 1
        assert "the service manager has passed on no such socket" in server.log()
    finally:
        server.kill()

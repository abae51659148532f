"""`health`: is the server that runs here alive, and does it serve? It must need nothing but the
configuration, and must not take a matter of the files for one of the server."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from support import monitor, server, tree
from support.faulty import Faulty, Listener, response, server_context
from support.setup import DEFAULT_POLICY, body_of
from support.wait import until


def health(setup, place, *operands, status):
    """Its only line."""
    done = server.run("health", "-c", setup.config, "-l", place, *operands)
    assert done.returncode == status, (done.stdout.decode(), done.stderr.decode())
    return done.stdout.decode()


@pytest.fixture
def setup_of_two(setup):
    setup.certify("example.com")
    setup.write(["example.com", "example.net"])
    return setup


WITHOUT = [r"mta-sts\.yaml:\d+:\d+: warning: no certificate", r"^\s+(why|fix): "]


def place_of(running):
    return f"127.0.0.1:{running.port}"


def test_server_that_serves(setup_of_two, start):
    place = place_of(start(setup_of_two.config, expect=WITHOUT))
    said = health(setup_of_two, place, status=0)
    assert re.fullmatch(rf"{place}: healthy, serves the policy of example\.com \(\d+ ms\)\n", said)
    assert health(setup_of_two, place, "example.com", status=0).startswith(f"{place}: healthy, ")


def test_domain_without_a_certificate(setup_of_two, start):
    """Asked for by name it is not served; the server is alive all the same."""
    place = place_of(start(setup_of_two.config, expect=WITHOUT))
    said = health(setup_of_two, place, "example.net", status=1)
    assert said == f"{place}: unhealthy: there is no certificate for mta-sts.example.net\n"


def test_server_before_its_first_certificate(setup, start):
    """Who takes its clients away now never lets it get one."""
    setup.write(["example.com"])
    place = place_of(start(setup.config, expect=WITHOUT))
    said = health(setup, place, status=0)
    assert said == f"{place}: alive, but there is no certificate yet, so nothing is served\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user that may not read")
@pytest.mark.parametrize("denied", ["example.com/privkey.pem", "example.com", "."])
def test_server_that_can_read_no_key_is_not_healthy(setup, start, denied):
    """As in a container whose user has no right to the mounted keys, or to a folder with them. The page
    says the same as the command, and as soon as one domain has a certificate, all is well."""
    setup.root.chmod(0o755)
    for folder in setup.root.parents:
        if folder.name.startswith("pytest-"):
            folder.chmod(0o755)
    setup.certify("example.com")
    setup.certify("example.net")
    setup.write(["example.com"], user=None, metrics=monitor.ADDRESS)
    setup.config.chmod(0o644)
    key = setup.certs / denied
    for path in (setup.certs, *setup.certs.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    key.chmod(0o600)
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    running = start(setup.config, prefix=as_nobody,
                    expect=[*WITHOUT, "Permission denied", "left out", "fix: ", "why: ", "every user of this machine"])
    command = [*as_nobody, tree.program(), "health", "-c", setup.config, "-l", place_of(running)]

    def asked():
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        page = monitor.ask(running, "/health")
        return done.returncode, done.stdout, page.status, page.body.decode()

    status, said, code, page = asked()
    assert (status, code) == (1, 503), (said, page)
    assert f"unhealthy: no certificate is served, and {key.resolve()} cannot be read by user 65534" in said
    assert page.startswith("no certificate is served, and there are files or folders")
    if denied != ".":
        setup.write(["example.com", "example.net"], user=None, metrics=monitor.ADDRESS)
        setup.config.chmod(0o644)
        assert running.reload()
        command[-1] = place_of(running)
        status, said, code, page = asked()
        assert (status, code, page) == (0, 200, "ok\n"), (said, page)


def test_nobody_is_there(setup_of_two):
    with Listener(lambda client: None) as listener:
        place = place_of(listener)
    said = health(setup_of_two, place, status=1)
    assert said == f"{place}: unhealthy: Connection refused\n"


def test_server_that_hangs(setup_of_two, start):
    """Its workers are stopped, so that connections are accepted by the kernel and by nobody else."""
    running = start(setup_of_two.config, expect=WITHOUT)
    workers = running.workers()
    try:
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        said = health(setup_of_two, place_of(running), status=1)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    assert said == f"{place_of(running)}: unhealthy: no answer within 5 s\n"


def test_half_edited_configuration_is_no_matter_of_health(setup_of_two, start):
    running = start(setup_of_two.config, expect=WITHOUT)
    setup_of_two.config.write_text("domains: [\n")
    place = place_of(running)
    assert health(setup_of_two, place, status=0) == (
        f"{setup_of_two.config} has errors: see mta-sts-httpd check\n"
        f"{place}: alive, but there is no certificate yet, so nothing is served\n"
    )


def test_changed_policy_that_is_not_yet_loaded(setup_of_two, start):
    place = place_of(start(setup_of_two.config, expect=WITHOUT))
    setup_of_two.write(["example.com"], policies={"default": {**DEFAULT_POLICY, "mode": "testing"}})
    said = health(setup_of_two, place, status=0)
    assert said.endswith("; it is not that of the configuration: reload?\n")
    said = health(setup_of_two, place, "example.com", status=1)
    assert said == f"{place}: unhealthy: the policy is not that of the configuration\n"


def test_expired_certificate(setup, start):
    """The server is alive; the domain, asked for by name, is not."""
    setup.certify("example.com", begin=-30, end=-1)
    setup.write(["example.com"])
    expect = [r"fullchain\.pem:1: (warning|error): .* expired", *WITHOUT]
    place = place_of(start(setup.config, expect=expect + [r"expired"]))
    assert health(setup, place, status=0).startswith(f"{place}: healthy, ")
    said = health(setup, place, "example.com", status=1)
    assert re.fullmatch(rf"{place}: unhealthy: the certificate expired on [-\d]+\n", said)


@pytest.mark.parametrize(
    "names, answer, reason",
    [
        (["www.example.com"], response(body_of(DEFAULT_POLICY)), "the certificate is not for "),
        (["mta-sts.example.com"], response(b"<html>"), "what is served for example.com is no valid"),
        (["mta-sts.example.com"], response(status="404 No"), "the status for "),
        (["mta-sts.example.com"], b"nonsense", "the response does not begin with "),
    ],
    ids=["certificate", "body", "status", "protocol"],
)
def test_another_server_on_our_port(setup, authority, tmp_path, names, answer, reason):
    setup.write(["example.com"])
    context = server_context(tmp_path / "other", authority.issue(*names))
    with Faulty({"mta-sts.example.com": (context, answer)}) as other:
        said = health(setup, place_of(other), status=1)
    assert said.startswith(f"{place_of(other)}: unhealthy: {reason}")


def test_another_program_that_answers_everything(setup, authority, tmp_path):
    """Its 200 for a name that nobody has is no sign of health."""
    setup.config.write_text("domains: [\n")
    context = server_context(tmp_path / "other", authority.issue("mta-sts.health.invalid"))
    with Faulty({"mta-sts.health.invalid": (context, response(b"hello"))}) as other:
        said = health(setup, place_of(other), status=1)
    assert said.endswith(
        ": unhealthy: another program answers there: it has status 200 for mta-sts.health.invalid, "
        "a name that no server has\n"
    )


def test_stale_domain(setup, start):
    """What is served is not what is configured: the server is healthy, the domain is not."""
    setup.certify("example.com", "example.net")
    good = {"mode": "enforce", "max_age": 1209600, "mx": ["mail.example.com"]}
    domains = {"example.com": good, "example.net": good}
    state = setup.root / "state"
    state.mkdir()
    setup.write(domains, state=str(state))
    running = start(setup.config)
    place = place_of(running)
    until(lambda: list(state.iterdir()), "the state")
    assert health(setup, place, "example.com", status=0).startswith(f"{place}: healthy, ")
    setup.write({**domains, "example.com": {**good, "max_age": 1}}, state=str(state))
    running.expect(r"max_age|why: |fix: |example\.com")
    assert running.reload()
    said = health(setup, place, "example.com", status=1)
    assert said == (
        f"{place}: unhealthy: the policy of example.com is the last valid one, not the configured one\n"
    )
    health(setup, place, "example.net", status=0)
    health(setup, place, status=0)


def test_silent_listeners_share_the_time(setup):
    """Four of them, and a manager that waits ten seconds."""
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(4)]
        places = [f"127.0.0.1:{port.getsockname()[1]}" for port in ports]
        setup.write(["example.com"], listen=places)
        begin = time.monotonic()
        done = server.run("health", "-c", setup.config)
        took = time.monotonic() - begin
    assert done.returncode == 1
    said = [re.sub(r"within [\d.]+ s$", "within N s", line) for line in done.stdout.decode().splitlines()]
    assert said == [f"{place}: unhealthy: no answer within N s" for place in places]
    assert took >= 1.9, took
    limit = tree.LIMITS["LIMIT_HEALTH_ALL_MS"] / 1000
    assert took < limit + 20, took  # on a busy machine


def test_every_listener_is_asked(setup, start):
    """One with TLS, one that expects a proxy from this machine, one without TLS, one Unix socket."""
    setup.certify("example.com")
    ports = []
    for _ in range(3):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    path = setup.root / "socket"
    setup.root.chmod(0o755)
    listeners = [
        f"127.0.0.1:{ports[0]}",
        {"address": f"127.0.0.1:{ports[1]}", "proxy_protocol": {"from": ["127.0.0.0/8"]}},
        {"address": f"127.0.0.1:{ports[2]}", "tls": False},
        {"address": f"unix:{path}", "tls": False},
    ]
    setup.write(["example.com"], listen=listeners)
    running = start(setup.config)
    done = server.run("health", "-c", setup.config)
    assert done.returncode == 0, done.stdout.decode()
    said = re.sub(r"\d+ ms", "N ms", done.stdout.decode()).splitlines()
    places = [f"127.0.0.1:{port}" for port in ports] + [f"unix:{path}"]
    assert said == [f"{place}: healthy, serves the policy of example.com (N ms)" for place in places]
    running.stop()
    done = server.run("health", "-c", setup.config)
    assert done.returncode == 1
    assert len(re.findall(": unhealthy: ", done.stdout.decode())) == 4


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "systemd:https"])
def test_address_that_the_configuration_does_not_know(setup, listen):
    setup.write(["example.com"], listen=listen)
    done = server.run("health", "-c", setup.config)
    assert done.returncode == 1
    assert done.stdout.decode() == (
        f"{listen}: unhealthy: the configuration does not give its address or port: name them with "
        "--listen\n"
    )


def test_wildcard_listener_is_asked_on_this_machine(setup, start):
    setup.certify("example.com")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    setup.write(["example.com"], listen=f"0.0.0.0:{port}")
    start(setup.config)
    done = server.run("health", "-c", setup.config)
    assert done.returncode == 0 and done.stdout.startswith(b"0.0.0.0:%d: healthy, " % port)


def test_it_needs_nothing_but_the_configuration(setup_of_two, start, tmp_path):
    """No authorities, no resolver, no other program, no key: as in an image without any of them."""
    place = place_of(start(setup_of_two.config, expect=WITHOUT))
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-o", trace, "-e", "trace=open,openat,execve,fork,vfork,clone,clone3"]
    done = subprocess.run(
        [*map(str, command), tree.program(), "health", "-c", setup_of_two.config, "-l", place],
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},  # which does not work under strace
    )
    assert done.returncode == 0, done.stderr
    calls = trace.read_text()
    assert not re.search(r"\b(fork|vfork|clone|clone3)\(", calls) and calls.count("execve(") == 1
    opened = re.findall(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]*)"', calls)
    assert str(setup_of_two.config) in opened
    ours = [
        path
        for path in opened
        if not re.search(r"/lib[^/]*\.so|/ld\.so\.|^/proc/self/|\.so(\.\d+)*$", path)
    ]
    assert ours == [str(setup_of_two.config)], opened

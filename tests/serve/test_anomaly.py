"""In the running server the nth allocation or system call of one process fails: of the supervisor when it
starts or loads anew, of a worker when it starts or serves. Either all goes well, or it is refused with
a word about it; nothing that is answered is wrong, nothing is left behind, nothing leaks.

By default some n stand for all; "make anomaly" leaves none out.
"""

import collections
import os
import re
import shutil
import signal
import ssl
import subprocess

import pytest

from support import client, preload, tree
from support.server import Server, descriptors_of
from support.setup import DEFAULT_POLICY, body_of
from support.wait import until

from test_challenges import challenge_for, is_shown, put

HOST = "mta-sts.example.com"
# mbedTLS 3.6.7 forgets a cipher of TLS 1.3 when there is no memory for the second one of a pair.
LIBRARY_LEAKS = 16
ALL = os.environ.get("ANOMALY") == "all"
KINDS = ["allocation", "call"]


def every(share):
    """The n to try: all of them, or the first ones and then one in so many. Whoever uses it ends it."""
    n = 1
    while True:
        yield n
        n += 1 if ALL else max(1, n // share)


@pytest.fixture
def fault(tmp_path):
    return preload.Fault(tmp_path)


@pytest.fixture
def config(setup):
    setup.certify("example.com")
    (setup.root / "state").mkdir()
    return setup.write(["example.com"], workers=1, state="state")


def fetched(port, context):
    """One fetch: True when the policy came, byte for byte, False when the connection ended without it.
    Any other answer, and none at all within the time that every connection has, is a failure."""
    try:
        response = client.fetch(port, HOST, context)
    except (ssl.SSLError, ConnectionError, EOFError):
        return False
    assert (response.status, response.body) == (200, body_of(DEFAULT_POLICY))
    return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", client.VERSIONS)
def test_fetch(start, config, authority, fault, version, kind):
    server = start(config, environment=fault.environment)
    server.expect(r"new clients are refused")
    context = client.trusting(authority.root_file, client.VERSIONS[version])
    [worker] = server.workers()
    idle = descriptors_of(worker)

    def allocated():
        """What the worker holds when no client is there."""
        fault.arm(worker, None, 0)
        assert fetched(server.port, context)
        until(lambda: descriptors_of(worker) == idle, "the connections to be gone")
        return fault.live()

    before = allocated()
    for n in every(8):
        fault.arm(worker, kind, n)
        served = fetched(server.port, context)
        if not fault.disarm():
            assert served
            break
    print(f"# fetch, {version}: complete before {kind} {n}")
    assert allocated() - before <= LIBRARY_LEAKS
    assert server.workers() == [worker], server.log()


def outcome(server, since, old):
    """Whether the next generation serves. When memory is short, its line is too."""
    match = server.wait_line(r"ready: generation|reload refused", since=since, seconds=30)
    if "refused" in match[0]:
        return False
    until(lambda: not old & set(server.children()), "the old generation to go", 30)
    assert server.watcher()  # which is not the next process
    return True


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("process", ["supervisor", "loader", "worker"])
def test_reload(start, config, trusted, fault, process, kind):
    server = start(config, environment=fault.environment)
    server.expect(r"\berror: ", r"\bwarning: ", r"^    (why|fix): ", r"ready: generation",
                  r"watcher \d+ is replaced")
    for n in every(4):
        which = {"supervisor": server.pid, "loader": fault.NEXT_PROCESS,
                 "worker": fault.NEXT_PROCESS_BUT_ONE}[process]
        fault.arm(which, kind, n)
        since, old = server.mark(), set(server.children())
        server.send(signal.SIGHUP)
        loaded = outcome(server, since, old)
        fired = fault.disarm()
        assert fetched(server.port, trusted), server.log()
        # Its name, too, is a call that can fail.
        until(lambda: len(server.children()) == 2, "one worker and the watcher")
        if not fired:
            assert loaded
            break
    print(f"# reload, {process}: complete before {kind} {n}")


@pytest.mark.parametrize("kind", KINDS)
def test_renewal(start, setup, config, trusted, fault, kind):
    """Without a signal. Each takes seconds, so that a few stand for all, which the unit test has."""
    server = start(config, environment=fault.environment)
    server.expect(r"\berror: ", r"\bwarning: ", r"^    (why|fix): ", r"ready: generation",
                  r"certificates have changed", r"watcher \d+ is replaced")
    for n in [2**i for i in range(20)] if ALL else [64]:
        since, old = server.mark(), set(server.children())
        fault.arm(server.pid, kind, n)
        setup.certify("example.com")
        loaded = outcome(server, since, old)
        fired = fault.disarm()
        assert fetched(server.port, trusted), server.log()
        if not fired:
            assert loaded
            break
    print(f"# renewal: seen up to {kind} {n}")


@pytest.mark.parametrize("kind", KINDS)
def test_challenges(start, setup, authority, trusted, fault, kind):
    """What an authority is shown does not vanish while it is there. The folder is touched, so that it
    is read anew."""
    folder = setup.root / "alpn"
    folder.mkdir()
    setup.certify("example.com")
    server = start(setup.write(["example.com"], workers=1, acme={"alpn": "alpn"}),
                   environment=fault.environment,
                   expect=[r"challenges cannot be read", r"error: out of memory$", r"watcher \d+ (died|ended|is replaced)"])
    leaf = challenge_for(authority, HOST)
    put(folder, HOST, leaf)
    until(lambda: is_shown(server.port, HOST, leaf), "the challenge")
    # A watcher without memory ends, and is started again after a pause.
    for n in every(2) if kind == "call" else (2**i for i in range(9)):
        fault.arm(server.watcher(), kind, n)
        mark = challenge_for(authority, f"n{n}.example")
        put(folder, "mark", mark)

        def looked(host=f"n{n}.example", mark=mark):
            assert is_shown(server.port, HOST, leaf), host
            return is_shown(server.port, host, mark)

        until(looked, "the next look", 20)
        if not fault.disarm():
            break
    print(f"# challenges: complete before {kind} {n}")
    assert fetched(server.port, trusted)


@pytest.mark.parametrize("kind", KINDS)
def test_start(config, trusted, fault, kind):
    for n in every(3):
        fault.arm(fault.NEXT_PROCESS, kind, n)
        server = Server(config, environment=fault.environment, expect=[r"."])
        try:
            until(lambda: server.process.poll() is not None or "ready: " in server.log(),
                  "the server to start or to end", 30)
            fired = fault.disarm()
            if server.process.poll() is None:
                if not re.search(r"out of memory for the details", server.log()):
                    server.wait_ready(1)
                    # A certificate that could not be read is no reason not to serve the others.
                    assert fetched(server.port, trusted) or re.search(r"\berror: ", server.log())
                server.stop()
            else:
                assert fired and server.wait_exit() == 1
                assert server.log(), "it ended without a word"
        finally:
            server.kill()
        if not fired:
            break
    print(f"# start: complete before {kind} {n}")


# Without the first growth of its heap glibc's malloc ends every program; an exit cannot fail.
UNTOUCHED = {"brk", "exit_group"}


def traced(config, *options):
    """The command "check" under strace, which also reaches what libraries ask of the kernel."""
    command = ["strace", "-qq", *options, tree.program(), "check", "-c", config]
    return subprocess.run([str(part) for part in command], capture_output=True, timeout=60,
                          check=False, stdin=subprocess.DEVNULL)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace (Debian) is not installed")
@pytest.mark.skipif(tree.instrumented(), reason="a sanitizer has system calls of its own")
def test_check_under_strace(config, tmp_path):
    log = tmp_path / "log"
    expected = traced(config, "-o", log)
    if expected.returncode != 0:
        pytest.skip(f"no tracing here: {expected.stderr.decode().strip()}")
    # The last step of the loader is to put its index of libraries away; there is no program before.
    calls = re.findall(r"^(\w+)\(", log.read_text(), re.M)
    loader = collections.Counter(calls[: calls.index("munmap") + 1])
    total = collections.Counter(calls)
    for call in sorted(set(total) - UNTOUCHED):
        for n in range(loader[call] + 1, total[call] + 1):
            error = "ENOMEM" if call in ("mmap", "munmap") else "EIO"
            done = traced(config, "-o", "/dev/null", "-e", f"inject={call}:error={error}:when={n}")
            what = f"{call} {n}: {done}"
            assert done.returncode in (0, 1), what
            if done.returncode == 0:  # then it is as in good times, or a warning tells what is not
                same = (done.stdout, done.stderr) == (expected.stdout, expected.stderr)
                assert same or b": warning: " in done.stderr, what
                assert b"1 domain served, 0 refused; 0 errors" in done.stdout, what
            else:
                assert done.stdout or done.stderr, what

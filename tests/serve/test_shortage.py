"""The machine runs short: of descriptors, of memory, of room for the log, of a reliable clock. The
server goes on with what it has, says so once, and recovers by itself.
"""

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from support import burst, client, limits, preload, tracer, tree
from support.server import READY, Server, alive, free_port, parent_of, workers_of
from support.setup import DEFAULT_POLICY, body_of, replace_file
from support.tracer import Tracer
from support.wait import until

HOST = "mta-sts.example.com"
GET = client.request(HOST)
TURNED_AWAY = r"warning: cannot [a-z A-Z]+: .*; new clients are refused \(logged once a minute\)$"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do that to another process")


@pytest.fixture
def server(start, setup):
    setup.certify("example.com")
    return start(setup.write(["example.com"], workers=1))


def fetched(port, context):
    response = client.fetch(port, HOST, context, timeout=10)
    assert (response.status, response.body) == (200, body_of(DEFAULT_POLICY))


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sleeps(pid):
    """How often a process has gone to sleep by itself."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^voluntary_ctxt_switches:\t(\d+)", status, re.M)[1])


def waiting_clients(server):
    """While nobody can be accepted: it is told once for all of them, and the worker sleeps between
    its tries. Returns the clients, who are in the kernel's queue."""
    worker = server.workers()[0]
    clients = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(20)]
    server.wait_line(TURNED_AWAY)
    cpu, slept = cpu_seconds(worker), sleeps(worker)
    until(lambda: sleeps(worker) >= slept + 10, "the worker to sleep between its tries")
    assert cpu_seconds(worker) - cpu < 0.5, "it spins"
    assert len(re.findall(TURNED_AWAY, server.log(), re.M)) == 1
    return clients


def served_late(clients, context):
    """Clients that came during the shortage and waited get their policy after it."""
    for plain in clients:
        with plain, context.wrap_socket(plain, server_hostname=HOST) as tls:
            tls.sendall(client.request(HOST, close=True))
            assert tls.recv(12) == b"HTTP/1.1 200"


def test_descriptors_of_the_process_run_out(server, trusted):
    server.expect(TURNED_AWAY)
    worker = server.workers()[0]
    limits.set_soft(worker, nofile=3)
    clients = waiting_clients(server)
    limits.set_soft(worker, nofile=1000)
    served_late(clients, trusted)
    fetched(server.port, trusted)
    assert server.workers() == [worker]
    assert len(re.findall(TURNED_AWAY, server.log(), re.M)) == 1


def injected(pid, call, error):
    """with injected(…): a system call of a process fails with the error."""
    return Tracer(pid, f"trace={call}", f"inject={call}:error={error}")


@tracer.needed
@pytest.mark.parametrize("error", ["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS"])
def test_accept_fails_for_a_while(server, trusted, error):
    """An error that is not ours to end, as when the whole machine is out of descriptors."""
    server.expect(TURNED_AWAY)
    worker = server.workers()[0]
    with client.Connection(server.port, HOST, trusted) as connection:
        assert connection.exchange(GET).status == 200
    with injected(worker, "accept4", error):
        clients = waiting_clients(server)
    served_late(clients, trusted)
    fetched(server.port, trusted)
    assert server.workers() == [worker]


@tracer.needed
@pytest.mark.parametrize("error", ["ECONNABORTED", "EPROTO", "EPERM", "EHOSTUNREACH"])
def test_client_that_is_gone_already_is_no_shortage(server, trusted, error):
    """Errors of one newcomer say nothing about the next, and are not worth a word."""
    worker = server.workers()[0]
    with injected(worker, "accept4", error):
        clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
    served_late(clients, trusted)
    assert server.workers() == [worker]


@pytest.mark.skipif(tree.instrumented(), reason="the address sanitizer ends when memory does")
def test_memory_of_a_worker_runs_out(server, trusted):
    """Connections that cannot be held are closed; those that are there are served; it recovers."""
    server.expect(TURNED_AWAY)
    worker = server.workers()[0]
    with client.Connection(server.port, HOST, trusted) as old, contextlib.ExitStack() as held:
        assert old.exchange(GET).status == 200
        status = Path(f"/proc/{worker}/status").read_text()
        size = int(re.search(r"^VmSize:\s+(\d+) kB$", status, re.M)[1]) * 1024
        limits.set_soft(worker, **{"as": size + 128 * 1024})
        failed = 0
        for _ in range(200):
            try:
                held.enter_context(client.Connection(server.port, HOST, trusted, timeout=10))
            except (ssl.SSLError, ConnectionError):
                failed += 1
        assert failed > 20, "memory was not short"
        server.wait_line(TURNED_AWAY)
        assert old.exchange(GET).status == 200
        limits.set_soft(worker, **{"as": "unlimited"})
        fetched(server.port, trusted)
        assert old.exchange(GET).status == 200
    fetched(server.port, trusted)
    assert server.workers() == [worker]
    assert len(re.findall(TURNED_AWAY, server.log(), re.M)) <= 2


@pytest.mark.alone
@pytest.mark.skipif(tree.instrumented(), reason="the address sanitizer ends when memory does")
def test_memory_runs_out_in_a_flood_of_others(server, authority):
    """Handshakes of a few networks take all of it: they give way, not who comes from another one."""
    server.expect(TURNED_AWAY)
    worker = server.workers()[0]
    status = Path(f"/proc/{worker}/status").read_text()
    size = int(re.search(r"^VmSize:\s+(\d+) kB$", status, re.M)[1]) * 1024
    limits.set_soft(worker, **{"as": size + 24 * 1024 * 1024})
    flood = {"network": "127.0.0.64/26", "sources": 4, "rate": 1000, "groups": ["P-256"]}
    flood.update(host=HOST, port=server.port, end="keep")
    honest = {"host": HOST, "port": server.port, "root": str(authority.root_file)}
    honest.update(source="127.0.0.2", seconds=4, within=2.0)
    made, times = burst.beside(flood, honest)
    good = sum(took is not None for took in times)
    print(f"{made} connections; {good} of {len(times)} fetches")
    # The server learns of it when a few handshakes fail in the middle: at most one in ten.
    assert good >= 20 and (len(times) - good) * 10 <= len(times)
    assert server.workers() == [worker]


@contextlib.contextmanager
def without_a_log(setup, command, **options):
    """A server whose standard error cannot be read, so that its port is chosen here. Yields its
    process and the port once it serves; at the end it has to stop politely."""
    port = free_port()
    setup.certify("example.com")
    config = setup.write(["example.com"], workers=2, listen=f"127.0.0.1:{port}")
    command = [*command, str(tree.program()), "serve", "-c", str(config)]
    process = subprocess.Popen(command, start_new_session=True, **options)
    try:
        until(lambda: process.poll() is not None or answers(port), "the server to listen")
        assert process.poll() is None, process.returncode
        yield process, port
        process.terminate()
        assert process.wait(20) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except ConnectionRefusedError:
        return False


def kill_one_of(process):
    """One of two workers; None where they are being replaced."""
    workers = workers_of(process.pid)
    with contextlib.suppress(ProcessLookupError):
        if len(workers) == 2:
            os.kill(workers[0], signal.SIGKILL)
            return workers[0]
    return None


def goes_on(process, port, setup, context):
    """A reload, a refused one, and a worker's death, each of which would write a line."""
    fetched(port, context)
    old = until(lambda: len(workers_of(process.pid)) == 2 and workers_of(process.pid), "workers")
    process.send_signal(signal.SIGHUP)
    until(lambda: not set(old) & set(workers_of(process.pid)), "the next generation", 20)
    good = setup.config.read_bytes()
    replace_file(setup.config, b"nonsense: [\n")
    process.send_signal(signal.SIGHUP)
    replace_file(setup.config, good)
    victim = until(lambda: kill_one_of(process), "a worker to kill")
    until(lambda: not alive(victim), "the worker to die")
    until(lambda: len(workers_of(process.pid)) == 2, "its successor")
    for _ in range(10):
        fetched(port, context)


def test_log_on_a_full_disk(setup, program, trusted):
    del program
    with open("/dev/full", "wb") as full, without_a_log(setup, [], stderr=full) as (process, port):
        goes_on(process, port, setup, trusted)


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"], ids=["stderr", "all three"])
def test_log_that_is_closed(setup, program, trusted, closed):
    """The descriptor is taken by something harmless: never by a socket, which would get the log."""
    del program
    command = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    with without_a_log(setup, command) as (process, port):
        for pid in [process.pid, *workers_of(process.pid)]:
            if os.access(f"/proc/{pid}/fd/2", os.R_OK, follow_symlinks=False):
                assert os.readlink(f"/proc/{pid}/fd/2") == "/dev/null"
        goes_on(process, port, setup, trusted)


# Into a file each line has its time.
LOST = re.compile(r"^(?:\S+Z )?mta-sts-httpd: warning: (\d+) lines of the log were lost$", re.M)


def fill(path):
    """Writes into it until it takes no more."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND)
    try:
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(descriptor, b"x" * size)
    finally:
        os.close(descriptor)


def reload_silently(pid):
    """A reload whose "ready" line nobody sees. The supervisor buries the old workers after it."""
    old = until(lambda: len(workers_of(pid)) == 2 and workers_of(pid), "the workers")
    os.kill(pid, signal.SIGHUP)
    until(lambda: not any(parent_of(each)[0] for each in old), "the old generation to go", 20)


def test_lost_lines_of_a_pipe_are_counted(setup, program, trusted):
    """Nobody reads for a while; afterwards the log says how much is missing."""
    del program
    reader, writer = os.pipe()
    with without_a_log(setup, [], stderr=writer) as (process, port):
        os.close(writer)
        assert READY.search(os.read(reader, 65536).decode().strip())
        os.set_blocking(reader, False)
        fill(f"/proc/self/fd/{reader}")
        for _ in range(3):
            reload_silently(process.pid)
        fetched(port, trusted)
        with contextlib.suppress(BlockingIOError):
            while os.read(reader, 65536):
                pass
        reload_silently(process.pid)
        said = os.read(reader, 65536).decode().splitlines()
        assert [LOST.match(said[0])[1], len(said)] == ["3", 2], said
        assert READY.search(said[1])["generation"] == "5"
        fetched(port, trusted)
    os.close(reader)


@as_root
def test_lost_lines_of_a_full_disk_are_counted(setup, program, trusted, tmp_path):
    """Standard error is a file on a disk that gets full, and has room again later."""
    del program
    disk = tmp_path / "disk"
    disk.mkdir()
    script = 'mount -t tmpfs -o size=64k none "$1" && exec 2>>"$1/log" && shift && exec "$@"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", disk]
    probe = subprocess.run(
        [*command[:5], "-c", 'mount -t tmpfs none "$1"', "sh", disk], capture_output=True, check=False
    )
    if probe.returncode != 0:
        pytest.skip(f"no file system of its own here: {probe.stderr.decode().strip()}")
    with without_a_log(setup, command) as (process, port):
        inside = Path(f"/proc/{process.pid}/root{disk}")
        log = inside / "log"
        until(lambda: READY.search(log.read_text().strip()), "the first line")
        (inside / "ballast").touch()
        fill(inside / "ballast")
        fill(log)  # the rest of its last page
        for _ in range(2):
            reload_silently(process.pid)
        fetched(port, trusted)
        (inside / "ballast").unlink()
        reload_silently(process.pid)
        said = log.read_text().partition("xx")[2].strip("x").splitlines()
        assert [LOST.match(said[0])[1], len(said)] == ["2", 2], said
        assert READY.search(said[1])["generation"] == "4"


DAY = 86400
# Before any certificate, long after all, before the epoch, and where a year has five digits.
JUMPS = {"back": -20 * 365 * DAY, "on": 20 * 365 * DAY, "1938": -88 * 365 * DAY, "10000": 253402300800}


@pytest.mark.parametrize("jump", JUMPS)
def test_wall_clock_jumps(start, setup, trusted, tmp_path, jump):
    """It is shown in Date and judges certificates; every deadline goes by the other clock."""
    clock = preload.Clock(tmp_path)
    setup.certify("example.com")
    server = start(setup.write(["example.com"], workers=1), environment=clock.environment)
    worker = server.workers()
    with client.Connection(server.port, HOST, trusted) as idle:
        first = parsedate_to_datetime(idle.exchange(GET).header("Date")).timestamp()
        assert abs(first - time.time()) < 5
        begin = time.monotonic()
        clock.jump(JUMPS[jump])
        shown = idle.exchange(GET).header("Date")
        if jump != "10000":
            shown = parsedate_to_datetime(shown).timestamp()
            assert abs(shown - time.time() - JUMPS[jump]) < 5
        fetched(server.port, trusted)
        assert idle.rest() == b""
        elapsed = time.monotonic() - begin
        idle_seconds = tree.LIMITS["LIMIT_IDLE_MS"] / 1000
        assert idle_seconds - 1 <= elapsed <= idle_seconds + 3, "the jump moved a deadline"
    assert server.workers() == worker
    # The next generation judges the certificate by the clock as it is, and serves it all the same.
    server.expect(r"(expire|valid)", r"^\s+(why|fix): ", r": (warning|note): ")
    assert server.reload()
    fetched(server.port, trusted)
    clock.jump(0)
    assert server.reload()
    fetched(server.port, trusted)

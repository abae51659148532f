"""The supervisor and its workers: replaced when they die, sealed, and gone when they should be."""

import os
import pwd
import re
import signal
import subprocess
from pathlib import Path

import pytest

from support import client, server, tree
from support.server import Server, alive, children_of, parent_of, workers_of
from support.setup import DEFAULT_POLICY, body_of
from support.wait import until

HOST = "mta-sts.example.com"
CRASH = [r"worker \d+ died: Killed$", r"worker \d+ is replaced$"]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up privileges")


@pytest.fixture
def config(setup):
    setup.certify("example.com")
    return setup.write(["example.com"])


def served(running, context):
    response = client.fetch(running.port, HOST, context)
    return (response.status, response.body) == (200, body_of(DEFAULT_POLICY))


def test_starts_as_many_workers_as_told(start, setup):
    setup.certify("example.com")
    for count in (1, 3):
        running = start(setup.write(["example.com"], workers=count))
        assert len(running.workers()) == count


def test_auto_is_a_worker_for_each_cpu(start, setup):
    setup.certify("example.com")
    running = start(setup.write(["example.com"], workers="auto"))
    assert len(running.workers()) == len(os.sched_getaffinity(0))


def test_ready_line(start, config):
    running = start(config)
    assert len(running.lines) == 1
    said, _, listeners = running.lines[0].partition(", listening on ")
    assert said == "mta-sts-httpd: ready: generation 1, 2 workers, 1 domain"
    assert listeners == f"127.0.0.1:{running.port}"


def test_listen_option_wins(start, config, trusted):
    running = start(config, arguments=["-l", "[::1]:0"])
    assert running.listeners == [f"[::1]:{running.port}"]
    assert client.fetch(running.port, HOST, trusted, address="::1").status == 200


def test_several_listeners_of_both_families(start, setup, trusted):
    setup.certify("example.com")
    running = start(setup.write(["example.com"], listen=["127.0.0.1:0", "[::1]:0", "127.0.0.2:0"]))
    addresses = ["127.0.0.1", "::1", "127.0.0.2"]
    assert len(running.ports) == 3
    for address, port in zip(addresses, running.ports):
        assert client.fetch(port, HOST, trusted, address=address).status == 200


def test_all_addresses_mean_both_families(start, setup, trusted):
    setup.certify("example.com")
    running = start(setup.write(["example.com"], listen="[::]:0"))
    for address in ("127.0.0.1", "::1"):
        assert client.fetch(running.port, HOST, trusted, address=address).status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signal_ends_it_with_status_0(start, config, trusted, number):
    running = start(config)
    assert served(running, trusted)
    running.stop(number)
    assert client.refuses(running.port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_finishes_what_was_begun(start, config, trusted, number):
    """A client that is in the middle of its request when the end comes still gets its policy."""
    running = start(config)
    workers = running.workers()
    with client.Connection(running.port, HOST, trusted) as connection:
        connection.send(client.request(HOST)[:-2])
        running.send(number)
        until(lambda: client.refuses(running.port), "the listener to close", 5)
        assert all(alive(pid) for pid in [running.pid]), "the end came at once"
        connection.send(b"\r\n")
        response = connection.response()
        assert (response.status, response.body) == (200, body_of(DEFAULT_POLICY))
        assert response.header("Connection") == "close"
        assert connection.rest() == b""
    assert running.wait_exit() == 0
    assert not [pid for pid in workers if alive(pid)]


@pytest.mark.parametrize("is_reloaded", [False, True])
def test_second_signal_does_not_wait(start, config, trusted, is_reloaded):
    """An operator who presses Ctrl-C twice means it."""
    running = start(config, expect=[r"worker \d+ died: Killed$"])
    with client.Connection(running.port, HOST, trusted) as connection:
        connection.send(client.request(HOST)[:-2])
        if is_reloaded:  # the workers of before are the ones that wait
            running.reload(settle=False)
        running.send(signal.SIGINT)
        until(lambda: client.refuses(running.port), "the listener to close", 5)
        running.send(signal.SIGINT)
        running.wait_exit(seconds=5)
        running.stop()


def test_killed_worker_is_replaced(start, config, trusted):
    running = start(config, expect=CRASH)
    for _ in range(4):
        before = running.workers()
        os.kill(before[0], signal.SIGKILL)
        until(lambda: before[0] not in running.workers(), "the worker to die")
        until(lambda: len(running.workers()) == 2, "its successor")
        assert served(running, trusted)
    assert before[1] in running.workers() or len(running.workers()) == 2
    assert len(re.findall(r"worker \d+ died", running.log())) == 4


def test_all_workers_killed_at_once_are_replaced(start, config, trusted):
    running = start(config, expect=CRASH)
    before = running.workers()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(
        lambda: len(running.workers()) == 2 and not set(before) & set(running.workers()),
        "two new workers",
    )
    assert served(running, trusted)


def test_stopped_worker_does_not_stop_the_service(start, config, trusted):
    """One worker hangs: the other serves, and the end comes all the same."""
    running = start(config)
    hung = running.workers()[0]
    os.kill(hung, signal.SIGSTOP)
    try:
        done = 0
        for _ in range(6):
            try:
                done += client.fetch(running.port, HOST, trusted, timeout=1).status == 200
            except TimeoutError:
                pass  # The hung worker had been woken for this one.
        assert done >= 4
    finally:
        os.kill(hung, signal.SIGCONT)
    assert served(running, trusted)


PAUSED = r"worker \d+ is replaced after a pause of (\d+) ms, because many have died$"


def test_workers_that_die_often_are_replaced_after_a_pause(start, config, trusted):
    """As when memory is short and the kernel kills them again and again: it never gives up as long as
    one of them becomes ready, and serves whenever one is."""
    running = start(config, expect=[*CRASH, PAUSED])
    few = tree.LIMITS["LIMIT_CRASHES_FEW"]
    for kills in range(few + 4):
        victim = until(running.workers, "a worker", 5)[0]
        os.kill(victim, signal.SIGKILL)
        running.wait_line(rf"worker {victim} is replaced")
        if kills + 1 == few:
            assert not re.search(PAUSED, running.log(), re.M)
            assert served(running, trusted)
    pauses = [int(pause) for pause in re.findall(PAUSED, running.log(), re.M)]
    assert len(pauses) == 4
    assert pauses[0] == tree.LIMITS["LIMIT_PAUSE_MS"]
    assert max(pauses) <= tree.LIMITS["LIMIT_PAUSE_MOST_MS"]
    until(lambda: running.workers(), "a worker", 5)
    assert served(running, trusted)
    assert running.reload()
    assert served(running, trusted)


def test_all_workers_killed_often_come_back_soon(start, config, trusted):
    running = start(config, expect=[*CRASH, PAUSED])
    for _ in range(8):
        for pid in until(running.workers, "workers", 5):
            os.kill(pid, signal.SIGKILL)
            running.wait_line(rf"worker {pid} is replaced")
    until(running.workers, "a worker", 5)
    assert served(running, trusted)


def test_generation_without_a_worker_is_retired(start, setup, trusted):
    """Its last worker has died, and is to be replaced after a pause, when the next generation is there."""
    setup.certify("example.com")
    config = setup.write(["example.com"], workers=1)
    running = start(config, expect=[*CRASH, PAUSED])
    victim = None
    for _ in range(tree.LIMITS["LIMIT_CRASHES_FEW"] + 3):
        until(lambda last=victim: (running.workers() or [last])[0] != last, "a worker", 5)
        victim = running.workers()[0]
        os.kill(victim, signal.SIGKILL)
        running.wait_line(rf"worker {victim} is replaced")
    assert running.reload()
    assert served(running, trusted)
    assert running.reload()
    assert served(running, trusted)


@pytest.mark.parametrize("name", ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "STKFLT", "XFSZ",
                                  "PIPE", "TTIN", "TTOU", "RTMIN", "RTMAX"])
def test_signal_that_means_nothing_is_ignored(three, trusted, unharmed, name):
    """To the supervisor and to its workers."""
    del trusted, unharmed
    for pid in [three.server.pid, *three.server.workers()]:
        os.kill(pid, getattr(signal, f"SIG{name}"))


def test_workers_go_with_a_killed_supervisor(program, config, trusted):
    """No orphan keeps the port."""
    del program
    running = Server(config)
    try:
        running.wait_ready(1)
        workers = running.workers()
        with client.Connection(running.port, HOST, trusted) as connection:
            connection.exchange(client.request(HOST))
            running.send(signal.SIGKILL)
            running.process.wait()
            until(lambda: not any(alive(pid) for pid in workers), "the workers to go", 5)
        until(lambda: client.refuses(running.port), "the port to be free", 5)
    finally:
        for pid in workers:
            if alive(pid) and parent_of(pid)[0] != os.getpid():
                os.kill(pid, signal.SIGKILL)
        running.kill()


def test_port_in_use_is_a_clear_error(start, setup, config):
    running = start(config)
    second = setup.root / "second.yaml"
    second.write_text(
        config.read_text().replace('"127.0.0.1:0"', f'"127.0.0.1:{running.port}"')
    )
    done = server.run("serve", "-c", second)
    assert done.returncode == 1
    said = done.stderr.decode()
    assert re.search(rf"error: cannot listen on 127\.0\.0\.1:{running.port}: .*in use", said), said


def test_address_that_is_not_there_yet(start, setup, config):
    """TEST-NET-1 (RFC 5737) is on no interface: a clear refusal, or a listener that waits for it."""
    setup.certify("example.com")
    setup.write(["example.com"], listen="192.0.2.77:0")
    done = server.run("serve", "-c", config)
    assert done.returncode == 1
    assert b"no network interface has this address (yet? then write freebind: true)" in done.stderr
    later = {"address": "192.0.2.77:0", "freebind": True}
    setup.write(["example.com"], listen=["127.0.0.1:0", later])
    running = start(config)
    assert running.listeners[1].startswith("192.0.2.77:")


def test_missing_configuration_is_a_clear_error(program, tmp_path):
    del program
    done = server.run("serve", "-c", tmp_path / "missing.yaml")
    assert done.returncode == 1
    assert "missing.yaml" in done.stderr.decode()
    assert "ready" not in done.stderr.decode()


@as_root
def test_users_that_cannot_be_read_are_a_clear_error(config, tmp_path):
    """A pipe in place of the file is not waited for."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = 'mount --bind "$0" /etc/passwd && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, pipe, tree.program(), "serve", "-c", config]
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    assert done.returncode == 1
    assert b"error: cannot read /etc/passwd: " in done.stderr, done.stderr


def test_broken_configuration_is_refused_at_the_start(setup):
    setup.certify("example.com")
    config = setup.write(["example.com"], workres=2)
    done = server.run("serve", "-c", config)
    assert done.returncode == 1
    said = done.stderr.decode()
    assert re.search(rf"mta-sts\.yaml:{setup.line_of('workres')}:1: error: .*workres", said), said
    assert "ready" not in said


def test_strict_refuses_to_start_with_one_bad_domain(setup):
    setup.certify("example.com")
    domains = {"example.com": None, "bad.example": {"mode": "enforce"}}
    done = server.run("serve", "-c", setup.write(domains, strict=True))
    assert done.returncode == 1
    assert "ready" not in done.stderr.decode()


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


@as_root
@pytest.mark.parametrize("user", ["nobody", "12345"])
def test_workers_have_no_privileges(start, setup, trusted, user):
    setup.certify("example.com")
    running = start(setup.write(["example.com"], user=user))
    uid = 12345 if user == "12345" else pwd.getpwnam(user).pw_uid
    assert status_of(running.pid)["Uid"] == ["0"] * 4
    for pid in running.workers():
        status = status_of(pid)
        assert status["Uid"] == [str(uid)] * 4
        assert "0" not in status["Gid"] and status["Groups"] == []
        assert status["NoNewPrivs"] == ["1"]
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[capabilities][0], 16) == 0, capabilities
    assert served(running, trusted)


def test_workers_leave_no_core_and_open_no_file(start, config):
    running = start(config)
    for pid in running.workers():
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.M), limits
        assert status_of(pid)["NoNewPrivs"] == ["1"]
        if os.geteuid() == 0:
            names = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
            files = [name for name in names if name.startswith("/") and name != "/dev/null"]
            assert not files, f"a worker holds {files}"


@as_root
def test_user_root_is_refused(setup):
    setup.certify("example.com")
    done = server.run("serve", "-c", setup.write(["example.com"], user="root"))
    assert done.returncode == 1
    assert "root" in done.stderr.decode() and "ready" not in done.stderr.decode()


@as_root
def test_unknown_user_is_a_clear_error(setup):
    setup.certify("example.com")
    done = server.run("serve", "-c", setup.write(["example.com"], user="nobody-of-that-name"))
    assert done.returncode == 1
    assert "nobody-of-that-name" in done.stderr.decode()


@as_root
def test_runs_as_any_user(start, setup, trusted):
    """Not root from the start: everything but the change of user works."""
    setup.certify("example.com")
    config = setup.write(["example.com"], user=None)
    account = pwd.getpwnam("nobody")
    # Its files are its own then, and the way to them is open.
    for path in [setup.root, *setup.root.rglob("*")]:
        os.chown(path, account.pw_uid, account.pw_gid)
    for path in setup.root.parents:
        mode = path.stat().st_mode
        if not mode & 0o001:
            path.chmod(mode | 0o011)
    prefix = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    running = start(config, prefix=prefix)
    assert status_of(running.workers()[0])["Uid"] == [str(account.pw_uid)] * 4
    assert served(running, trusted)


def test_is_a_good_first_process(program, config, trusted):
    """As process 1 of a container it hears signals and buries orphans that are not its own."""
    probe = subprocess.run(
        ["unshare", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    if probe.returncode != 0:
        pytest.skip(f"no process namespace to be had here: {probe.stderr.decode().strip()}")
    del program
    prefix = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    running = Server(config, prefix=prefix)
    try:
        running.wait_ready(1)
        first = children_of(running.pid)[0]
        workers = workers_of(first)
        assert len(workers) == 2
        command = ["nsenter", "--target", str(first), "--pid", "sh", "-c", "sleep 0.1 & echo $!"]
        orphan = subprocess.run(command, capture_output=True, check=True, timeout=20).stdout
        assert int(orphan) > 1
        until(lambda: all_children(first) == children_of(first), "the orphan to be buried")
        assert served(running, trusted)
        os.kill(first, signal.SIGTERM)
        assert running.wait_exit() == 0, running.log()
        assert not running.unexpected(), running.log()
    finally:
        running.kill()


def all_children(pid):
    """The children, the dead that nobody has buried among them."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and parent_of(int(entry))[0] == pid:
            found.append(int(entry))
    return sorted(found)


def test_log_that_nobody_reads_does_not_stop_it(program, config, trusted):
    """First the pipe is full, then its reader is gone; the service goes on."""
    del program
    command = [str(tree.program()), "serve", "-c", str(config)]
    reader, writer = os.pipe()
    process = subprocess.Popen(command, stderr=writer, start_new_session=True)
    try:
        os.close(writer)
        port = int(re.search(rb"127\.0\.0\.1:(\d+)\n", os.read(reader, 4096))[1])
        fill(f"/proc/self/fd/{reader}")
        old = set(workers_of(process.pid))
        process.send_signal(signal.SIGHUP)
        until(lambda: not old & set(workers_of(process.pid)), "the next generation")
        assert client.fetch(port, HOST, trusted).status == 200
        os.close(reader)
        victim = workers_of(process.pid)[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in workers_of(process.pid), "the worker to die")
        until(lambda: len(workers_of(process.pid)) == 2, "its successor")
        assert client.fetch(port, HOST, trusted).status == 200
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def fill(path):
    """Writes into a pipe until it takes no more."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(descriptor, b"x" * 4096)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)

"""The seal as the kernel shows it: of the workers, of the supervisor, and where a piece is lacking."""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from support import client, lacking, preload, server, tree
from support.server import Server, alive
from support.setup import DEFAULT_POLICY, body_of
from support.wait import until

HOST = "mta-sts.example.com"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give up")
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
# capabilities(7): what the supervisor may keep.
NEEDED = {"DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "KILL": 5, "SETGID": 6, "SETUID": 7}
NEEDED |= {"NET_BIND_SERVICE": 10, "SYS_CHROOT": 18}


def has_filters():
    return re.search(r"^Seccomp:", Path("/proc/self/status").read_text(), re.M)


needs_filters = pytest.mark.skipif(not has_filters(), reason="this kernel has no seccomp")


@pytest.fixture
def config(setup):
    setup.certify("example.com")
    return setup.write(["example.com"])


def served(running, context):
    response = client.fetch(running.port, HOST, context)
    return (response.status, response.body) == (200, body_of(DEFAULT_POLICY))


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def limit_of(pid, name):
    text = Path(f"/proc/{pid}/limits").read_text()
    return re.search(rf"^{name} +(\S+) +(\S+)", text, re.M).groups()


@needs_filters
def test_worker_has_nothing(start, setup, trusted):
    """Those of the second generation, and one that replaces a dead one."""
    setup.certify("example.com")
    user = {"user": "12345"} if os.geteuid() == 0 else {}
    crash = [r"worker \d+ died: Killed$", r"worker \d+ is replaced$"]
    running = start(setup.write(["example.com"], **user), expect=crash)
    first = running.wait_workers(2)
    assert running.reload()
    second = running.wait_workers(2)
    os.kill(second[0], signal.SIGKILL)
    until(lambda: not alive(second[0]), "the worker to die")
    third = [pid for pid in running.wait_workers(2) if pid not in second]
    assert len(third) == 1 and not set(first) & set(second)
    for pid in [*second, *third][1:]:
        until(lambda pid=pid: is_sealed(pid, running.pid), "the worker to be sealed")
        check_worker(pid, bool(user))
    assert served(running, trusted)


def is_sealed(pid, supervisor):
    """Its filter stands over the one that it has inherited; kernels before 5.9 do not tell."""
    own, inherited = (int(status_of(one).get("Seccomp_filters", 0)) for one in (pid, supervisor))
    return own == inherited + 1 or own == inherited == 0


def check_worker(pid, from_root):
    status = status_of(pid)
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert limit_of(pid, "Max core file size") == ("0", "0")
    assert limit_of(pid, "Max processes") == ("0", "0")
    for key in CAPABILITIES if from_root else ("CapPrm", "CapEff", "CapAmb"):
        assert int(status[key], 16) == 0, key
    if from_root:
        assert status["Uid"].split() == status["Gid"].split() == ["12345"] * 4
        assert status["Groups"] == ""
        # The kernel gives the files of what cannot be traced to root.
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0
        assert os.readlink(f"/proc/{pid}/root").endswith(" (deleted)")
        assert os.listdir(f"/proc/{pid}/root/") == []


@needs_filters
@pytest.mark.skipif(tree.instrumented(), reason="the sanitizer traces the supervisor to find leaks")
def test_supervisor_keeps_what_it_needs(start, config):
    running = start(config)
    status = status_of(running.pid)
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert limit_of(running.pid, "Max core file size") == ("0", "0")
    most = sum(1 << bit for bit in NEEDED.values())
    ours = int(status_of("self")["CapPrm"], 16)
    assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == ours & most
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    if os.geteuid() == 0:
        assert int(status["CapBnd"], 16) == 0


@as_root
def test_supervisor_reaches_what_belongs_to_others(start, setup, trusted):
    """A key that only its owner may read, in a folder that only he may enter; a state folder too."""
    setup.certify("example.com")
    state = setup.root / "state"
    state.mkdir(mode=0o700)
    for path in [state, setup.certs / "example.com", *(setup.certs / "example.com").iterdir()]:
        os.chown(path, 12345, 12345)
        path.chmod(0o700 if path.is_dir() else 0o600)
    running = start(setup.write(["example.com"], state="state"))
    assert served(running, trusted)
    assert list(state.iterdir())


TRESPASSES = ["open", "socket", "connect", "execve", "fork", "ptrace"]


@needs_filters
@pytest.mark.parametrize("name", TRESPASSES)
def test_trespassing_worker_dies(program, config, tmp_path, name):
    del program
    if name == "open" and tree.instrumented():
        pytest.skip("the sanitizer's runtime is told an error, so that it can report")
    died = r"error: worker (\d+) died: it made a system call that no worker needs; the kernel's log"
    running = Server(config, environment=preload.trespassing(tmp_path, name))
    running.expect(died, r"worker \d+ is replaced$")
    try:
        running.wait_ready(1)
        before = running.workers()
        with socket.create_connection(("127.0.0.1", running.port), timeout=20):
            victim = int(running.wait_line(died)[1])
        assert victim in before
        until(lambda: len(running.workers()) == 2, "its successor")
        assert not [pid for pid in before if pid != victim and not alive(pid)]
        running.stop()
    finally:
        running.kill()


# Of an image, by its mapping or its descriptor (tests/support/preload_trespass.c); the last two are calls that
# end even the supervisor.
WAYS = ["mprotect", "MADV_REMOVE", "mmap", "pwrite", "shrink", "grow", "punch", "F_ADD_SEALS", "reopen",
        "O_TRUNC", "memory", "writev"]
# What the filter of workers lets through, and the kernel's own seal refuses.
HARMLESS = ["mprotect", "MADV_REMOVE"]


@needs_filters
@pytest.mark.skipif(tree.instrumented(), reason="the sanitizer's runtime maps memory in its own way")
def test_no_process_can_change_an_image(program, setup, trusted, tmp_path):
    """Each way in each process that has an image: the supervisor, workers before their seal and behind
    it, the loader, and the saver. What is served stays the same."""
    del program
    (setup.root / "state").mkdir()
    setup.certify("example.com")
    config = setup.write(["example.com"], state="state", workers=1)
    running = Server(config, environment=preload.trespassing(tmp_path, "image"))
    running.expect(r"^image: ", r"worker \d+ (died: it made a system call that no|is replaced)")
    try:
        running.wait_ready(1)
        worker, = running.workers()
        for way in WAYS:
            since = running.mark()
            with socket.create_connection(("127.0.0.1", running.port), timeout=20) as stream:
                running.wait_line(rf"^image: \d+ in the seal tries {way}$", since=since, seconds=30)
                if way in HARMLESS:
                    running.wait_line(rf"^image: \d+ in the seal: {way} refused$", since=since)
                else:
                    stream.settimeout(20)
                    running.wait_line("made a system call that no worker needs", since=since)
        assert served(running, trusted)
        assert running.reload()
        assert served(running, trusted)
        running.stop()
        log = running.log()
    finally:
        running.kill()
    assert "CHANGED" not in log
    assert re.findall(r"in the seal: (\S+) refused", log) == HARMLESS
    tried = {}
    for pid, way in re.findall(r"^image: (\d+) in the open: (\S+) refused$", log, re.M):
        tried.setdefault(int(pid), []).append(way)
    loaders = [pid for pid, ways in tried.items() if set(ways) == set(WAYS[:8])]
    others = [pid for pid, ways in tried.items() if set(ways) == set(WAYS[:11])]
    # The worker and its successors, the savers of both loads.
    assert {running.pid, worker} < set(others) and len(others) >= 1 + 1 + len(WAYS) - len(HARMLESS) + 2
    assert len(loaders) == 2 and len(tried) == len(loaders) + len(others)


WARNING = r"^mta-sts-httpd: warning: workers are not sealed completely, this machine lacks: "
NO_FILTER = r"system call filter \(Function not implemented\)"
NO_WALL = (
    r"empty root folder \(Operation not permitted\), Landlock \(Operation not supported\)"
)
LACKS = {
    ("seccomp",): NO_FILTER,
    ("chroot", "landlock"): NO_WALL,
    ("chroot", "landlock", "seccomp"): f"{NO_WALL}, {NO_FILTER}",
}
by_lack = pytest.mark.parametrize("lack", LACKS, ids="+".join)


@by_lack
def test_what_is_lacking_is_told_once(start, config, trusted, lack):
    running = start(config, prefix=lacking.prefix(*lack), expect=[f"{WARNING}{LACKS[lack]}$"])
    assert served(running, trusted)
    assert running.reload()
    assert served(running, trusted)
    assert len(re.findall(WARNING, running.log(), re.M)) == 1
    for pid in running.workers():
        assert status_of(pid)["NoNewPrivs"] == "1"
        assert limit_of(pid, "Max processes") == ("0", "0")


@as_root
@pytest.mark.parametrize("lack", ["chroot", "landlock"])
def test_one_wall_is_enough(start, setup, trusted, lack):
    setup.certify("example.com")
    config = setup.write(["example.com"], seal="required")
    if lack == "chroot" and steps_of(config)["Landlock"]["state"] != "in force":
        pytest.skip("this kernel has no Landlock")
    running = start(config, prefix=lacking.prefix(lack))
    assert served(running, trusted)


@by_lack
def test_required_refuses_to_start(setup, lack):
    setup.certify("example.com")
    command = [*lacking.prefix(*lack), tree.program(), "serve", "-c"]
    command.append(setup.write(["example.com"], seal="required"))
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    said = done.stderr.decode()
    assert done.returncode == 1
    lines = said.splitlines()
    assert len(lines) == 2 and lines[1] == "mta-sts-httpd: error: not started", said
    assert re.search(rf"error: seal: required, and this machine lacks: {LACKS[lack]}$", lines[0])


def test_required_refuses_a_reload(start, setup, config, trusted):
    running = start(config, prefix=lacking.prefix("seccomp"), expect=[WARNING])
    running.expect(r"seal: required, and this machine lacks: ", r"reload refused")
    setup.write(["example.com"], seal="required")
    assert not running.reload()
    assert served(running, trusted)
    setup.write(["example.com"], seal="best")
    assert running.reload()


def steps_of(config):
    done = server.run("seal", "-c", config, "--json")
    assert done.stderr == b""
    return {step["step"]: step for step in json.loads(done.stdout)}


@needs_filters
def test_seal_command_shows_what_is_in_force(config, program):
    del program
    steps = steps_of(config)
    assert steps["system call filter"] == {
        "step": "system call filter", "state": "in force", "kernel": "Seccomp 2",
    }
    assert steps["no new privileges"]["kernel"] == "NoNewPrivs 1"
    assert steps["no capabilities"]["kernel"] == "CapPrm 0000000000000000"
    done = server.run("seal", "-c", config)
    table = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.search(r"^system call filter +in force +Seccomp 2$", table, re.M), table
    assert [line.rstrip() for line in table.splitlines()] == table.splitlines()
    if os.geteuid() == 0:
        nobody = str(pwd.getpwnam("nobody").pw_uid)
        assert steps["user"]["kernel"] == " ".join(["Uid", *[nobody] * 4])


@by_lack
def test_seal_command_shows_what_is_missing(config, program, lack):
    del program
    command = [*lacking.prefix(*lack), tree.program(), "seal", "-c", config]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, b"")
    table = done.stdout.decode()
    if "seccomp" in lack:
        assert re.search(r"^system call filter +missing +Function not implemented;", table, re.M)
    if "landlock" in lack:
        assert re.search(r"^Landlock +missing +Operation not supported$", table, re.M)
        assert re.search(r"^empty root folder +missing +Operation not permitted$", table, re.M)
    assert re.search(r"^no core dump +in force$", table, re.M)


def mappings_of(pid):
    """Each mapping: the rights, the size in KB, what is mapped, and the kernel's flags."""
    found = []
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head = re.match(r"[0-9a-f]+-[0-9a-f]+ (\S+) \S+ \S+ \d+ *(.*)", line)
        if head:
            found.append({"rights": head[1], "what": head[2]})
        else:
            key, _, value = line.partition(":")
            found[-1][key] = value.split()
    return found


@as_root
def test_worker_can_write_nothing_that_others_read(start, setup):
    """But its own counters: not the challenges, and not the counters of another worker; and what it
    can only read it cannot make writable (mw)."""
    (setup.root / "alpn").mkdir()
    setup.certify("example.com")
    running = start(setup.write(["example.com"], acme={"alpn": "alpn"}))
    for pid in running.workers():
        shared = [one for one in mappings_of(pid) if one["rights"][3] == "s"]
        writable = [one for one in shared if "mw" in one["VmFlags"]]
        assert len(shared) >= 3, shared  # the counters of each worker, its own, and the challenges
        assert len(writable) == 1 and int(writable[0]["Size"][0]) < 1024, writable


@needs_filters
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace (Debian) is not installed")
@pytest.mark.skipif(tree.instrumented(), reason="such a build has no filter")
def test_filter_of_the_supervisor_lacks_nothing(setup, trusted, authority, tmp_path, program):
    """Whatever it does in its life, and its children: no call fails because the filter does not know
    it."""
    del program
    log = tmp_path / "log"
    for name in ("state", "alpn", "domains.d"):
        (setup.root / name).mkdir()
    setup.certify("example.com")
    config = setup.write(
        ["example.com"], state="state", watch=True, include="domains.d/*.yaml",
        acme={"alpn": "alpn", "http": "127.0.0.2:0", "webroot": "www"}, metrics="127.0.0.3:0",
        listen=["127.0.0.1:0", {"address": f"unix:{setup.root}/http.sock", "tls": False}],
    )
    prefix = ["strace", "-f", "-qq", "-o", log, "--"]
    running = Server(config, prefix=prefix, expect=[r"worker \d+ (died|is replaced)", r"have changed"])
    try:
        running.wait_ready(1)
        (supervisor,) = server.children_of(running.pid)
        assert served(running, trusted)
        challenge_folder = setup.root / "www/.well-known/acme-challenge"
        challenge_folder.mkdir(parents=True)
        (challenge_folder / "token").write_text("token.thumb")
        since = running.mark()
        setup.certify("example.com")
        (setup.root / "domains.d" / "a.yaml").write_text("domains: {}\n")
        running.wait_line(server.READY, since=since, seconds=30)
        workers = until(lambda: len(server.workers_of(supervisor)) == 2
                        and server.workers_of(supervisor), "the old generation to go", 30)
        since = running.mark()
        os.kill(workers[0], signal.SIGKILL)
        running.wait_line("is replaced", since=since)
        os.kill(supervisor, signal.SIGHUP)
        running.wait_line(server.READY, since=since, seconds=30)
        with socket.create_connection(("127.0.0.3", running.metrics)) as monitor:
            monitor.sendall(b"GET /metrics HTTP/1.0\r\nHost: a\r\n\r\n")
            assert monitor.recv(65536).startswith(b"HTTP/1.1 200 ")
        os.kill(supervisor, signal.SIGTERM)
        assert running.wait_exit(60) == 0
        assert not running.unexpected(), running.log()
    finally:
        running.kill()
    calls = log.read_text().splitlines()
    assert sum("seccomp(" in line for line in calls) > 4
    assert not [line for line in calls if "ENOSYS" in line or "SIGSYS" in line]


INHERITED = """exec <"$0/stdin" >"$0/stdout" 3<"$0/three" 9<"$0/nine" 8>"$0/eight"; exec "$@" """


@as_root
@pytest.mark.parametrize("lack", [(), ("close_range",)], ids=["usual", "old kernel"])
def test_what_was_inherited_is_closed(start, setup, trusted, tmp_path, lack):
    """In the supervisor too; and a worker has nothing of the supervisor's, of an older generation's
    or of another worker's."""
    place = tmp_path / "inherited"
    place.mkdir()
    for name in ("stdin", "three", "nine"):
        (place / name).touch()
    setup.certify("example.com")
    config = setup.write(["example.com"], listen=["127.0.0.1:0", "127.0.0.3:0"])
    prefix = ["sh", "-c", INHERITED, place, *(lacking.prefix(*lack) if lack else ())]
    running = start(config, prefix=prefix)
    setup.write(["example.com"], listen=["127.0.0.1:0", "127.0.0.2:0"])
    assert running.reload()
    for pid in [running.pid, *running.wait_workers(2)]:
        held = targets_of(pid)
        assert not [one for one in held.values() if one.startswith(str(place))], held
        assert held.pop("0") == held.pop("1") == "/dev/null" and held.pop("2").startswith("pipe:")
        if pid == running.pid:
            continue
        kinds = sorted(one.partition(":")[0] for one in held.values())
        # Two listeners and the supervisor's word.
        assert kinds == ["anon_inode", "socket", "socket", "socket"], held
    assert served(running, trusted)


def targets_of(pid):
    folder = f"/proc/{pid}/fd"
    return {name: os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}


def memory(pid):
    """Everything in a process that is not of a file with a name: where keys could be."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", 0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            extent, rights, _, _, _, *name = line.split(maxsplit=5)
            is_file = name and name[0].startswith("/") and "memfd:" not in name[0]
            if "r" not in rights or line.endswith(("[vvar]", "[vsyscall]")):
                continue
            if is_file and "w" not in rights:
                continue
            begin, end = (int(part, 16) for part in extent.split("-"))
            file.seek(begin)
            try:
                found.append(file.read(end - begin))
            except OSError:
                assert "vvar" in line, line
    return found


def forms_of(leaf):
    """The secret of a P-256 key as its bytes, as a big number in memory, and as it stands in PEM."""
    secret = leaf.key.private_numbers().private_value.to_bytes(32, "big")
    lines = leaf.key_pem().splitlines()
    return {"bytes": secret, "number": secret[::-1], "PEM": lines[1], "PEM, second line": lines[2]}


def held_by(pid, leaf):
    places = memory(pid)
    return [name for name, form in forms_of(leaf).items() if any(form in place for place in places)]


@as_root
@pytest.mark.skipif(tree.instrumented(), reason="the sanitizer keeps freed memory and poisons it")
def test_keys_are_where_they_are_needed_and_gone_with_their_generation(start, setup, trusted):
    """A worker holds a key in one form, and the supervisor and the watcher in none; a key that is
    removed is in no process any more, nor is a page or a descriptor of the image that had it; a key
    that no domain needs was never anywhere but in the loader."""
    first = setup.certify("example.com")
    needless = setup.certify("example.org")
    running = start(setup.write(["example.com"], workers=2))
    assert served(running, trusted)
    check_keys(running, first, [needless])
    images = images_of(running)
    second = setup.certify("example.com")
    assert running.reload()
    assert served(running, trusted)
    check_keys(running, second, [first, needless])
    after = images_of(running)
    assert len(images) == len(after) == 2 and not images & after, (images, after)


def check_keys(running, held, others):
    for pid in [running.pid, *running.children()]:
        forms = ["bytes"] if pid in running.workers() else []
        # During a handshake it is a number too.
        until(lambda pid=pid, forms=forms: held_by(pid, held) == forms, f"{forms} to be in {pid}")
        for other in others:
            assert held_by(pid, other) == []


def images_of(running):
    """The inodes of the sealed memory files that any process of the server has open or mapped."""
    found = set()
    for pid in [running.pid, *running.children()]:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            if "memfd:mta-sts-image" in line:
                found.add(int(line.split()[4]))
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if "memfd:mta-sts-image" in os.readlink(f"/proc/{pid}/fd/{fd}"):
                found.add(os.stat(f"/proc/{pid}/fd/{fd}").st_ino)
    return found

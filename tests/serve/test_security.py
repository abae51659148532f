"""The sentences of SECURITY.md about each process of the server, held against the system calls that it
makes and against what /proc shows of it."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
from collections import defaultdict
from pathlib import Path

import pytest

from support import client, preload, server, tree
from support.server import Server, children_of, name_of, workers_of
from support.setup import DEFAULT_POLICY, Setup, body_of
from support.tree import ROOT
from support.wait import until

HOST = "mta-sts.example.com"
PROCESSES = ["supervisor", "loader", "watcher", "worker", "saver"]
needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None or tree.instrumented(),
    reason="strace (Debian) is not installed, or the sanitizer's runtime makes calls of its own",
)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into a process of the server")
# To make, move, change and remove what is in a file system.
CHANGES = {
    "creat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink",
    "unlinkat", "mkdir", "mkdirat", "rmdir", "mknod", "mknodat", "chmod", "fchmod", "fchmodat", "chown",
    "fchown", "lchown", "fchownat", "truncate", "setxattr", "utimensat",
}
NETWORK = {"socket", "socketpair", "connect", "bind", "listen", "accept", "accept4"}
OTHERS = {
    "fork", "vfork", "clone", "clone3", "execve", "execveat", "ptrace", "kill", "tkill", "tgkill",
    "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd",
}
TO_WRITE = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND|O_TMPFILE")


class Call:
    """A line of strace: the name of the call, and the rest, with the paths of descriptors."""

    def __init__(self, name, text):
        self.name = name
        self.text = text
        paths = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
        folder = re.match(r"\w*AT_FDCWD\w*<([^>]*)>|\d+<([^>]*)>", text)
        self.path = os.path.join((folder[1] or folder[2]) if folder else "", paths[0]) if paths else ""

    @property
    def opens(self):
        return self.name in ("open", "openat", "openat2")

    def __repr__(self):
        return f"{self.name}({self.text}"


class Trace:
    """What each process has done: the calls of all processes of a kind, and those behind the filter."""

    def __init__(self, log, supervisor):
        self.calls = defaultdict(list)
        self.confined = defaultdict(list)
        kinds, filters, begun = {supervisor: "supervisor"}, set(), {}
        earlier = defaultdict(list)
        for line in log.read_text(errors="replace").splitlines():
            pid, _, rest = line.partition(" ")
            pid, rest = int(pid), rest.strip()
            if rest.endswith("<unfinished ...>"):
                begun[pid] = rest.removesuffix("<unfinished ...>").strip()
                continue
            resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", rest)
            if resumed:
                rest = begun.pop(pid, "") + resumed[1]
            match = re.match(r"(\w+)\((.*)", rest)
            if not match:
                continue
            call = Call(match[1], re.sub(r" += ", " = ", match[2]))
            earlier[pid].append(call)
            named = call.name == "prctl" and re.search(r'PR_SET_NAME, "mta-sts-(\w+)"', call.text)
            if named:
                kinds[pid] = named[1]
                self.calls[named[1]] += earlier[pid]
            elif pid in kinds:
                self.calls[kinds[pid]].append(call)
                if pid in filters:
                    self.confined[kinds[pid]].append(call)
            if call.name == "seccomp" and "SET_MODE_FILTER" in call.text and call.text.endswith("= 0"):
                filters.add(pid)

    def names(self, kind):
        return {call.name for call in self.calls[kind]}


@pytest.fixture(scope="module")
def life(tmp_path_factory, authority):
    """A server's life from its start to its stop: every system call of it, and /proc in the middle."""
    setup = Setup(tmp_path_factory.mktemp("life"), authority)
    for name in ("state", "alpn", "domains.d", "www"):
        (setup.root / name).mkdir()
    setup.certify("example.com")
    setup.certify("example.net")
    config = setup.write(
        ["example.com"], state="state", watch=True, include="domains.d/*.yaml",
        acme={"alpn": "alpn", "http": "127.0.0.2:0", "webroot": "www"}, metrics="127.0.0.3:0",
    )
    log = setup.root / "trace"
    prefix = ["strace", "-f", "-y", "-qq", "-s", "4096", "-o", log, "--"]
    running = Server(config, prefix=prefix, expect=[r"worker \d+ (died|is replaced)", r"have changed"])
    try:
        running.wait_ready(1)
        (supervisor,) = children_of(running.pid)
        context = client.trusting(authority.root_file)
        folder = setup.root / "www/.well-known/acme-challenge"
        folder.mkdir(parents=True)
        (folder / "token").write_text("token.thumb")
        since = running.mark()
        setup.certify("example.com")
        other = json.dumps({"example.net": DEFAULT_POLICY})
        (setup.root / "domains.d" / "a.yaml").write_text(f"domains: {other}\n")
        running.wait_line(server.READY, since=since, seconds=60)
        workers = until(lambda: len(workers_of(supervisor)) == 2 and workers_of(supervisor),
                        "the old generation to go", 60)
        response = client.fetch(running.port, HOST, context)
        assert (response.status, response.body) == (200, body_of(DEFAULT_POLICY))
        since = running.mark()
        os.kill(workers[0], signal.SIGKILL)
        running.wait_line("is replaced", since=since)
        os.kill(supervisor, signal.SIGHUP)
        running.wait_line(server.READY, since=since, seconds=60)
        until(lambda: len(workers_of(supervisor)) == 2, "the old generation to go", 60)

        def shows():
            with socket.create_connection(("127.0.0.2", running.challenges), timeout=10) as stream:
                path = "/.well-known/acme-challenge/token"
                stream.sendall(f"GET {path} HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
                return stream.makefile("rb").read().endswith(b"token.thumb")

        until(shows, "the challenge", 30)

        def looking():
            """The watcher of this generation, when it looks, too; the one before may be about to end."""
            found = [pid for pid in children_of(supervisor) if name_of(pid) == "mta-sts-watcher"]
            return len(found) == 1 and any("inotify" in name for name in open_of(found[0])) and found[0]

        until(looking, "the watcher", 30)
        seen = {name_of(pid): Seen(pid) for pid in children_of(supervisor)}
        seen["supervisor"] = Seen(supervisor)
        os.kill(supervisor, signal.SIGTERM)
        assert running.wait_exit(60) == 0
        assert not running.unexpected(), running.log()
    finally:
        running.kill()
    return setup, Trace(log, supervisor), seen


def open_of(pid):
    """What it has open; it may close something meanwhile."""
    found = set()
    with contextlib.suppress(FileNotFoundError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


class Seen:
    """What /proc shows of a process."""

    def __init__(self, pid):
        text = Path(f"/proc/{pid}/status").read_text()
        self.status = dict(re.findall(r"^(\w+):[ \t]*(.*?)[ \t]*$", text, re.M))
        self.open = open_of(pid)
        self.shared = [line for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
                       if line.split()[1].endswith("s")]


def sentences():
    """The table "What each process may touch": process and sentence."""
    text = (ROOT / "SECURITY.md").read_text()
    return dict(re.findall(r"^\| (\w+) \| (.*) \|$", text.split("## What is promised")[0], re.M))


def test_each_process_has_its_sentence():
    found = sentences()
    assert [name for name in found if name != "process"] == PROCESSES
    for name, sentence in found.items():
        assert "cannot" in sentence or "no " in sentence or "nothing" in sentence or name == "process"


def below(setup, call):
    """The path below the folder of the configuration that is opened; None when it is another."""
    path = os.path.normpath(call.path)
    root = str(setup.root)
    return os.path.relpath(path, root) if path.startswith(root + "/") else None


@as_root
@needs_strace
def test_supervisor_opens_no_file_of_the_configuration(life):
    """And no file at all to read but what the C library and the kernel have for it."""
    setup, trace, seen = life
    opened = [call for call in trace.calls["supervisor"] if call.opens and " = -1 " not in call.text]
    assert opened and not [call for call in opened if below(setup, call) is not None]
    place = r"/(lib|lib64|usr/lib|etc/ld\.so|etc/localtime|proc/(self|\d+)/|sys/|dev/null|run|dev/shm)\b"
    assert not [call for call in opened if not re.match(place, call.path)]
    assert not [call for call in trace.calls["supervisor"] if "BEGIN" in call.text or "mode: " in call.text]
    assert not [line for line in seen["supervisor"].open if str(setup.root) in line]


@as_root
@needs_strace
def test_supervisor_binds_and_reads_no_byte_of_a_client(life):
    _, trace, _ = life
    calls = trace.calls["supervisor"]
    assert {"bind", "listen"} <= trace.names("supervisor")
    assert not trace.names("supervisor") & {"accept", "accept4", "ptrace", "connect", "execveat"}
    assert sum(call.name == "execve" for call in calls) == 1  # itself, by its parent
    received = [call for call in calls if call.name in ("read", "recvfrom", "recvmsg", "readv")]
    # A request, or the header of a TLS record; random bytes may be half of one.
    foreign = r"HTTP/1|\\26\\3\\[0-4](?![0-7])"
    assert received and not [call for call in received if re.search(foreign, call.text)]


def check_reader(trace, kind):
    """It can only read, and is not root: the calls behind its filter."""
    calls = trace.confined[kind]
    names = {call.name for call in calls}
    assert calls and not names & (CHANGES | NETWORK | OTHERS)
    assert not [call for call in calls if call.opens and TO_WRITE.search(call.text)]
    before = trace.calls[kind]
    assert [call for call in before if call.name == "landlock_restrict_self" and "= 0" in call.text] or [
        call for call in before if call.name == "landlock_create_ruleset" and "= -1" in call.text]
    assert [call for call in before if call.name == "setresuid" and "65534, 65534, 65534) = 0" in call.text]


@as_root
@needs_strace
def test_loader_only_reads_and_seals_what_it_was_given(life):
    setup, trace, _ = life
    check_reader(trace, "loader")
    calls = trace.confined["loader"]
    opened = {below(setup, call) for call in calls if call.opens}
    assert {"mta-sts.yaml", "domains.d/a.yaml", "certs/example.com/privkey.pem"} <= opened
    sealed = [call for call in calls if call.name == "fcntl" and "F_ADD_SEALS" in call.text]
    assert len(sealed) >= 2 and all("memfd:mta-sts-image" in call.text for call in sealed)
    assert not [call for call in calls if call.name in ("sendmsg", "recvfrom", "recvmsg")]


@as_root
@needs_strace
def test_watcher_only_looks_and_reads_challenges(life):
    setup, trace, seen = life
    check_reader(trace, "watcher")
    files = {below(setup, call) for call in trace.confined["watcher"]
             if call.opens and "O_DIRECTORY" not in call.text and "O_PATH" not in call.text}
    assert "www/.well-known/acme-challenge/token" in files
    assert not [path for path in files if path and not path.startswith(("www/", "alpn"))], files
    assert not [call for call in trace.confined["watcher"] if call.name in ("recvfrom", "recvmsg", "sendmsg")]
    watcher = seen["mta-sts-watcher"]
    # Beside /dev/null and the log. A file or folder that it looks at just now is judged above, from the trace.
    kinds = sorted(name.partition(":")[0] for name in watcher.open if not name.startswith(f"{setup.root}/"))
    assert kinds == ["/dev/null", "anon_inode", "pipe", "socket"], watcher.open
    # The challenges.
    assert len([line for line in watcher.shared if "rw-s" in line]) == 1, watcher.shared
    assert watcher.status["Uid"].split() == watcher.status["Gid"].split() == ["65534"] * 4
    assert watcher.status["Groups"] == ""
    assert int(watcher.status["CapPrm"], 16) == int(watcher.status["CapEff"], 16) == 1 << 2
    assert (watcher.status["Seccomp"], watcher.status["NoNewPrivs"]) == ("2", "1")


@as_root
@needs_strace
def test_worker_only_talks_to_clients(life):
    _, trace, seen = life
    calls = trace.confined["worker"]
    names = {call.name for call in calls}
    assert {"accept4", "recvfrom", "sendto"} <= names
    assert not names & (CHANGES | OTHERS | (NETWORK - {"accept", "accept4"}))
    assert not [call for call in calls if call.opens or call.name in ("sendmsg", "memfd_create")]
    worker = seen["mta-sts-worker"]
    assert (worker.status["Seccomp"], worker.status["NoNewPrivs"]) == ("2", "1")
    assert int(worker.status["CapEff"], 16) == 0


@as_root
@needs_strace
def test_saver_writes_the_state_folder_alone(life):
    setup, trace, _ = life
    calls = trace.calls["saver"]
    written = [call for call in calls if call.opens and TO_WRITE.search(call.text)
               and call.path != "/proc/self/oom_score_adj"]
    assert written and all(below(setup, call).startswith("state/") for call in written), written
    read = [call for call in calls if call.opens and below(setup, call) is not None]
    assert all(below(setup, call).split("/")[0] == "state" for call in read), read
    assert not {call.name for call in calls} & (NETWORK | OTHERS)


@as_root
@pytest.mark.skipif(tree.instrumented(), reason="such a build has no filter, by which it is found here")
def test_loader_can_write_to_no_shared_memory(start, setup, tmp_path):
    """Neither to the challenges, which would get certificates for others, nor to the counters."""
    for name in ("state", "alpn"):
        (setup.root / name).mkdir()
    setup.certify("example.com")
    disk = preload.Disk(tmp_path)
    running = start(setup.write(["example.com"], state="state", acme={"alpn": "alpn"}),
                    environment=disk.environment, expect=["state"])
    disk.hang(at="served-policies.txt")
    running.send(signal.SIGHUP)

    def loader():
        return [pid for pid in running.children() if name_of(pid) == "mta-sts-loader"]

    shared = {}

    def looked():
        """At the loader while it waits for its disk, behind its filter."""
        for pid in loader():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                seen = Seen(pid)
                if seen.status.get("Seccomp_filters", "2") == "2":
                    # Beside an image in the making.
                    shared[pid] = [line for line in seen.shared
                                   if "rw-s" in line and "mta-sts-image" not in line]
        return shared

    until(looked, "the loader", 20)
    disk.answer()
    assert list(shared.values()) == [[]], shared
    until(lambda: not loader(), "the load to end", 30)
    running.wait_line("ready: generation 2", seconds=30)

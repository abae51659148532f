"""Postfix with a configuration and a queue of its own, which no other Postfix knows of, and Debian's
postfix-mta-sts-resolver before it."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from .wait import until

MAIN = """
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
maillog_file = {base}/log
maillog_file_prefixes = {base}
myhostname = {base.name}.example
mydestination =
inet_interfaces = all
inet_protocols = ipv4
alias_maps =
alias_database =
smtp_tls_security_level = may
smtp_tls_CAfile = {root}
smtp_tls_loglevel = 1
"""
MASTER = """
pickup    unix  n - n 60    1 pickup
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 300   1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -     - proxymap
smtp      unix  - - n -     - smtp
error     unix  - - n -     - error
retry     unix  - - n -     - error
postlog   unix-dgram n - n - 1 postlogd
"""


@contextlib.contextmanager
def folder(authority):
    """For instances and their resolver. Not one of pytest's, which Postfix's user may not enter."""
    if os.geteuid() != 0:
        pytest.skip("Postfix runs for root only")
    if not shutil.which("postfix"):
        pytest.skip("there is no Postfix here, perhaps because there is another mail server")
    with tempfile.TemporaryDirectory(prefix="mta-sts-postfix-") as name:
        base = Path(name)
        base.chmod(0o755)
        shutil.copy(authority.root_file, base / "root.pem")
        yield base


@contextlib.contextmanager
def running(command, log, environment):
    """A program in a session of its own, which ends as a whole."""
    options = {"env": environment, "stdin": subprocess.DEVNULL, "start_new_session": True}
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)
    try:
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def resolving(namespace, config, environment):
    """mta-sts-daemon, listening."""
    port = re.search(r"^port: (\d+)$", config.read_text(), re.M)[1]

    def listens():
        command = [*namespace.prefix, "ss", "-Hltn", f"sport = :{port}"]
        return subprocess.run(command, capture_output=True, check=True, timeout=20).stdout

    daemon = shutil.which("mta-sts-daemon")
    assert daemon, "mta-sts-daemon is not there: server/dependencies.sh install test brings it"
    with running([*namespace.prefix, daemon, "-c", str(config)], config.with_suffix(".log"), environment):
        until(listens, "mta-sts-daemon to listen", 60)
        yield


class Postfix:
    """An instance in base/name, for with. main and master: what it has beside the above."""

    def __init__(self, namespace, base, main="", master="", name="sender"):
        self.namespace, self.base = namespace, base / name
        self.base.mkdir()
        (self.base / "main.cf").write_text(MAIN.format(base=self.base, root=base / "root.pem") + main)
        (self.base / "master.cf").write_text(MASTER + master)
        for folder in ("queue", "data"):
            (self.base / folder).mkdir()
        shutil.chown(self.base / "data", "postfix")
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        subprocess.run(["postfix", "-c", str(self.base), "check"], check=True, timeout=60)
        command = ["postconf", "-c", str(self.base), "-h", "daemon_directory"]
        done = subprocess.run(command, capture_output=True, check=True, timeout=60)
        # Not by `postfix start-fg`, which leaves its daemon behind when it is ended. That one ends its
        # process group, which has to be its own.
        command = [*self.namespace.prefix, f"{done.stdout.decode().strip()}/master", "-d", "-c", str(self.base)]
        self._stack.enter_context(running(command, self.base / "start.log", {"PATH": os.environ["PATH"]}))
        until(lambda: "daemon started" in self.log(), "Postfix to start", 20)
        return self

    def __exit__(self, *_):
        self._stack.close()

    def log(self):
        """Postfix's log, or why there is none."""
        log = self.base / "log"
        return log.read_text() if log.exists() else (self.base / "start.log").read_text()

    def send(self, recipient):
        """Hands a message over, as a program on the machine would, and waits for what is said of it."""
        pattern = re.compile(rf"to=<{re.escape(recipient)}>, .*\bstatus=(\w+) \((.*)\)$", re.M)
        before = len(pattern.findall(self.log()))
        command = ["sendmail", "-C", str(self.base), "-f", "user@sender.example", recipient]
        message = f"Subject: a test\nTo: {recipient}\n\nHello {recipient}\n".encode()
        subprocess.run([*self.namespace.prefix, *command], input=message, check=True, timeout=60)

        def said():
            found = list(pattern.finditer(self.log()))
            return found[before] if len(found) > before else None

        return until(said, f"a word about {recipient}", 40, 0.1)

"""A network and a mount namespace for a test: its own loopback interface, ports and resolv.conf.

The machine is left as it was: the namespace ends with the process that holds it.
"""

import contextlib
import os
import subprocess

import pytest


class NotPossible(Exception):
    """This machine gives no namespaces; the text says why."""


# Nothing is mounted or configured outside: both are the namespace's own by then.
HOLDER = """
set -e
ip link set lo up
mount --bind "$1" /etc/resolv.conf
echo ready
exec cat
"""


class Namespace:
    """open() and close() it. prefix is to be put before a command that is to run inside."""

    def __init__(self, folder):
        self._resolv = folder / "resolv.conf"
        self._resolv.write_text("nameserver 127.0.0.1\noptions timeout:2 attempts:2\n")
        # Who is not root becomes root of a user namespace of its own.
        self._user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self._holder = None
        self.prefix = []

    def open(self):
        """Raises NotPossible where namespaces are not to be had."""
        command = ["unshare", *self._user, "--net", "--mount", "--propagation", "private"]
        command += ["sh", "-c", HOLDER, "sh", str(self._resolv)]
        self._holder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        if self._holder.stdout.readline() != b"ready\n":
            said = self._holder.communicate()[1].decode(errors="replace").strip()
            raise NotPossible(said.splitlines()[-1] if said else "unshare failed")
        self.prefix = ["nsenter", "--target", str(self._holder.pid), "--net", "--mount"]
        if self._user:
            self.prefix += ["--user", "--preserve-credentials"]

    def close(self):
        self._holder.communicate()
        self._holder = None


# It is written in memory. Daemons are never started there: nothing runs as process 1.
IN_A_COPY = """
set -e
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount --bind /proc "$1/root/proc"
mount --bind /dev "$1/root/dev"
cp "$2" "$1/root/file"
chroot "$1/root" sh -euc "$3"
"""


def in_a_copy(folder, file, script):
    """Runs a script of the shell as root of a copy of this machine's file system, which vanishes with its
    mount namespace. There the file is /file. Skips where no copy can be made."""
    if os.geteuid() != 0:
        pytest.skip("a copy of the file system needs root")
    for line in ("true", script):
        done = subprocess.run(["unshare", "--mount", "sh", "-c", IN_A_COPY, "sh", folder, file, line],
                              env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, capture_output=True, text=True,
                              timeout=300, check=False)
        if line == "true" and done.returncode != 0:
            pytest.skip(f"no copy of the file system can be made here: {done.stderr.strip()}")
    return done


@contextlib.contextmanager
def entered(folder):
    """A namespace, or a skip with the reason."""
    namespace = Namespace(folder)
    try:
        namespace.open()
    except (NotPossible, FileNotFoundError) as reason:
        pytest.skip(f"no namespace to be had here: {reason}")
    with contextlib.closing(namespace):
        yield namespace

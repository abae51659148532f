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

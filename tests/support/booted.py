"""A small Debian that boots its own systemd as process 1 of private namespaces.

The root is made once by mmdebstrap, from the mirror that apt already uses, and kept below build/; each
machine is a copy of it that vanishes with its mount namespace. Nothing of the host is changed.
"""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from . import tree
from .server import children_of
from .wait import take_long, until

# What a newcomer's machine has; libyaml is what the package depends on, for there is no network inside.
PACKAGES = ["systemd", "dbus", "apache2", "curl", "libyaml-0-2", "init-system-helpers", "iproute2", "procps", "sudo"]
if tree.is_long():
    PACKAGES += ["certbot", "lego", "dehydrated", "uacme", "pebble"]
# On a machine that builds something else meanwhile.
ROOT_SECONDS, BOOT_SECONDS, COMMAND_SECONDS = 900, 180, 180
ROOTS = Path(os.environ.get("BUILD", tree.ROOT / "build")) / "boot"

# The copy is written in memory, beneath a mount namespace that lives as long as its holder.
HOLDER = """
set -e
mount -t tmpfs none "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
echo ready
exec cat
"""

# What a container manager does before it starts a systemd: its interface for that is documented.
BOOT = """
set -e
cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/shm dev/pts
for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "dev/${node%:*}" c 1 "${node#*:}"
done
mknod -m 666 dev/tty c 5 0
mount -t tmpfs tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ip link set lo up
hostname testhost
mkdir -p old
pivot_root . old
umount -l old
mount --make-rshared /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system \\
    --unit=multi-user.target --log-target=journal --show-status=0
"""


class NotPossible(Exception):
    """This machine cannot boot another; the text says why."""


def mirror():
    done = subprocess.run([tree.ROOT / "server" / "dependencies.sh", "mirrors"], capture_output=True,
                          text=True, timeout=60, check=False)
    if done.returncode != 0 or not done.stdout.strip():
        raise NotPossible("apt names no mirror of Debian")
    return done.stdout.split()[0]


def _release():
    words = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines()
                 if "=" in line)
    if words.get("ID") != "debian":
        raise NotPossible("this is no Debian, whose libraries the package was built with")
    return words["VERSION_CODENAME"]


def root():
    """The folder with the root, made if it is not there. Raises NotPossible."""
    if os.geteuid() != 0:
        raise NotPossible("only root can make and boot one")
    for command in ("mmdebstrap", "unshare", "nsenter", "ip"):
        if shutil.which(command) is None:
            raise NotPossible(f"{command} is not here")
    take_long()
    folder = ROOTS / f"{_release()}-{'-'.join(PACKAGES)}"
    if folder.is_dir():
        return folder
    shutil.rmtree(ROOTS, ignore_errors=True)
    ROOTS.mkdir(parents=True)
    try:
        done = subprocess.run(
            ["timeout", str(ROOT_SECONDS), "mmdebstrap", "--variant=minbase", "--quiet",
             f"--include={','.join(PACKAGES)}", "--dpkgopt=force-unsafe-io",
             '--aptopt=Acquire::Languages "none"', '--aptopt=Acquire::Retries "3"',
             "--dpkgopt=path-exclude=/usr/share/locale/*", _release(), f"{folder}.new", mirror()],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except BaseException:
        shutil.rmtree(ROOTS, ignore_errors=True)
        raise
    if done.returncode != 0:
        shutil.rmtree(ROOTS, ignore_errors=True)
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise NotPossible(f"mmdebstrap made no root: {last}")
    os.rename(f"{folder}.new", folder)
    return folder


class Machine:
    """boot() it, run() commands in it, and close() it."""

    def __init__(self, folder):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._root = folder / "root"
        self._init = None
        self.pid = None
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", HOLDER, "sh", root(), folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self._holder.stdout.readline() != b"ready\n":
            said = self._holder.communicate()[1].decode(errors="replace").strip()
            raise NotPossible(said.splitlines()[-1] if said else "unshare failed")

    def boot(self):
        """Starts systemd and waits until it has started what is enabled."""
        self._init = subprocess.Popen(
            ["nsenter", f"--target={self._holder.pid}", "--mount", "unshare", "--mount", "--pid", "--uts",
             "--ipc", "--net", "--cgroup", "--fork", "--kill-child", "--propagation", "private",
             "sh", "-c", BOOT, "sh", str(self._root)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

        def is_systemd():
            if self._init.poll() is not None:
                said = self._init.stderr.read().decode(errors="replace").strip()
                raise NotPossible(said.splitlines()[-1] if said else "systemd ended at once")
            for pid in children_of(self._init.pid):
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                        return pid
            return None

        self.pid = until(is_systemd, "systemd as process 1", BOOT_SECONDS)
        until(lambda: self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"),
              "the machine to be up", BOOT_SECONDS, every=0.2)

    def reboot(self):
        self.run("systemctl", "reboot")
        self._init.wait(BOOT_SECONDS)
        self._init.stderr.close()
        self.boot()

    def close(self):
        if self._init is not None and self._init.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, 9)
            self._init.wait(BOOT_SECONDS)
        if self._init is not None:
            self._init.stderr.close()
        self._holder.communicate()

    def path(self, name):
        """A file of the machine, as the host can open it."""
        return Path(f"/proc/{self.pid}/root{name}")

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def command(self, *words):
        return ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup",
                "--root", "--wdns=/root", "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
                "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", *map(str, words)]

    def run(self, *words, seconds=COMMAND_SECONDS, **options):
        """Runs a command as root of the machine; the result has its text and its status."""
        return subprocess.run(self.command(*words), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=seconds, check=False, **options)

    def do(self, *words, **options):
        """The same, and it must succeed: its standard output."""
        done = self.run(*words, **options)
        assert done.returncode == 0, (words, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def shell(self, line, **options):
        """A line as an operator types it, in a root shell."""
        return self.do("sh", "-euc", line, **options)

    def state(self, unit):
        return self.run("systemctl", "is-active", unit).stdout.strip()

    def journal(self, unit, *more):
        return self.do("journalctl", "--no-pager", "--output=cat", f"--unit={unit}", *more)

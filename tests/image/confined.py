"""The program as it runs in a container: an empty root that is read-only, two mounts, a user without
a name and without a capability, and a network of its own in which everyone may bind port 443."""

import contextlib
import json
import os
import re
import subprocess
from pathlib import Path

from support import tree
from support.authority import write_private
from support.client import PATH
from support.server import Server

STATIC = Path(os.environ.get("BUILD", tree.ROOT / "build")) / "static" / "mta-sts-httpd"
SAMPLE = tree.ROOT / "config" / "mta-sts.yaml"
USER = 65532
RELOAD = ("/mta-sts-httpd", "reload", "-c", "/config/mta-sts.yaml")
HEALTH = ("/mta-sts-httpd", "health", "-c", "/config/mta-sts.yaml")
NOTICED = r"^mta-sts-httpd: (files|certificates) have changed: loading (them )?again$"

# The process stays the same from the shell to the program. What is left in the bounding set is what
# it takes to get there, and nothing there could use it.
ENTER = """
root=$1 config=$2 certs=$3 program=$4 tmpfs=$5
shift 5
mount -t tmpfs none "$root"
cp "$program" "$root/mta-sts-httpd"
mkdir -p "$root/config" "$root/certs" "$root/proc" "$root/run/mta-sts"
mount -t proc none "$root/proc"
mount --bind "$config" "$root/config"
mount --bind "$certs" "$root/certs"
if [ -n "$tmpfs" ]; then mount -t tmpfs -o mode=1777 none "$root$tmpfs"; fi
for place in "$root" "$root/config" "$root/certs"; do mount -o remount,bind,ro "$place"; done
exec setpriv --no-new-privs --inh-caps=-all \
    --bounding-set=-all,+setuid,+setgid,+sys_chroot,+dac_read_search \
    chroot --userspec=65532:65532 --groups= "$root" /mta-sts-httpd "$@"
"""


def sample():
    """The sample configuration as an operator of the image has it: watched, and else as it is."""
    text, count = re.subn(r"^# (watch: true)$", r"\1", SAMPLE.read_text(), flags=re.M)
    assert count == 1
    return text


class Mounts:
    """Two folders, which belong to the user of the image."""

    def __init__(self, root):
        self.root = root
        self.config, self.certs = root / "config", root / "certs"
        for folder in (self.config, self.certs, self.config / "domains.d"):
            folder.mkdir()

    def configure(self, text):
        """The file is whole and readable from its first moment, as the server may look at any."""
        new = self.root / "mta-sts.yaml.new"
        self.write(new, text)
        os.replace(new, self.config / "mta-sts.yaml")

    def certify(self, authority, *hosts):
        """Before the start."""
        authority.issue(*hosts).write(self.certs / hosts[0])
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, USER, USER)

    @staticmethod
    def write(path, data):
        write_private(path, data if isinstance(data, bytes) else data.encode())
        os.chown(path, USER, USER)

    def publish(self, folder, version, contents):
        """Writes files as the kubelet does: a folder for each version, and one link that is swapped."""
        (folder / version).mkdir()
        for name, data in contents.items():
            self.write(folder / version / name, data)
        (folder / "..data_tmp").symlink_to(version)
        os.replace(folder / "..data_tmp", folder / "..data")
        for name in contents:
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")


def run(*command, **options):
    command = [str(part) for part in command]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, **options
    )


def checked(*command, **options):
    done = run(*command, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Chroot:
    """The static program in the nearest isolation that needs no engine."""

    ARGUMENTS = ("serve", "-c", "/config/mta-sts.yaml")

    def __init__(self, namespace, mounts, folder):
        self._prefix, self.mounts, self._folder = namespace.prefix, mounts, folder
        self._server = None

    def start(self, arguments=ARGUMENTS, tmpfs=""):
        command = [*self._prefix, "unshare", "--mount", "--propagation", "private", "sh", "-euc"]
        command += [ENTER, "sh", self._folder, self.mounts.config, self.mounts.certs, STATIC, tmpfs]
        self._server = Server(None, command=[*command, *arguments], expect=[NOTICED])
        self._server.wait_ready(1)
        return self._server

    def supervisor(self):
        return self._server.pid

    def execute(self, *command):
        enter = ["nsenter", "--target", self.supervisor(), "--mount", "--net", "--root"]
        return run(*enter, "--setuid", USER, "--setgid", USER, *command)

    def healthy(self):
        return self.execute(*HEALTH)

    def stop(self):
        self._server.stop()

    def remove(self):
        if self._server is not None:
            self._server.kill()


class Podman:
    """The image in a container. What podman keeps is in the folder where the image was built; what it
    would keep elsewhere goes with the namespace."""

    IMAGE = "localhost/mta-sts-httpd:latest"
    OPTIONS = ("--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--network=host",
               "--security-opt=no-new-privileges", "--ulimit=nofile=4096:4096",
               "--ulimit=nproc=4096:4096")
    HIDE = """
for place in /var/lib/containers /dev/shm /run/runc; do
    mkdir -p "$place"
    mount -t tmpfs none "$place"
done
"""

    def __init__(self, namespace, mounts, built):
        self.mounts = mounts
        checked(*namespace.prefix, "sh", "-euc", self.HIDE)
        # Or it would have the machine's systemd repeat the health check.
        self._podman = [*namespace.prefix, "env", "DISABLE_HC_SYSTEMD=true", "podman"]
        self._podman += ["--root", built / "storage", "--runroot", built / "run"]
        self._podman += ["--tmpdir", built / "tmp", "--storage-driver", "vfs"]
        self._podman += ["--cgroup-manager", "cgroupfs", "--runtime", "runc"]
        self._podman += ["--events-backend", "file"]
        self._server = None

    def start(self, options=(), tmpfs=""):
        command = [*self._podman, "run", "--name", "one", *self.OPTIONS, *options]
        command += ["--tmpfs", tmpfs] if tmpfs else []
        command += ["--volume", f"{self.mounts.config}:/config:ro"]
        command += ["--volume", f"{self.mounts.certs}:/certs:ro", self.IMAGE]
        self._server = Server(None, command=command, expect=[NOTICED])
        self._server.wait_ready(1)
        return self._server

    def supervisor(self):
        return int(checked(*self._podman, "inspect", "--format", "{{.State.Pid}}", "one"))

    def execute(self, *command):
        return run(*self._podman, "exec", "one", *command)

    def healthy(self):
        """What the image's own health check says."""
        return run(*self._podman, "healthcheck", "run", "one")

    def stop(self):
        """After a second it would be killed, and the status another."""
        checked(*self._podman, "stop", "--time", "1", "one")
        assert self._server.wait_exit() == 0, self._server.log()
        assert not self._server.unexpected(), self._server.unexpected()

    def remove(self):
        run(*self._podman, "rm", "--force", "--time", "0", "one")
        if self._server is not None:
            self._server.kill()

    def image(self, tag="latest"):
        name = f"localhost/mta-sts-httpd:{tag}"
        return json.loads(checked(*self._podman, "image", "inspect", name))[0]


    @contextlib.contextmanager
    def files(self, tag):
        """The folder with the files of an image."""
        name = f"localhost/mta-sts-httpd:{tag}"
        folder = Path(checked(*self._podman, "image", "mount", name).strip())
        try:
            yield folder
        finally:
            run(*self._podman, "image", "unmount", name)


class World:
    """A network in which port 443 is for everyone, as engines give it to a container."""

    def __init__(self, namespace, authority):
        self.namespace, self._authority = namespace, authority
        port = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
        checked(*namespace.prefix, "sh", "-c", f"echo 0 >{port}")

    def fetch(self, domain, port=443):
        """The policy, as curl gets it from in there."""
        host = f"mta-sts.{domain}"
        done = run(
            *self.namespace.prefix, "curl", "--silent", "--show-error", "--fail", "--noproxy", "*",
            "--max-time", "20", "--cacert", self._authority.root_file,
            "--resolve", f"{host}:{port}:127.0.0.1", f"https://{host}:{port}{PATH}",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

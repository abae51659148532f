"""The table of servers: how each is configured, started and reloaded."""

import dataclasses
import os
import re
import shutil
import signal
import subprocess
from typing import Callable

from support import tree

from . import configurations


def _caddy_reload(process, folder):
    """caddy's command ends when the new configuration is in use."""
    command = ["caddy", "reload", "--config", folder / "caddy.json"]
    command += ["--address", f"unix/{folder}/admin", "--force"]
    silent = subprocess.DEVNULL
    subprocess.run(list(map(str, command)), stdin=silent, stdout=silent, stderr=silent, check=False)


@dataclasses.dataclass(frozen=True)
class Server:
    """write(site, folder, port) makes its configuration; command has {folder} in it;
    reload(process, folder) makes it take over a configuration that was written anew, and is None
    where it cannot."""

    name: str
    title: str
    # For a picture.
    short: str
    write: Callable
    command: tuple
    # What makes the program say its version.
    version: str
    reload: Callable = None
    tls13: bool = True
    # A certificate is found by a host's name, so that each host needs one of its own.
    by_name: bool = False
    environment: dict = dataclasses.field(default_factory=dict, hash=False)

    @property
    def program(self):
        path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin"
        return shutil.which(self.command[0], path=path)

    def arguments(self, folder):
        rest = [part.format(folder=folder) for part in self.command[1:]]
        return [self.program, *rest]

    def environment_in(self, folder):
        return {name: value.format(folder=folder) for name, value in self.environment.items()}

    def version_text(self):
        """The first number in what it says of itself."""
        done = subprocess.run(
            [self.program, self.version],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=20,
            check=False,
        )
        match = re.search(r"\d+\.\d+\.\d+", done.stdout)
        return match[0] if match else "unknown"


def _by_signal(number):
    return lambda process, folder: process.send(number)


OURS = Server(
    "ours",
    "mta-sts-httpd",
    "mta-sts-httpd",
    configurations.ours,
    (str(tree.program()), "serve", "-c", "{folder}/mta-sts.yaml"),
    "--version",
    reload=_by_signal(signal.SIGHUP),
)
_NGINX = ("nginx", "-p", "{folder}", "-e", "stderr", "-c", "{folder}/nginx.conf")
PEERS = [
    Server(
        "nginx",
        "nginx",
        "nginx",
        configurations.nginx,
        _NGINX,
        "-v",
        reload=_by_signal(signal.SIGHUP),
    ),
    Server(
        "nginx-by-name",
        "nginx, certificates by name",
        "nginx, by name",
        configurations.nginx_by_name,
        _NGINX,
        "-v",
        reload=_by_signal(signal.SIGHUP),
        by_name=True,
    ),
    Server(
        "apache",
        "Apache httpd",
        "Apache",
        configurations.apache,
        ("apache2", "-DFOREGROUND", "-f", "{folder}/apache.conf"),
        "-v",
        reload=_by_signal(signal.SIGUSR1),
    ),
    Server(
        "haproxy",
        "HAProxy",
        "HAProxy",
        configurations.haproxy,
        ("haproxy", "-W", "-S", "{folder}/master", "-f", "{folder}/haproxy.cfg"),
        "-v",
        reload=_by_signal(signal.SIGUSR2),
    ),
    Server(
        "caddy",
        "Caddy",
        "Caddy",
        configurations.caddy,
        ("caddy", "run", "--config", "{folder}/caddy.json"),
        "version",
        reload=_caddy_reload,
        environment={name: "{folder}" for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")},
    ),
    Server(
        "h2o",
        "h2o",
        "h2o",
        configurations.h2o,
        ("h2o", "-m", "worker", "-c", "{folder}/h2o.conf"),
        "-v",
    ),
    Server(
        "lighttpd",
        "lighttpd, mbedTLS 2.28",
        "lighttpd",
        configurations.lighttpd,
        ("lighttpd", "-D", "-f", "{folder}/lighttpd.conf"),
        "-v",
        reload=_by_signal(signal.SIGUSR1),
        tls13=False,
    ),
]
SERVERS = {server.name: server for server in [OURS, *PEERS]}

"""One server that serves one site: configured, started, seen to serve, reloaded, ended."""

import dataclasses
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

from .load import Failed, Load
from .process import Process


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@dataclasses.dataclass(frozen=True)
class Cores:
    """The core that a server is pinned to and the one for the load; None: any."""

    server: int = None
    load: int = None

    @classmethod
    def apart(cls):
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0], usable[1]) if len(usable) > 1 else cls()


ANYWHERE = Cores()


class Running:
    """A server from its start to its end; `seconds` is the time from start to first fetch."""

    def __init__(self, server, site, data, limit, *, cores=ANYWHERE, **options):
        """limit: how many seconds it may take. options go to the writer of the configuration."""
        self.server = server
        self._site, self._data, self._limit = site, data, limit
        self._cores, self._options = cores, options
        # Workers of another user look into it.
        self._folder = Path(tempfile.mkdtemp(prefix=f"{server.name}.", dir=data.folder))
        self._folder.chmod(0o755)
        self._port = free_port()
        self._process = None

    def __enter__(self):
        try:
            self._write()
            # The last host: whoever serves it has read everything.
            waiting = self.load(self._site.hosts[-1:]).waiting(self._limit)
            self._process = Process(
                self.server.arguments(self._folder),
                self._folder / "log",
                cpu=self._cores.server,
                environment=self.server.environment_in(self._folder),
            )
            self.seconds = waiting.first(self._process) - self._process.begin
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self._process is not None:
            self._process.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self):
        self.server.write(self._site, self._folder, self._port, **self._options)

    def load(self, hosts=None, *, policy="before", tls=None, group="X25519"):
        """A load of these hosts, by default of all."""
        hosts = self._data.list_of(hosts or self._site.hosts)
        body = self._data.policies[policy].file
        tls = tls or ("1.3" if self.server.tls13 else "1.2")
        return Load(self._port, hosts, body, tls=tls, group=group, cpu=self._cores.load)

    def cpu_seconds(self):
        return self._process.cpu_seconds()

    def processes(self):
        return list(self.cpu_by_process())

    def cpu_by_process(self):
        return self._process.cpu_by_process()

    def memory(self):
        try:
            return self._process.memory()
        except PermissionError:
            raise Failed("only root may look at its memory") from None

    def reload(self, host):
        """Gives the host the other policy and returns the seconds from the reload to the first time
        that it is seen."""
        self._site = self._site.with_change(host)
        self._write()
        waiting = self.load([host], policy="after").waiting(self._limit)
        begin = time.monotonic()
        self.server.reload(self._process, self._folder)
        return waiting.first(self._process) - begin

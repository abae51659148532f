"""How each row is measured.

A measurement brings the figures of one row or of several that come from the same servers. Where
rounds are repeated, the servers take turns, so that all have the same share of whatever else the
machine does.
"""

import contextlib
import dataclasses
import os
import statistics
import subprocess
import tempfile
import time

from . import instructions
from .load import Failed, calibrate
from .rows import RATE
from .running import Cores, Running
from .servers import OURS

MB, KB = 1e6, 1e3
# So many fetches go before the first round, which also says how long one takes.
WARM = 20
# How long fetching goes on after a change was seen, for what the old workers still do. Seconds.
AFTER_RELOAD = 1.0
# Fetches at a time, so that both workers always have some to do.
SCALING_THREADS = 16


@dataclasses.dataclass
class Figures:
    """What was measured of one server: samples, or the reason why there are none."""

    samples: list = dataclasses.field(default_factory=list)
    failed: str = None
    # Where measured in pairs: of each sample, that of ours right before it.
    ours_beside: list = dataclasses.field(default_factory=list)


class Bench:
    """What all measurements share: the servers, the data, the scale, and the results so far."""

    def __init__(self, servers, data, scale, say):
        self.servers, self.data, self.scale, self.say = servers, data, scale, say
        self.results = {}
        self._end = time.monotonic() + scale.whole

    @property
    def limit(self):
        """How many seconds a step may take that begins now."""
        return max(1.0, min(self.scale.limit, self._end - time.monotonic()))

    def figures(self, row, server):
        return self.results.setdefault(row, {}).setdefault(server.name, Figures())

    def attempt(self, server, rows, measure):
        """Runs measure(); a failure is noted in the rows, beside what they have already."""
        try:
            measure()
            return True
        except Failed as failure:
            for row in rows:
                figures = self.figures(row, server)
                figures.failed = figures.failed or str(failure)
            self.say(f"{server.title}: {failure}")
            return False


def measure_fetch(bench, row, kind, tls, group="X25519"):
    """CPU microseconds of all processes of a server for one fetch. They run side by side, idle but
    for the one whose turn it is. In each round every peer has ours right before it, A B A B, and the
    ratio of the two is that of such pairs. A fixed piece of work before and after each turn says how
    fast the machine was, and the figures are as if it had always been as fast as it mostly was."""
    site = bench.data.site(kind, 1, 1)
    cores = Cores.apart()
    running, counts, turns = {}, {}, []
    with contextlib.ExitStack() as stack:

        def cost(it, count):
            before = it.cpu_seconds()
            it.load(tls=tls, group=group).count(count)
            return (it.cpu_seconds() - before) / count

        def begin(server):
            if tls == "1.3" and not server.tls13:
                raise Failed("has no TLS 1.3")
            started = Running(server, site, bench.data, bench.limit, cores=cores)
            it = stack.enter_context(started)
            once = cost(it, WARM)
            running[server] = it
            counts[server] = max(WARM, int(bench.scale.round_seconds / once))

        def turn(server, beside=None):
            slow = calibrate(cpu=cores.server)
            value = cost(running[server], counts[server])
            slow = (slow + calibrate(cpu=cores.server)) / 2
            turns.append((server, value, slow, beside))
            return len(turns) - 1

        def instructions_of(server):
            with instructions.Counter(running[server].processes()) as counter:
                running[server].load(tls=tls, group=group).count(counts[server])
            if counter.value is None:
                raise Failed("perf did not count")
            thousands = counter.value / counts[server] / 1e3
            bench.figures(f"{row}-instructions", server).samples.append(thousands)

        def pair(server):
            turn(server, beside=turn(OURS) if OURS in running else None)

        for server in bench.servers:
            bench.attempt(server, [row], lambda server=server: begin(server))
        peers = [server for server in running if server is not OURS]
        for number in range(bench.scale.rounds):
            bench.say(f"round {number + 1} of {bench.scale.rounds}")
            for server in peers:
                bench.attempt(server, [row], lambda server=server: pair(server))
            if not peers and OURS in running:
                bench.attempt(OURS, [row], lambda: turn(OURS))
        _normalise(bench, row, turns)
        if not instructions.possible():
            return
        for server in running:
            rows = [f"{row}-instructions"]
            bench.attempt(server, rows, lambda server=server: instructions_of(server))


def _normalise(bench, row, turns):
    """Notes microseconds as of the machine's usual speed, and with those of a peer ours of its pair."""
    if not turns:
        return
    usual = statistics.median(slow for _, _, slow, _ in turns)
    values = [value * usual / slow * 1e6 for _, value, slow, _ in turns]
    for value, (server, _, _, beside) in zip(values, turns):
        figures = bench.figures(row, server)
        figures.samples.append(value)
        if beside is not None:
            figures.ours_beside.append(values[beside])


def _cost(it, count):
    """CPU seconds of a fetch, of so many."""
    before = it.cpu_seconds()
    it.load().count(count)
    return (it.cpu_seconds() - before) / count


def measure_single(bench):
    """One domain: start, memory, idle connections; one server at a time, for shared libraries count
    in parts for each process that has them."""
    site = bench.data.site("P-256", 1, 1)
    for number in range(bench.scale.rounds):
        bench.say(f"round {number + 1} of {bench.scale.rounds}")
        for server in bench.servers:

            def once(server=server, hold=number < bench.scale.held_rounds):
                with Running(server, site, bench.data, bench.limit) as it:
                    bench.figures("single-start", server).samples.append(it.seconds * 1e3)
                    it.load().count(WARM)
                    _look(bench, it, "single-memory")
                    if hold:
                        _hold(bench, it, "idle-connection", fetch=True)

            bench.attempt(server, ["single-start", "single-memory", "idle-connection"], once)


def _look(bench, it, row):
    """The memory of all processes now."""

    def look():
        bench.figures(row, it.server).samples.append(it.memory() / MB)

    bench.attempt(it.server, [row], look)


def measure_silent(bench):
    """Connections that have said nothing yet, of ours alone: some servers give each a thread."""
    site = bench.data.site("P-256", 1, 1)

    def measure():
        with Running(OURS, site, bench.data, bench.limit) as it:
            it.load().count(WARM)
            _hold(bench, it, "silent-connection", fetch=False)

    for _ in range(bench.scale.held_rounds):
        bench.attempt(OURS, ["silent-connection"], measure)


def _hold(bench, it, row, *, fetch):
    """Memory for each of many open connections."""
    number = bench.scale.held

    def hold():
        before = it.memory()
        generator = it.load().hold(number, fetch=fetch)
        try:
            memory = it.memory() - before
        finally:
            left = generator.end()["open"]
        if left < number:
            raise Failed(f"closed {number - left} of {number} connections meanwhile")
        bench.figures(row, it.server).samples.append(memory / number / KB)

    bench.attempt(it.server, [row], hold)


def measure_many(bench):
    """Many domains, each with a certificate of its own; then one of them gets another policy."""
    site = bench.data.site("P-256", bench.scale.domains, 1)
    for server in bench.servers:
        _measure_start(bench, server, site, "many", RELOAD_ROWS)


def measure_shared(bench):
    """Very many domains on certificates of many names."""
    site = bench.data.site("P-256", bench.scale.shared_certificates, bench.scale.shared_names)
    for server in bench.servers:
        if not server.by_name:
            _measure_start(bench, server, site, "shared", ())


def _measure_start(bench, server, site, kind, reload_rows):
    bench.say(server.title)
    rows = [f"{kind}-{what}" for what in ("start", "cpu", "memory")]

    def once():
        with Running(server, site, bench.data, bench.limit) as it:
            for row, value in zip(rows, (it.seconds, it.cpu_seconds())):
                bench.figures(row, server).samples.append(value)
            _look(bench, it, f"{kind}-memory")
            if reload_rows:
                _reload(bench, it, site.hosts)

    for _ in range(bench.scale.repeat):
        if not bench.attempt(server, [*rows, *reload_rows], once):
            break
        if bench.figures(rows[0], server).samples[-1] > bench.scale.repeat_below:
            break


RELOAD_ROWS = ("reload", "reload-errors", "reload-slowest")


def _reload(bench, it, hosts):
    """The seconds until a change is seen, and how those fared who fetched meanwhile."""

    def measure():
        if it.server.reload is None:
            raise Failed("is started without reload")
        with it.load(hosts[1:]).steady(RATE) as beside:
            seconds = it.reload(hosts[0])
            time.sleep(AFTER_RELOAD)
            said = beside.end()
        if not said["fetches"]:
            raise Failed(f"no fetch succeeded meanwhile: {said['first_error']}")
        slowest = said["latency_us"]["most"] / 1e3
        for row, value in zip(RELOAD_ROWS, (seconds, said["failures"], slowest)):
            bench.figures(row, it.server).samples.append(value)

    bench.attempt(it.server, RELOAD_ROWS, measure)


def measure_scaling(bench):
    """Fetches a second of two workers, for each of one. The keys are RSA-4096, so that the cores
    are the server's: this side takes little, and has no core of its own on a small machine. What
    else the machine does hinders two workers more than one; so the same is also worked out from the
    CPU time of the busier worker, which is what limits where there are cores enough."""
    site = bench.data.site("RSA 4096", 1, 1)

    def measure():
        one, two = (_rates(bench, site, workers) for workers in (1, 2))
        for row, first, second in zip(SCALING_ROWS, one, two):
            bench.figures(row, OURS).samples.append(second / first)

    for number in range(bench.scale.rounds):
        bench.say(f"round {number + 1} of {bench.scale.rounds}")
        if not bench.attempt(OURS, SCALING_ROWS, measure):
            break


SCALING_ROWS = ("scaling", "scaling-cpu")


def _rates(bench, site, workers):
    """Fetches a second, and fetches for each CPU second of the busiest process."""
    with Running(OURS, site, bench.data, bench.limit, workers=workers) as it:
        count = max(WARM, int(workers * 4 * bench.scale.round_seconds / _cost(it, WARM)))
        before = it.cpu_by_process()
        said = it.load().count(count, threads=SCALING_THREADS)
        used = [seconds - before[pid] for pid, seconds in it.cpu_by_process().items()]
        return count / said["seconds"], count / max(used)


def measure_size(bench):
    """The program as it is installed, without its debugging information."""
    with tempfile.NamedTemporaryFile(dir=bench.data.folder) as stripped:
        subprocess.run(["strip", "-o", stripped.name, OURS.program], check=True)
        size = os.path.getsize(stripped.name)
    bench.figures("size", OURS).samples.append(size / MB)


MEASUREMENTS = {
    "fetch13": lambda bench: measure_fetch(bench, "fetch13", "P-256", "1.3"),
    "fetch12": lambda bench: measure_fetch(bench, "fetch12", "P-256", "1.2"),
    "exchange13": lambda bench: measure_fetch(bench, "exchange13", "P-256", "1.3", "P-256"),
    "exchange12": lambda bench: measure_fetch(bench, "exchange12", "P-256", "1.2", "P-256"),
    "p384": lambda bench: measure_fetch(bench, "p384", "P-384", "1.3"),
    "rsa2048": lambda bench: measure_fetch(bench, "rsa2048", "RSA 2048", "1.3"),
    "rsa2048-12": lambda bench: measure_fetch(bench, "rsa2048-12", "RSA 2048", "1.2"),
    "rsa4096": lambda bench: measure_fetch(bench, "rsa4096", "RSA 4096", "1.3"),
    "single": measure_single,
    "silent": measure_silent,
    "size": measure_size,
    "scaling": measure_scaling,
    "shared": measure_shared,
    "many": measure_many,
}

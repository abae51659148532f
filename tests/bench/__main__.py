"""`make bench`: measures, prints a table for each row, writes JSON and, after a whole run, the page
and the picture that are kept beside the source.

BENCH_ROWS   which measurements, such as "fetch13 many"; default: all
BENCH_PEERS  which peers, such as "nginx caddy"; default: all that are installed
BENCH_SMALL  any value: as little as shows that everything works; the figures mean nothing
BUILD        where the load generator is and results.json goes (default: build)
"""

import dataclasses
import datetime
import os
import platform
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from support.tree import ROOT

from . import instructions, picture, report
from .data import Data
from .judge import judge
from .measure import MEASUREMENTS, Bench
from .rows import ROWS, SMALL, Scale
from .servers import OURS, PEERS

HERE = Path(__file__).resolve().parent


def chosen(variable, known):
    """The names in the variable, each of which must be known; all when it is empty."""
    names = os.environ.get(variable, "").split()
    wrong = [name for name in names if name not in known]
    if wrong:
        sys.exit(f"bench: {variable} has {wrong[0]}; known are: {' '.join(known)}")
    return names or list(known)


def about(servers, begin, load):
    model = "a processor without a name"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "date": datetime.date.today().isoformat(),
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.freedesktop_os_release()["PRETTY_NAME"],
        "kernel": ".".join(platform.release().split(".")[:2]),
        "load": round(load, 1),
        "minutes": round((time.monotonic() - begin) / 60, 1),
        "versions": {server.name: server.version_text() for server in servers},
    }


def more_descriptors():
    """Both ends of a thousand connections are descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def measure(names, servers, scale, begin):
    """Returns the rows that were measured, judged."""
    folder = tempfile.TemporaryDirectory(prefix="mta-sts-bench.")
    with folder:
        os.chmod(folder.name, 0o755)
        name = ""

        def say(text):
            seconds = time.monotonic() - begin
            print(f"[{seconds:4.0f} s] {name}: {text}", file=sys.stderr, flush=True)

        bench = Bench(servers, Data(folder.name), scale, say)
        for name in names:
            MEASUREMENTS[name](bench)
    rows = [dataclasses.replace(row, title=row.title.format(**scale.words())) for row in ROWS]
    judged = []
    for row in rows:
        results = bench.results.get(row.name, {})
        if results:
            order = [server.name for server in servers if server.name in results]
            judged.append(judge(row, {name: results[name] for name in order}))
    return judged


def main():
    begin, load = time.monotonic(), os.getloadavg()[0]
    # Being told to stop ends what was started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    names = chosen("BENCH_ROWS", MEASUREMENTS)
    wanted = chosen("BENCH_PEERS", [server.name for server in PEERS])
    peers = [server for server in PEERS if server.name in wanted]
    missing = [server.title for server in peers if server.program is None]
    servers = [OURS, *(server for server in peers if server.program is not None)]
    small = bool(os.environ.get("BENCH_SMALL"))
    more_descriptors()
    scale = SMALL if small else Scale()
    judged = measure(names, servers, scale, begin)
    facts = about(servers, begin, load)
    print(report.terminal(judged))
    if not instructions.possible():
        print("Instructions were not counted: this machine has no perf, or perf no counter here.")
    if missing:
        print(f"Not installed and not measured: {', '.join(missing)}.")
    target = Path(os.environ.get("BUILD", ROOT / "build")) / "bench"
    target.mkdir(parents=True, exist_ok=True)
    (target / "results.json").write_text(report.as_json(judged, facts))
    (target / "RESULTS.md").write_text(report.markdown(judged, facts))
    (target / "results.svg").write_text(picture.draw(judged, facts, scale.words()))
    print(f"{report.about_text(facts)} Figures, page and picture are in {target}.")
    all_rows, all_peers = len(names) == len(MEASUREMENTS), len(servers) == len(PEERS) + 1
    if all_rows and all_peers and not small and os.geteuid() == 0:
        for name in ("RESULTS.md", "results.svg"):
            (HERE / name).write_text((target / name).read_text())
        print(f"This was a whole run: {HERE / 'RESULTS.md'} and results.svg were written anew.")


if __name__ == "__main__":
    main()

"""Floods of ClientHellos, each at the rate of its client and from its networks: the honest client of
another network gets its policy within two seconds. The figures are printed (pytest -rP)."""

import os
import subprocess

import pytest

from support import burst, groups
from support.namespace import entered
from support.tree import instrumented

HOST = "mta-sts.example.com"
pytestmark = pytest.mark.alone
SHORTAGE = r"(connection|descriptor|open files)"
SECONDS, WITHIN = 4, 2.0
# An attacker with the addresses of 16 machines, beside the honest one's.
SIXTEEN = {"network": "127.0.0.64/26", "sources": 16, "rate": 2000}
# One customer with a /48, each connection from another /64.
PREFIX = {"network": "2001:db8:66::/48", "sources": 5000, "rate": 650}
ONE = {"network": "127.0.0.64/26", "sources": 1, "rate": 300}
P384, P256 = {"groups": ["P-384"]}, {"groups": ["P-256"]}

FLOODS = {
    "P-384, reset at once": {**SIXTEEN, **P384, "end": "late"},
    "P-384, kept": {**SIXTEEN, **P384, "end": "keep"},
    "P-256, half closed": {**SIXTEEN, **P256, "end": "fin"},
    "P-384, asked for another share": {**SIXTEEN, **P384, "end": "reset", "retry": True},
    "TLS 1.2, P-384": {**SIXTEEN, **P384, "end": "reset", "version": "1.2"},
    "P-384 from a /48": {**PREFIX, **P384, "end": "late"},
    "P-384 from a /48, kept": {**PREFIX, **P384, "end": "keep"},
    "RSA of 4,096 bits from one address": {**ONE, **P256, "end": "keep"},
}


def honest_within(made, task, times):
    good = [took for took in times if took is not None]
    slowest = max(good, default=0) * 1000
    print(f"{made} connections of {task['rate']} a second; {len(good)} of {len(times)} fetches, "
          f"the slowest {slowest:.0f} ms")
    assert made > task["rate"] * SECONDS / 10, "that was no flood"
    assert len(good) >= 0.95 * len(times)


@pytest.mark.parametrize("name", FLOODS)
def test_honest_client_is_served_beside_a_flood(start, setup, authority, tmp_path, name):
    """With one worker, so that there is no other processor to go to."""
    task = {**FLOODS[name], "host": HOST}
    honest = {"host": HOST, "root": str(authority.root_file), "seconds": SECONDS}
    honest["within"] = 5 * WITHIN if instrumented() else WITHIN
    setup.certify("example.com", kind="RSA 4096" if "RSA" in name else "P-256")
    if task["network"].startswith("127."):
        server = start(setup.write(["example.com"], workers=1), expect=[SHORTAGE])
        task["port"] = honest["port"] = server.port
        honest["source"] = "127.0.0.2"
        honest_within(*run(task, honest))
        return
    with entered(tmp_path) as namespace:
        # Every address of the documentation's prefix is this machine's, in the namespace.
        route = ["ip", "-6", "route", "add", "local", "2001:db8::/32", "dev", "lo"]
        subprocess.run([*namespace.prefix, *route], check=True, timeout=20)
        config = setup.write(["example.com"], workers=1, listen="[::]:0")
        server = start(config, prefix=namespace.prefix, expect=[SHORTAGE])
        task["port"] = honest["port"] = server.port
        honest["source"] = "2001:db8:88::1"
        honest_within(*run(task, honest, namespace.prefix))
        server.stop()


MEMORY = 256 * 1024 * 1024


def flooded_with_handshakes(server, authority, sources):
    """Thousands that wait in the middle of a handshake, each of which costs more than 20 KB."""
    task = {**P256, **SIXTEEN, "sources": sources, "host": HOST, "end": "keep", "port": server.port}
    honest = {"host": HOST, "root": str(authority.root_file), "seconds": SECONDS}
    honest.update(source="127.0.0.2", within=WITHIN, port=server.port)
    workers = server.workers()
    honest_within(*run(task, honest))
    assert server.workers() == workers


@pytest.mark.skipif(instrumented(), reason="the sanitizers take memory of their own")
@pytest.mark.parametrize("workers, sources", [(2, 4), (8, 1)])
def test_control_group_with_little_memory(start, setup, authority, workers, sources):
    """As in the Kubernetes manifest: no worker is killed for want of memory."""
    setup.certify("example.com")
    with groups.with_memory(f"mta-sts-httpd-{os.getpid()}-{workers}", MEMORY) as processes:
        config = setup.write(["example.com"], workers=workers)
        enter = ["sh", "-c", 'echo $$ >"$0"; exec "$@"', processes]
        server = start(config, prefix=enter, expect=[SHORTAGE])
        flooded_with_handshakes(server, authority, sources)
        server.stop()


@pytest.mark.skipif(instrumented(), reason="the sanitizers take all of the address space")
@pytest.mark.parametrize("workers, limit", [(8, 256), (2, 128)])
def test_little_address_space(start, setup, authority, workers, limit):
    """The limit that a shell or a service manager sets for each process, in MB: it holds during a
    reload too."""
    setup.certify("example.com")
    config = setup.write(["example.com"], workers=workers)
    prefix = ["prlimit", f"--as={limit * 1024 * 1024}"]
    server = start(config, prefix=prefix, expect=[SHORTAGE])
    flooded_with_handshakes(server, authority, 4)
    server.reload()
    flooded_with_handshakes(server, authority, 1)


def run(task, honest, prefix=()):
    made, times = burst.beside(task, honest, prefix)
    return made, task, times
